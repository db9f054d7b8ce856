"""What is written: LoRA files, their metadata, training states, logs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .hub import HubOptions
from .schema import Title, opt
from .trackers import LoggingOptions


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """The LoRA files."""

    TITLE: ClassVar[Title] = Title("Output", "출력")

    output_dir: str | None = opt(
        None,
        "Folder that the result is written into. It is made when it is missing.",
        "결과를 저장할 폴더입니다. 없으면 만듭니다.",
        path="output",
        form=False,
    )
    output_name: str | None = opt(
        None,
        "Name of the file, without ending. A LoRA is called by it in a prompt, <lora:name:0.8>, an embedding by the name "
        "alone; a whole model stands under it in the list of checkpoints.",
        "확장자를 뺀 파일 이름입니다. 프롬프트에 LoRA는 <lora:이름:0.8>처럼, 임베딩은 이름만 적습니다. 모델 전체는 체크포인트 "
        "목록에 이 이름으로 나옵니다.",
        label="Name",
        label_ko="이름",
        basic=7,
        needed=True,
    )
    save_model_as: str = opt(
        "safetensors",
        (
            "Format of the file. A .ckpt or .pt holds the same tensors for old programs, but no information about the "
            "training. A whole model can be a folder of diffusers, too."
        ),
        (
            "파일의 형식입니다. .ckpt와 .pt는 오래된 프로그램을 위한 것으로 같은 텐서를 담지만 학습에 대한 정보는 담지 "
            "못합니다. 모델 전체는 diffusers 폴더로도 저장할 수 있습니다."
        ),
        choices=("ckpt", "pt", "safetensors", "diffusers", "diffusers_safetensors"),
        label="File format",
        label_ko="파일 형식",
    )
    use_safetensors: bool = opt(
        False,
        "Write .safetensors files where save_model_as says ckpt or diffusers: for whole models.",
        "모델 전체를 저장할 때 save_model_as가 ckpt나 diffusers여도 .safetensors 파일로 저장합니다.",
        form=False,
    )
    save_precision: str | None = opt(
        None,
        (
            "Precision of the numbers in the file; fp16 halves the size with no visible difference. Nothing keeps the "
            "precision of training."
        ),
        (
            "파일에 담는 숫자의 정밀도입니다. fp16은 눈에 띄는 차이 없이 크기를 절반으로 줄입니다. 비우면 학습할 때의 "
            "정밀도를 유지합니다."
        ),
        choices=("float", "fp16", "bf16"),
        label="Number format of the file",
        label_ko="파일의 숫자 형식",
    )
    save_every_n_epochs: int | None = opt(
        None,
        "Also save every this many epochs.",
        "이 에포크 수마다 중간 결과도 저장합니다.",
        minimum=1,
        label="Save every … epochs",
        label_ko="저장할 에포크 간격",
    )
    save_every_n_steps: int | None = opt(
        None,
        "Also save every this many steps.",
        "이 스텝 수마다 중간 결과도 저장합니다.",
        minimum=1,
        label="Save every … steps",
        label_ko="저장할 스텝 간격",
    )
    save_n_epoch_ratio: int | None = opt(
        None,
        (
            "Also save every epochs / this many epochs, so that about this many files come out of the whole training. It takes "
            "the place of save_every_n_epochs."
        ),
        (
            "전체 에포크 수를 이 수로 나눈 간격마다 저장하여, 전체 학습에서 이 개수만큼 나오게 합니다. save_every_n_epochs "
            "대신 쓰입니다."
        ),
        minimum=1,
        label="Files from the whole training",
        label_ko="전체 학습에서 저장할 파일 수",
    )
    save_best: bool = opt(
        False,
        (
            "Keep what was learned at the moment at which the loss on the images kept aside was lowest, as NAME-best beside "
            "the last one. Needs validation_split."
        ),
        "따로 둔 이미지의 손실이 가장 낮았던 때의 결과를 마지막 것 옆에 이름-best로 남깁니다. validation_split이 필요합니다.",
        label="Keep the best",
        label_ko="가장 좋은 것 남기기",
        ours="the reference measures the loss of a validation and leaves the choice of the file to the reader of its log",
    )
    save_live_every_n_steps: int | None = opt(
        None,
        (
            "Keep a file NAME-live up to date while it trains, every this many steps, to try in prompts what has been learned "
            "so far. It goes when the training ends."
        ),
        (
            "학습하는 동안 이 스텝 수마다 이름-live 파일을 새로 저장하여, 지금까지 배운 것을 프롬프트에서 써 볼 수 있게 "
            "합니다. 학습이 끝나면 지웁니다."
        ),
        minimum=1,
        label="Try it meanwhile: renew every … steps",
        label_ko="학습 중에 써 보기: 갱신할 스텝 간격",
        ours="the reference's files of steps have another name each time, so that a prompt has to be changed for each",
    )
    save_picture_losses: bool = opt(
        False,
        (
            "Write NAME-losses.json beside the result: how well each picture was learned, its loss compared with that of the "
            "others at the same noise levels, the worst first. The page's runs have it without this."
        ),
        (
            "결과 옆에 이름-losses.json을 저장합니다. 이미지마다 같은 노이즈 수준의 다른 이미지와 비교한 손실을, 가장 못 "
            "배운 것부터 적습니다. 페이지의 실행에는 이 옵션 없이도 있습니다."
        ),
        form=False,
        ours="the reference knows only the loss of a step, in which the pictures cannot be told apart",
    )
    save_last_n_epochs: int | None = opt(
        None,
        "Of the files saved by epochs, keep only those of the last this many epochs.",
        "에포크마다 저장한 파일 가운데 마지막 몇 에포크의 것만 남깁니다.",
        minimum=1,
        label="Keep the last … epochs",
        label_ko="남겨 둘 마지막 에포크 수",
    )
    save_last_n_steps: int | None = opt(
        None,
        "Of the files saved by steps, keep only those of the last this many steps.",
        "스텝마다 저장한 파일 가운데 마지막 몇 스텝 동안의 것만 남깁니다.",
        minimum=1,
        label="Keep the last … steps",
        label_ko="남겨 둘 마지막 스텝 수",
    )
    no_metadata: bool = opt(
        False,
        "Write no information about the training into the file.",
        "학습에 대한 정보를 파일에 넣지 않습니다.",
        label="No information in the file",
        label_ko="파일에 정보 넣지 않기",
    )
    training_comment: str | None = opt(
        None,
        "A note that is written into the file's information.",
        "파일 정보에 적어 둘 메모입니다.",
        label="Note in the file",
        label_ko="파일에 남길 메모",
    )


@dataclass(frozen=True, kw_only=True)
class MetadataOptions:
    """What the file says about itself (modelspec)."""

    TITLE: ClassVar[Title] = Title("Metadata", "메타데이터")

    metadata_title: str | None = opt(
        None,
        "Title in the file's information; nothing takes the name.",
        "파일 정보의 제목입니다. 비우면 이름을 씁니다.",
        label="Title",
        label_ko="제목",
    )
    metadata_author: str | None = opt(
        None,
        "Author in the file's information.",
        "파일 정보의 만든 사람입니다.",
        label="Author",
        label_ko="만든 이",
    )
    metadata_description: str | None = opt(
        None,
        "Description in the file's information.",
        "파일 정보의 설명입니다.",
        label="Description",
        label_ko="설명",
    )
    metadata_license: str | None = opt(
        None,
        "Licence in the file's information.",
        "파일 정보의 라이선스입니다.",
        label="Licence",
        label_ko="라이선스",
    )
    metadata_tags: str | None = opt(
        None,
        "Tags in the file's information, separated by commas.",
        "파일 정보의 태그입니다. 쉼표로 나눕니다.",
        label="Tags",
        label_ko="태그",
    )
    metadata_usage_hint: str | None = opt(
        None,
        "How to use it, in the file's information.",
        "파일 정보에 적을 사용 방법입니다.",
        label="How to use it",
        label_ko="사용법",
    )
    metadata_trigger_phrase: str | None = opt(
        None,
        "The words that call what was learned, in the file's information.",
        "배운 것을 불러내는 말을 파일 정보에 적습니다.",
        label="Trigger words",
        label_ko="트리거 단어",
    )
    metadata_thumbnail: str | None = opt(
        None,
        "A small picture for the file's information, as a data: URL.",
        "파일 정보에 넣을 작은 그림입니다 (data: URL).",
        label="Small picture",
        label_ko="작은 그림",
    )
    metadata_merged_from: str | None = opt(
        None,
        "The models that this one was merged from, in the file's information.",
        "어떤 모델들을 합친 것인지 파일 정보에 적습니다.",
        label="Merged from",
        label_ko="병합 원본",
    )
    metadata_preprocessor: str | None = opt(
        None,
        "The preparation that the input needs, in the file's information.",
        "입력에 필요한 전처리를 파일 정보에 적습니다.",
        label="Preprocessor",
        label_ko="전처리",
    )
    metadata_is_negative_embedding: str | None = opt(
        None,
        "Whether it is meant for the negative prompt, in the file's information.",
        "부정 프롬프트에 쓰는 것인지 파일 정보에 적습니다.",
        label="For the negative prompt",
        label_ko="네거티브 프롬프트용",
    )


@dataclass(frozen=True, kw_only=True)
class StateOptions:
    """Going on with a training that was stopped."""

    TITLE: ClassVar[Title] = Title("Training state", "학습 상태")

    save_state: bool = opt(
        False,
        "Save everything that is needed to go on, whenever a file is saved, and at the end.",
        "파일을 저장할 때마다, 그리고 끝날 때 이어서 학습하는 데 필요한 모든 것을 함께 저장합니다.",
        label="Save states to go on from",
        label_ko="이어서 학습할 상태 저장",
    )
    save_state_on_train_end: bool = opt(
        False,
        "Save everything that is needed to go on, at the end.",
        "끝날 때 이어서 학습하는 데 필요한 모든 것을 저장합니다.",
        label="Save a state at the end",
        label_ko="끝날 때 상태 저장",
    )
    save_state_every_n_minutes: float | None = opt(
        None,
        (
            "Save a state every this many minutes and whenever a file is saved, and keep the last two until the training has "
            "ended well. Saving takes 1 % of the time at most: where a state is large or the disk slow, it is done less often."
        ),
        (
            "이 분마다, 그리고 파일을 저장할 때마다 상태를 저장하고, 학습이 잘 끝날 때까지 마지막 두 개를 남깁니다. 저장에는 "
            "많아야 시간의 1%를 씁니다. 상태가 크거나 디스크가 느리면 더 드물게 저장합니다."
        ),
        above=0,
        maximum=10_000,
        label="Save a state every … minutes",
        label_ko="상태를 저장할 간격(분)",
        ours="sd-scripts saves states only together with a LoRA.",
    )
    save_last_n_epochs_state: int | None = opt(
        None,
        "Of the states saved by epochs, keep only those of the last this many epochs; nothing takes save_last_n_epochs.",
        "에포크마다 저장한 상태 가운데 마지막 몇 에포크의 것만 남깁니다. 비우면 save_last_n_epochs를 따릅니다.",
        minimum=1,
        label="Keep the states of the last … epochs",
        label_ko="상태를 남겨 둘 마지막 에포크 수",
    )
    save_last_n_steps_state: int | None = opt(
        None,
        "Of the states saved by steps, keep only those of the last this many steps; nothing takes save_last_n_steps.",
        "스텝마다 저장한 상태 가운데 마지막 몇 스텝 동안의 것만 남깁니다. 비우면 save_last_n_steps를 따릅니다.",
        minimum=1,
        label="Keep the states of the last … steps",
        label_ko="상태를 남겨 둘 마지막 스텝 수",
    )
    resume: str | None = opt(
        None,
        (
            "The folder of a saved state to go on from; latest, or a folder that holds states, takes the newest whole one. The "
            "result is the same as if the training had never been stopped."
        ),
        (
            "이어서 학습할 저장된 상태의 폴더입니다. latest나 상태들이 든 폴더를 적으면 온전한 것 가운데 가장 새것을 씁니다. "
            "결과는 한 번도 멈추지 않은 학습과 같습니다."
        ),
        path="any",
        form=False,
    )
    initial_epoch: int | None = opt(
        None,
        "Begin with this epoch (from 1), as if those before it had been trained.",
        "앞의 에포크는 이미 학습한 것으로 치고 이 에포크(1부터)부터 시작합니다.",
        minimum=1,
        form=False,
    )
    initial_step: int | None = opt(
        None,
        "Begin after this many steps, as if they had been made, with the first image of the epoch that they end in.",
        "이만큼의 스텝은 이미 한 것으로 치고, 그 스텝이 끝난 에포크의 첫 이미지부터 시작합니다.",
        minimum=0,
        form=False,
    )
    skip_until_initial_step: bool = opt(
        False,
        "With initial_step: pass over the images of that epoch that the steps before it used.",
        "initial_step과 함께: 그 에포크에서 앞의 스텝들이 쓴 이미지를 건너뜁니다.",
        form=False,
    )


@dataclass(frozen=True, kw_only=True)
class SavingOptions(LoggingOptions, HubOptions, StateOptions, MetadataOptions, OutputOptions):
    """What is written, and where."""


def saved_as(options: OutputOptions) -> str:
    """The format of the files, a value of save_model_as: use_safetensors makes safetensors of it."""
    safe = {"ckpt": "safetensors", "diffusers": "diffusers_safetensors"}
    return safe.get(options.save_model_as, options.save_model_as) if options.use_safetensors else options.save_model_as
