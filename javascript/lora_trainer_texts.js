// Every text of the page, in English and Korean. The help of options comes from their declarations, not from here.
(function () {
    "use strict";
    const LT = (window.loraTrainer = window.loraTrainer || {});

    const TEXTS = {
        // name: [English, Korean]; {x} is filled in
        train: ["Train", "학습"],
        runs: ["Runs", "실행 목록"],
        generate: ["Generate", "이미지 생성"],
        tools: ["Tools", "도구"],
        language: ["Language", "언어"],
        connection_lost: ["Connection lost, retrying…", "연결이 끊어졌습니다. 다시 연결하는 중…"],
        signed_out: ["The host was restarted or the login has run out. Reload the page to go on.", "호스트가 다시 시작되었거나 로그인이 만료되었습니다. 페이지를 새로고침하세요."],
        loading: ["Loading…", "불러오는 중…"],
        copy: ["Copy", "복사"],
        copied: ["Copied", "복사했습니다"],
        cancel: ["Cancel", "취소"],
        close: ["Close", "닫기"],
        optional: ["optional", "선택 사항"],
        browse_hint: ["or type a path", "또는 경로 입력"],
        more_help: ["Help for {x}", "{x} 도움말"],
        reset_one: ["Reset {x} to {value}", "{x} 값을 {value}(으)로 되돌리기"],
        nothing: ["empty", "비어 있음"],
        default_is: ["Default: {x}", "기본값: {x}"],
        changed: ["changed", "변경됨"],

        step_images: ["Your images", "학습할 이미지"],
        step_images_hint: ["8 to 30 pictures are a good start. A text file of the same name is the picture's caption.", "8~30장 정도면 충분합니다. 이름이 같은 텍스트 파일이 그 이미지의 캡션이 됩니다."],
        step_words: ["What is it?", "무엇을 학습하나요?"],
        step_words_hint: ["A rare word for this very thing, and the everyday word for its kind.", "이 대상만을 가리키는 드문 단어와, 그 종류를 나타내는 일반 단어입니다."],
        step_name: ["Give it a name", "이름 정하기"],
        step_name_hint: ["The file's name, and what you will write in a prompt.", "파일 이름이자 프롬프트에 적을 이름입니다."],
        settings: ["Settings", "설정"],
        settings_hint: ["Sensible as they are; nothing here needs to be touched.", "그대로 두어도 잘 동작하는 값입니다."],
        start_from: ["Start from", "프리셋"],
        advanced: ["Advanced options", "고급 옵션"],
        advanced_count: ["{x} options", "옵션 {x}개"],
        changed_count: ["{x} changed", "{x}개 변경됨"],
        search_options: ["Search options", "옵션 검색"],
        search_placeholder: ["name, label or what it does", "이름이나 기능으로 검색"],
        search_none: ["No option matches “{x}”.", "“{x}”에 맞는 옵션이 없습니다."],
        search_found: ["{x} found", "{x}개 찾음"],
        reset_all: ["Reset all", "모두 초기화"],
        reset_all_ask: ["Put every setting back to its default? Images, words and name stay.", "모든 설정을 기본값으로 되돌릴까요? 이미지, 단어, 이름은 그대로 둡니다."],
        current_model: ["in use now", "현재 사용 중"],
        none_chosen: ["none", "없음"],
        choose_model: ["Choose a model", "모델을 선택하세요"],
        type_path: ["Type a path…", "경로 직접 입력…"],
        on: ["on", "켜짐"],
        off: ["off", "꺼짐"],
        save: ["Save", "저장"],
        want_number: ["A number is expected here, for example 0.5 or 1e-4.", "숫자를 입력하세요 (예: 0.5 또는 1e-4)."],
        want_integer: ["A whole number is expected here.", "정수를 입력하세요."],
        want_minimum: ["The smallest value is {x}.", "{x} 이상이어야 합니다."],
        want_maximum: ["The largest value is {x}.", "{x} 이하여야 합니다."],
        want_range: ["A number from {low} to {high} is expected here.", "{low}에서 {high} 사이의 값을 입력하세요."],
        want_size: ["A multiple of 8 from {low} to {high} is expected here.", "{low}에서 {high} 사이의 8의 배수를 입력하세요."],
        want_above: ["The value has to be above {x}.", "{x}보다 커야 합니다."],
        prompt_will_be: ["In a prompt:", "프롬프트 예:"],

        net_conv: ["3×3 convolutions too (C3Lier)", "3×3 합성곱도 학습 (C3Lier)"],
        net_conv_hint: ["Learns textures and small shapes better; the file grows. Off: LierLa, the usual LoRA.", "질감과 작은 형태를 더 잘 배우지만 파일이 커집니다. 끄면 보통의 LoRA(LierLa)입니다."],
        net_conv_dim: ["Rank of convolutions", "합성곱 랭크"],
        net_conv_alpha: ["Alpha of convolutions", "합성곱 알파"],
        net_unit: ["Ranks trained together (unit)", "함께 학습할 랭크 수 (unit)"],
        blocks: ["Blocks", "블록"],
        blocks_short: ["learning rate for each part of the UNet", "UNet 부분별 학습률"],
        blocks_hint: ["A factor on the UNet's learning rate for each block: 1 is as usual, 0 leaves the block as it is and out of the file.", "블록마다 UNet 학습률에 곱할 값입니다. 1은 그대로, 0은 그 블록을 학습하지 않고 파일에도 넣지 않습니다."],
        blocks_curve: ["The weights of all blocks as a curve", "모든 블록의 가중치 곡선"],
        blocks_fill: ["Fill with a curve", "곡선으로 채우기"],
        blocks_side: ["Fill", "채울 곳"],
        blocks_both: ["both sides", "양쪽"],
        blocks_down: ["down", "다운"],
        blocks_mid: ["middle", "중간"],
        blocks_up: ["up", "업"],
        blocks_offset: ["Add to the curve", "곡선에 더할 값"],
        blocks_threshold: ["Counts as 0 up to", "0으로 볼 최댓값"],
        blocks_reset: ["Reset blocks", "블록 초기화"],
        blocks_off: ["Not trained", "학습하지 않음"],
        blocks_empty: ["Holds no layers of this network", "이 네트워크가 학습하는 층이 없는 블록"],
        blocks_empty_hint: ["Faint blocks hold no layers of this network. Rank and alpha for each block are block_dims and block_alphas below.", "흐린 블록에는 이 네트워크가 학습하는 층이 없습니다. 블록별 랭크와 알파는 아래에 block_dims, block_alphas로 적습니다."],
        blocks_unread: ["{x} cannot be read; see below.", "{x} 값을 읽을 수 없습니다. 아래를 확인하세요."],

        drop_here: ["Drop images or a folder here", "이미지나 폴더를 여기에 끌어다 놓으세요"],
        drop_more: ["Drop more here", "여기에 더 끌어다 놓기"],
        choose_files: ["Choose files", "파일 선택"],
        choose_folder: ["Choose a folder", "폴더 선택"],
        use_path: ["Use a folder on this machine", "이 컴퓨터의 폴더 사용"],
        use_upload: ["Upload instead", "업로드하기"],
        uploading: ["Uploading {done} of {total}", "{total} 중 {done} 업로드 중"],
        images_count: ["{x} images", "이미지 {x}장"],
        image_count: ["1 image", "이미지 1장"],
        without_caption: ["{x} without a caption", "캡션 없음 {x}장"],
        all_captioned: ["all have a caption", "모두 캡션 있음"],
        no_caption: ["no caption", "캡션 없음"],
        caption_of: ["Caption of {x}", "{x}의 캡션"],
        edit_caption: ["Edit the caption of {x}", "{x}의 캡션 편집"],
        remove_image: ["Remove {x}", "{x} 삭제"],
        remove_all: ["Remove all", "모두 삭제"],
        remove_all_ask: ["Remove all uploaded images? The originals on your disk stay.", "업로드한 이미지를 모두 삭제할까요? 원본 파일은 그대로 남습니다."],
        refused_files: ["Not taken:", "제외된 파일:"],
        more_images: ["and {x} more", "외 {x}장"],
        nothing_dropped: ["No images or captions were among the files.", "이미지나 캡션 파일이 없습니다."],

        plan: ["What will be trained", "학습 계획"],
        plan_waiting: ["Add images to see the plan.", "이미지를 추가하면 계획이 표시됩니다."],
        plan_images: ["images", "이미지"],
        plan_reg: ["regularisation", "정규화"],
        plan_steps_epoch: ["steps per epoch", "에포크당 스텝"],
        plan_epochs: ["epochs", "에포크"],
        plan_total: ["total steps", "전체 스텝"],
        plan_count: ["Images", "이미지"],
        plan_folder: ["Folder", "폴더"],
        plan_repeats: ["Repeats", "반복"],
        plan_captions: ["Captions", "캡션"],
        plan_buckets: ["Buckets", "버킷"],
        plan_examples: ["Captions as they will be trained", "학습에 쓰일 캡션"],
        plan_is_reg: ["reg", "정규화"],
        plan_base: ["Base model", "기본 모델"],
        plan_output: ["Saved as", "저장 위치"],
        output_exists: ["A LoRA of this name exists; a free name will be chosen.", "같은 이름의 LoRA가 있어 다른 이름으로 저장됩니다."],
        overwrite: ["Overwrite it", "덮어쓰기"],
        disk_low: ["The disk has {free} free; {needed} are needed.", "디스크 여유 공간 {free}, 필요 공간 {needed}."],
        checking: ["Checking…", "확인 중…"],
        checked_fine: ["Ready to train.", "학습할 준비가 되었습니다."],
        train_button: ["Train", "학습 시작"],
        train_queue: ["Add to the queue", "대기열에 추가"],
        starting: ["Starting…", "시작하는 중…"],
        why_images: ["Add images first.", "먼저 이미지를 추가하세요."],
        why_words: ["Enter an identifier and a class, or use captions.", "식별자와 클래스를 입력하거나 캡션을 사용하세요."],
        why_name: ["Give it a name.", "이름을 입력하세요."],
        why_model: ["Choose a base model.", "기본 모델을 선택하세요."],
        why_problems: ["{x} things to mend first", "먼저 고칠 항목 {x}개"],
        why_problem: ["One thing to mend first", "먼저 고칠 항목 1개"],
        why_uploading: ["Wait for the upload.", "업로드가 끝나기를 기다리세요."],
        show_toml: ["Show as command line and TOML", "명령줄과 TOML로 보기"],
        show_toml_hint: ["The same training from a terminal. The files below go where the command line names them.", "터미널에서 같은 학습을 실행합니다. 아래 파일은 명령줄에 적힌 위치에 저장하세요."],
        command_line: ["Command line", "명령줄"],

        trial_title: ["See it learn first", "먼저 학습되는 모습을 보세요"],
        trial_text: ["A small demo model that comes along has never seen a striped heart. Teach it one: about two minutes, no graphics card, nothing to download.", "함께 들어 있는 작은 데모 모델은 줄무늬 하트를 본 적이 없습니다. 직접 가르쳐 보세요. 약 2분이면 되고, 그래픽 카드도 다운로드도 필요 없습니다."],
        trial_button: ["Try it now", "지금 해 보기"],
        trial_picture: ["Drawings of striped hearts in several colours", "여러 색의 줄무늬 하트 그림"],
        trial_caption: ["Some of the pictures it learns from", "학습에 쓰이는 그림 중 일부"],

        state_queued: ["queued", "대기 중"],
        state_running: ["running", "실행 중"],
        state_stopping: ["stopping", "중지하는 중"],
        state_finished: ["finished", "완료"],
        state_stopped: ["stopped", "중지됨"],
        state_failed: ["failed", "실패"],
        no_runs: ["Nothing has been trained yet.", "아직 학습한 것이 없습니다."],
        no_runs_hint: ["Runs appear here, the newest first.", "최근 실행부터 여기에 표시됩니다."],
        go_train: ["Train your first LoRA", "첫 LoRA 학습하기"],
        back_to_runs: ["All runs", "전체 목록"],
        step: ["Step", "스텝"],
        epoch: ["Epoch", "에포크"],
        time_left: ["Time left", "남은 시간"],
        time_taken: ["Took", "걸린 시간"],
        speed: ["Speed", "속도"],
        per_second: ["{x} images/s", "초당 {x}장"],
        loss: ["Loss", "손실"],
        learning_rate: ["Learning rate", "학습률"],
        memory: ["Peak memory", "최대 메모리"],
        device: ["Device", "장치"],
        started: ["Started", "시작"],
        queue_position: ["Number {x} in the queue", "대기 순서 {x}번"],
        stop: ["Stop", "중지"],
        stop_ask: ["Stop after this step? What was learned so far is saved.", "이번 스텝까지만 하고 중지할까요? 지금까지 학습한 내용은 저장됩니다."],
        cancel_ask: ["Take this run out of the queue?", "이 실행을 대기열에서 제외할까요?"],
        end_now: ["End it now", "강제 종료"],
        end_now_ask: ["End the process without saving?", "저장하지 않고 프로세스를 종료할까요?"],
        save_now: ["Save now", "지금 저장"],
        save_asked: ["It will be saved at the next step.", "다음 스텝에서 저장합니다."],
        sample_now: ["Draw samples now", "지금 샘플 생성"],
        sample_asked: ["Samples will be drawn at the next step.", "다음 스텝에서 샘플을 생성합니다."],
        use_again: ["Use these settings again", "이 설정으로 다시 하기"],
        settings_taken: ["The settings are in the form.", "설정을 불러왔습니다."],
        delete_run: ["Delete run", "실행 삭제"],
        delete_ask: ["Delete this run with its samples and log? The LoRA in the LoRA folder stays.", "이 실행의 샘플과 로그를 삭제할까요? LoRA 폴더의 파일은 그대로 둡니다."],
        deleted: ["Deleted", "삭제했습니다"],
        samples: ["Samples", "샘플"],
        samples_none: ["No samples yet.", "아직 샘플이 없습니다."],
        samples_at: ["Step {x}", "{x} 스텝"],
        files: ["Files", "파일"],
        files_none: ["Nothing saved yet.", "아직 저장된 파일이 없습니다."],
        final: ["final", "최종"],
        use_file: ["Use this one", "이 파일 사용"],
        used_file: ["{x} is in the LoRA folder.", "{x} 파일을 LoRA 폴더에 넣었습니다."],
        use_it: ["Use it", "사용하기"],
        try_it: ["Try it in Generate", "생성에서 사용해 보기"],
        download: ["Download", "내려받기"],
        log: ["Log", "로그"],
        log_none: ["The log is empty so far.", "아직 로그가 없습니다."],
        repeat: ["Repeat from the command line", "명령줄에서 반복하기"],
        smoothing: ["Smoothing", "평활"],
        chart_help: ["Loss over steps. Arrow keys move along the curve.", "스텝별 손실 그래프. 화살표 키로 이동합니다."],
        chart_empty: ["The curve appears with the first steps.", "첫 스텝부터 그래프가 표시됩니다."],
        raw: ["raw", "원본"],
        smoothed: ["smoothed", "평활"],
        phase_of: ["{done} of {total}", "{total} 중 {done}"],
        warnings: ["Warnings", "경고"],
        run_gone: ["This run does not exist (any more).", "이 실행을 찾을 수 없습니다."],
        silent: ["No sign of life for {x}.", "{x} 동안 응답이 없습니다."],

        prompt: ["Prompt", "프롬프트"],
        prompt_placeholder: ["photo of sls frog <lora:name:0.8>", "photo of sls frog <lora:name:0.8>"],
        negative_prompt: ["Negative prompt", "네거티브 프롬프트"],
        add_lora: ["Add a LoRA", "LoRA 추가"],
        weight: ["Weight", "가중치"],
        insert: ["Insert", "삽입"],
        no_loras: ["No LoRA yet", "LoRA 없음"],
        base_model: ["Base model", "기본 모델"],
        sampler: ["Sampler", "샘플러"],
        steps: ["Steps", "스텝"],
        cfg: ["CFG scale", "CFG 스케일"],
        width: ["Width", "너비"],
        height: ["Height", "높이"],
        swap_size: ["Swap width and height", "너비와 높이 바꾸기"],
        seed: ["Seed", "시드"],
        seed_random: ["Random seed", "임의 시드"],
        seed_reuse: ["Reuse the last seed", "마지막 시드 사용"],
        batch_size: ["Batch size", "배치 크기"],
        batch_count: ["Batch count", "배치 수"],
        clip_skip: ["Clip skip", "Clip skip"],
        pictures_here: ["Pictures appear here.", "이미지가 여기에 표시됩니다."],
        generating: ["Generating…", "생성하는 중…"],
        interrupt: ["Stop", "중지"],
        no_checkpoint: ["No base model found. Put a checkpoint into {x}.", "기본 모델이 없습니다. {x} 폴더에 체크포인트를 넣으세요."],
        picture: ["Picture {x}", "이미지 {x}"],

        tool: ["Tool", "도구"],
        tool_run: ["Run", "실행"],
        tool_output: ["Name of the result", "결과 이름"],
        tool_output_lora: ["It goes into the LoRA folder as a .safetensors file.", "LoRA 폴더에 .safetensors 파일로 저장됩니다."],
        tool_output_checkpoint: ["It goes into the folder of the checkpoints as a .safetensors file.", "체크포인트 폴더에 .safetensors 파일로 저장됩니다."],
        tool_overwrite: ["Overwrite a file of this name", "같은 이름의 파일 덮어쓰기"],
        tool_result_here: ["The result appears here.", "결과가 여기에 표시됩니다."],
        tool_default: ["default", "기본값"],
        choose_lora: ["Choose a LoRA", "LoRA를 선택하세요"],
        ratio: ["Ratio", "비율"],
        norms: ["Norm of the effect of each block", "블록별 효과의 노름"],
        previous: ["Previous", "이전"],
        next: ["Next", "다음"],
        shortcut: ["Ctrl+Enter", "Ctrl+Enter"],
    };

    const pick = () => LT.recall("language") || ((navigator.language || "en").toLowerCase().startsWith("ko") ? "ko" : "en");

    LT.textNames = () => Object.keys(TEXTS);
    LT.language = pick();
    LT.setLanguage = function (language) {
        LT.language = language;
        LT.remember("language", language);
    };
    // {en, ko}, or text the same in both, or nothing
    LT.local = (text) => (text && typeof text === "object" ? text[LT.language] || text.en || "" : text || "");
    LT.t = function (name, values) {
        const text = (TEXTS[name] || [name, name])[LT.language === "ko" ? 1 : 0];
        return text.replace(/\{(\w+)\}/g, (whole, key) => (values && key in values ? String(values[key]) : whole));
    };

    // --- numbers as people read them -----------------------------------------------------------------------------
    LT.bytes = function (count) {
        if (!Number.isFinite(count)) return "–";
        const unit = Math.min(4, Math.max(0, Math.floor(Math.log2(Math.max(count, 1)) / 10)));
        const value = count / 1024 ** unit;
        return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${["B", "KB", "MB", "GB", "TB"][unit]}`;
    };
    LT.duration = function (seconds) {
        if (!Number.isFinite(seconds)) return "–";
        const total = Math.max(0, Math.round(seconds));
        const [hours, minutes] = [Math.floor(total / 3600), Math.floor(total / 60) % 60];
        const units = LT.language === "ko" ? ["시간", "분", "초"] : ["h", "min", "s"];
        if (hours) return `${hours} ${units[0]} ${minutes} ${units[1]}`;
        if (minutes) return `${minutes} ${units[1]} ${total % 60} ${units[2]}`;
        return `${total} ${units[2]}`;
    };
    LT.number = (value) => (Number.isFinite(value) ? value.toLocaleString(LT.language === "ko" ? "ko-KR" : "en-US") : "–");
    LT.short = function (value) {
        if (!Number.isFinite(value)) return "–";
        if (value === 0) return "0";
        const size = Math.abs(value);
        return size < 0.001 || size >= 1e6 ? value.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e") : String(Number(value.toPrecision(4)));
    };
    LT.when = (seconds) => new Date(seconds * 1000).toLocaleString(LT.language === "ko" ? "ko-KR" : "en-GB", { dateStyle: "medium", timeStyle: "short" });
})();
