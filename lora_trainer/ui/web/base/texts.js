// The language of the page, and the words that several views share. What one view alone says lies in its own texts.js:
//
//     export const t = texts({ greeting: ["Good morning, {name}", "{name}님, 좋은 아침입니다"] });
//     t("greeting", { name: "Kim" })
import { recall, remember } from "./memory.js";

const SHARED = {
    // name: [English, Korean]; {x} is filled in, {x:run|runs} is "run" where x is 1, else "runs"
    connection_lost: ["Connection lost, retrying…", "연결이 끊어졌습니다. 다시 연결하는 중…"],
    signed_out: ["The host was restarted or the login has run out. Reload the page to go on.", "호스트가 다시 시작되었거나 로그인이 만료되었습니다. 페이지를 새로고침하세요."],
    loading: ["Loading…", "불러오는 중…"],
    copy: ["Copy", "복사"],
    copied: ["Copied", "복사했습니다"],
    cancel: ["Cancel", "취소"],
    close: ["Close", "닫기"],
    changed_count: ["{x} changed", "{x}개 변경됨"],
    none_chosen: ["none", "없음"],
    yes: ["yes", "예"],
    no: ["no", "아니요"],
    choose_model: ["Choose a model", "모델을 선택하세요"],
    remove_image: ["Remove {x}", "{x} 삭제"],
    upload_of: ["Pictures dropped on {x}", "{x}에 올린 이미지"],
    upload_of_one: ["{x}, {when}", "{x}, {when}"],
    upload_of_several: ["{x} and {n} more, {when}", "{x} 외 {n}장, {when}"],
    starting: ["Starting…", "시작하는 중…"],
    state_queued: ["queued", "대기 중"],
    state_running: ["running", "실행 중"],
    state_stopping: ["stopping", "중지하는 중"],
    state_finished: ["finished", "완료"],
    state_stopped: ["stopped", "중지됨"],
    state_failed: ["failed", "실패"],
    earlier_step: ["Earlier step", "이전 스텝"],
    later_step: ["Later step", "다음 스텝"],
    try_it: ["Try it in Generate", "생성에서 사용해 보기"],
    download: ["Download", "내려받기"],
    log: ["Log", "로그"],
    repeat: ["Repeat from the command line", "명령줄에서 반복하기"],
    repeat_where: ["Typed in the folder of LoRA Trainer, in which launch.py lies.", "launch.py가 있는 LoRA Trainer 폴더에서 입력하세요."],
    add_lora: ["Add a LoRA", "LoRA 추가"],
    no_loras: ["No LoRA yet", "LoRA 없음"],
    seed: ["Seed", "시드"],
    previous: ["Previous", "이전"],
    next: ["Next", "다음"],
    shortcut: ["Ctrl+Enter", "Ctrl+Enter"],
};

// The language now: who imports it sees it change.
export let language = recall("language") || ((navigator.language || "en").toLowerCase().startsWith("ko") ? "ko" : "en");
export function setLanguage(chosen) {
    language = chosen;
    remember("language", chosen);
}

// A function t(name, values) that knows the names of `own` and the shared ones; t.has(name) says whether there is one.
export function texts(own = {}) {
    const pairOf = (name) => own[name] || SHARED[name];
    const t = (name, values) => {
        const text = (pairOf(name) || [name, name])[language === "ko" ? 1 : 0];
        const given = (key) => (values && key in values ? String(values[key]) : null);
        return text.replace(/\{(\w+):([^{|}]*)\|([^{|}]*)\}/g, (_, key, one, many) => (given(key) === "1" ? one : many))
            .replace(/\{(\w+)\}/g, (whole, key) => given(key) ?? whole);
    };
    t.has = (name) => Boolean(pairOf(name));
    return t;
}
export const t = texts();

// A value as a settings file of Python has it, in a person's words.
export const inWords = (text) => (text === "True" ? t("yes") : text === "False" ? t("no") : text);
