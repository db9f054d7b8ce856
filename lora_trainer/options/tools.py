"""The options of the LoRA tools, one dataclass a command. Names are those of kohya-ss' scripts where they have the option.

`REQUIRED` are the options that must be given, `POSITIONAL` those that may be given without their name, in this order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from .schema import Title, opt

_PRECISIONS = ("float", "fp16", "bf16")


def _models(help: str, ko: str) -> Any:
    return opt(None, help, ko, path="files")


def _device() -> Any:
    return opt("cpu", "Where to compute: cpu, cuda, cuda:1.", "계산할 장치입니다: cpu, cuda, cuda:1.")


def _ratios() -> Any:
    return opt(
        None,
        "How strongly each of the models goes in, one number a model; may be negative.",
        "각 모델을 얼마나 세게 합칠지 모델마다 하나씩 적습니다. 음수도 됩니다.",
    )


def _no_metadata() -> Any:
    return opt(
        False,
        "Write only the metadata that programs need to use the file.",
        "파일을 쓰는 데 꼭 필요한 메타데이터만 저장합니다.",
    )


@dataclass(frozen=True, kw_only=True)
class Output:
    """Where a tool writes."""

    TITLE: ClassVar[Title] = Title("Result", "결과")
    REQUIRED: ClassVar[tuple[str, ...]] = ("save_to",)
    POSITIONAL: ClassVar[tuple[str, ...]] = ()

    save_to: str | None = opt(
        None,
        "The file to write; its ending (.safetensors, .ckpt) chooses the format.",
        "저장할 파일입니다. 확장자(.safetensors, .ckpt)가 형식을 정합니다.",
        path="any",
    )
    overwrite: bool = opt(
        False,
        "Replace a file that is there already. An input is never replaced.",
        "이미 있는 파일을 덮어씁니다. 입력 파일은 덮어쓰지 않습니다.",
    )
    save_precision: str | None = opt(
        None,
        "Number format of the result; left out, that of the calculation.",
        "결과의 숫자 형식입니다. 생략하면 계산에 쓴 형식입니다.",
        choices=_PRECISIONS,
    )


@dataclass(frozen=True, kw_only=True)
class MergeLora(Output):
    """merge_lora."""

    TITLE: ClassVar[Title] = Title("Merge LoRA", "LoRA 병합")
    REQUIRED: ClassVar[tuple[str, ...]] = ("save_to", "models", "ratios")

    sd_model: str | None = opt(
        None,
        "The checkpoint (.safetensors or .ckpt) to merge into; without it the LoRAs are merged with each other.",
        "LoRA를 합칠 체크포인트(.safetensors 또는 .ckpt)입니다. 없으면 LoRA끼리 합칩니다.",
        path="file",
    )
    models: tuple[str, ...] | None = _models("The LoRA files to merge, in this order.", "순서대로 합칠 LoRA 파일들입니다.")
    ratios: tuple[float, ...] | None = _ratios()
    v2: bool = opt(
        False,
        "The checkpoint is a Stable Diffusion 2 model (it is recognised anyway; this checks it).",
        "체크포인트가 Stable Diffusion 2 모델입니다 (자동으로 알아내며, 맞는지 확인합니다).",
    )
    precision: str = opt(
        "float",
        "Number format of the merged weights; sums are computed in float32 anyway.",
        "합친 가중치의 숫자 형식입니다. 합은 항상 float32로 계산합니다.",
        choices=_PRECISIONS,
    )
    concat: bool = opt(
        False,
        "LoRA with LoRA: put the ranks side by side (exact; the ranks add up) instead of adding the factors.",
        "LoRA끼리 합칠 때 랭크를 나란히 붙입니다 (정확하지만 랭크가 더해집니다).",
    )
    shuffle: bool = opt(
        False,
        "With concat: mix the order of the ranks (the effect stays the same).",
        "concat과 함께: 랭크의 순서를 섞습니다 (효과는 같습니다).",
    )
    no_metadata: bool = _no_metadata()


@dataclass(frozen=True, kw_only=True)
class SvdMergeLora(Output):
    """svd_merge_lora."""

    TITLE: ClassVar[Title] = Title("Merge LoRA to a new rank", "다른 랭크로 LoRA 병합")
    REQUIRED: ClassVar[tuple[str, ...]] = ("save_to", "models", "ratios")

    models: tuple[str, ...] | None = _models(
        "The LoRA files to merge; any ranks.", "합칠 LoRA 파일들입니다. 랭크는 달라도 됩니다."
    )
    ratios: tuple[float, ...] | None = _ratios()
    new_rank: int | None = opt(
        None,
        "Rank of the result: 4 when left out; with kept_energy, the largest rank allowed.",
        "결과의 랭크입니다. 생략하면 4이며, kept_energy와 함께 쓰면 최대 랭크입니다.",
        minimum=1,
        maximum=4096,
    )
    new_conv_rank: int | None = opt(
        None,
        "Rank of 3x3 convolutions in the result; the same as new_rank when left out.",
        "결과에서 3x3 합성곱의 랭크입니다. 생략하면 new_rank와 같습니다.",
        minimum=1,
        maximum=4096,
    )
    kept_energy: float | None = opt(
        None,
        "Choose each layer's rank so that it keeps this share of the energy (0.99: squared singular values).",
        "각 층이 에너지(특이값 제곱의 합)의 이 비율을 지키도록 랭크를 자동으로 정합니다 (예: 0.99).",
        above=0.0,
        maximum=1.0,
    )
    lbws: tuple[str, ...] | None = opt(
        None,
        (
            "Weights per block, one list a model, as the extension LoRA Block Weight has them: [1,0.5,...] with 17 or 26 "
            "numbers for Stable Diffusion 1 and 2, 12 or 20 for XL."
        ),
        (
            "블록별 가중치입니다. LoRA Block Weight 확장 형식으로 모델마다 목록 하나씩 적습니다: [1,0.5,...]. "
            "Stable Diffusion 1과 2는 17개 또는 26개, XL은 12개 또는 20개입니다."
        ),
    )
    device: str = _device()
    precision: str = opt(
        "float",
        "Number format of the result when save_precision is left out; the calculation is in float64.",
        "save_precision을 생략했을 때 결과의 숫자 형식입니다. 계산은 float64로 합니다.",
        choices=_PRECISIONS,
    )
    no_metadata: bool = _no_metadata()


@dataclass(frozen=True, kw_only=True)
class ResizeLora(Output):
    """resize_lora."""

    TITLE: ClassVar[Title] = Title("Resize LoRA", "LoRA 랭크 바꾸기")
    REQUIRED: ClassVar[tuple[str, ...]] = ("save_to", "model")

    model: str | None = opt(None, "The LoRA file to resize.", "랭크를 바꿀 LoRA 파일입니다.", path="file")
    new_rank: int = opt(
        4,
        "New rank; with dynamic_method, the largest rank allowed.",
        "새 랭크입니다. dynamic_method와 함께 쓰면 최대 랭크입니다.",
        minimum=1,
        maximum=4096,
    )
    new_conv_rank: int | None = opt(
        None,
        "New rank of convolutions (1x1 too); the same as new_rank when left out.",
        "합성곱(1x1 포함)의 새 랭크입니다. 생략하면 new_rank와 같습니다.",
        minimum=1,
        maximum=4096,
    )
    dynamic_method: str | None = opt(
        None,
        (
            "Choose each layer's rank by its singular values: sv_ratio keeps those above the first / dynamic_param, sv_fro "
            "keeps the share dynamic_param of the Frobenius norm, sv_cumulative of their sum."
        ),
        (
            "특이값으로 각 층의 랭크를 정합니다. sv_ratio는 첫 값 / dynamic_param보다 큰 것, sv_fro는 프로베니우스 노름의 "
            "dynamic_param 비율, sv_cumulative는 합의 dynamic_param 비율을 지킵니다."
        ),
        choices=("sv_ratio", "sv_fro", "sv_cumulative"),
    )
    dynamic_param: float | None = opt(None, "The number for dynamic_method.", "dynamic_method에 쓰는 수입니다.", above=0.0)
    device: str = _device()
    verbose: bool = opt(
        False,
        "Report rank, kept sum and kept norm of every layer.",
        "각 층의 랭크와 남은 합, 남은 노름을 보여 줍니다.",
    )


@dataclass(frozen=True, kw_only=True)
class ExtractLora(Output):
    """extract_lora_from_models."""

    TITLE: ClassVar[Title] = Title("Extract LoRA from two models", "두 모델의 차이에서 LoRA 추출")
    REQUIRED: ClassVar[tuple[str, ...]] = ("save_to", "model_org", "model_tuned")

    model_org: str | None = opt(None, "The original checkpoint (.safetensors or .ckpt).", "원래 체크포인트입니다.", path="file")
    model_tuned: str | None = opt(
        None, "The changed checkpoint: fine-tuned or merged.", "달라진 체크포인트입니다 (파인튜닝 또는 병합한 것).", path="file"
    )
    dim: int = opt(4, "Rank of the LoRA.", "LoRA의 랭크입니다.", minimum=1, maximum=4096)
    conv_dim: int | None = opt(
        None,
        "Rank of 3x3 convolutions; left out, they and the rest of the resnets get no LoRA.",
        "3x3 합성곱의 랭크입니다. 생략하면 resnet 부분에는 LoRA를 만들지 않습니다.",
        minimum=1,
        maximum=4096,
    )
    v2: bool = opt(
        False,
        "The models are Stable Diffusion 2 (recognised anyway; this checks it).",
        "Stable Diffusion 2 모델입니다 (자동으로 알아내며, 맞는지 확인합니다).",
    )
    sdxl: bool = opt(
        False,
        "The models are Stable Diffusion XL (recognised anyway; this checks it).",
        "Stable Diffusion XL 모델입니다 (자동으로 알아내며, 맞는지 확인합니다).",
    )
    v_parameterization: bool = opt(
        False,
        "Note in the metadata that the model predicts v (Stable Diffusion 2, 768).",
        "v를 예측하는 모델(Stable Diffusion 2 768)이라고 메타데이터에 적습니다.",
    )
    min_diff: float = opt(
        0.01,
        "Leave a text encoder out when no weight of it differs by more than this.",
        "텍스트 인코더의 가중치 차이가 모두 이 값 이하이면 텍스트 인코더를 뺍니다.",
        minimum=0.0,
    )
    clamp_quantile: float = opt(
        1.0,
        "Cut the factors' values at this quantile of their sizes; 1 cuts nothing (0.99 is kohya-ss' default).",
        "인수의 값을 크기의 이 분위수에서 자릅니다. 1이면 자르지 않습니다 (kohya-ss의 기본값은 0.99).",
        above=0.0,
        maximum=1.0,
    )
    device: str = _device()
    no_metadata: bool = _no_metadata()


@dataclass(frozen=True, kw_only=True)
class SplitDylora:
    """extract_lora_from_dylora."""

    TITLE: ClassVar[Title] = Title("Split a DyLoRA", "DyLoRA에서 LoRA 추출")
    REQUIRED: ClassVar[tuple[str, ...]] = ("model", "save_to", "unit")
    POSITIONAL: ClassVar[tuple[str, ...]] = ()

    model: str | None = opt(None, "The DyLoRA file.", "DyLoRA 파일입니다.", path="file")
    save_to: str | None = opt(
        None,
        "The files to write: the rank is put behind the name (name-0004.safetensors).",
        "저장할 파일 이름입니다. 뒤에 랭크가 붙습니다 (name-0004.safetensors).",
        path="any",
    )
    unit: int | None = opt(None, "Unit of the ranks, as in the training.", "학습할 때 쓴 unit입니다.", minimum=1, maximum=4096)
    overwrite: bool = opt(False, "Replace files that are there already.", "이미 있는 파일을 덮어씁니다.")
    save_precision: str | None = opt(
        None, "Number format of the files; left out, that of the DyLoRA.", "결과의 숫자 형식입니다.", choices=_PRECISIONS
    )


@dataclass(frozen=True, kw_only=True)
class ShowMetadata:
    """show_metadata."""

    TITLE: ClassVar[Title] = Title("Show metadata", "메타데이터 보기")
    REQUIRED: ClassVar[tuple[str, ...]] = ("model",)
    POSITIONAL: ClassVar[tuple[str, ...]] = ("model",)

    model: str | None = opt(None, "The .safetensors file.", ".safetensors 파일입니다.", path="file")
    key: tuple[str, ...] | None = opt(None, "Show only these keys.", "이 키만 보여 줍니다.")
    json: bool = opt(False, "Print JSON.", "JSON으로 출력합니다.")


@dataclass(frozen=True, kw_only=True)
class EditMetadata(Output):
    """edit_metadata."""

    TITLE: ClassVar[Title] = Title("Edit metadata", "메타데이터 고치기")
    REQUIRED: ClassVar[tuple[str, ...]] = ("model", "save_to")
    POSITIONAL: ClassVar[tuple[str, ...]] = ("model",)

    model: str | None = opt(None, "The .safetensors file.", ".safetensors 파일입니다.", path="file")
    set: tuple[str, ...] | None = opt(
        None, "Values to write, each as key=value.", "적을 값입니다. 각각 키=값 형식으로 적습니다."
    )
    remove: tuple[str, ...] | None = opt(
        None, "Keys to remove; ss_dataset* removes all that begin so.", "지울 키입니다. ss_dataset*처럼 적을 수 있습니다."
    )


@dataclass(frozen=True, kw_only=True)
class CheckLora:
    """check_lora."""

    TITLE: ClassVar[Title] = Title("Check a LoRA", "LoRA 검사")
    REQUIRED: ClassVar[tuple[str, ...]] = ("model",)
    POSITIONAL: ClassVar[tuple[str, ...]] = ("model",)

    model: str | None = opt(None, "The LoRA file.", "LoRA 파일입니다.", path="file")
    sd_model: str | None = opt(
        None,
        "A checkpoint: see whether every module fits one of its layers.",
        "체크포인트입니다. 각 모듈이 그 모델의 층에 맞는지 봅니다.",
        path="file",
    )
    picture: str | None = opt(
        None, "Draw the norm per block into this .png file.", "블록별 노름을 이 .png 파일에 그립니다.", path="any"
    )
    show_all_keys: bool = opt(False, "List every tensor.", "모든 텐서를 보여 줍니다.")


@dataclass(frozen=True, kw_only=True)
class ConvertLora(Output):
    """convert_lora."""

    TITLE: ClassVar[Title] = Title("Convert a LoRA's names", "LoRA 키 이름 변환")
    REQUIRED: ClassVar[tuple[str, ...]] = ("model", "save_to")
    POSITIONAL: ClassVar[tuple[str, ...]] = ("model",)

    model: str | None = opt(None, "The LoRA file.", "LoRA 파일입니다.", path="file")
    to: str = opt(
        "kohya",
        "The names to write: kohya (the Web UI and most programs), webui (the Web UI's own names), peft or diffusers.",
        "저장할 키 이름의 형식입니다: kohya (웹 UI와 대부분의 프로그램), webui (웹 UI 내부 이름), peft, diffusers.",
        choices=("kohya", "webui", "peft", "diffusers"),
    )


@dataclass(frozen=True, kw_only=True)
class ResizeImages:
    """resize_images_to_resolution."""

    TITLE: ClassVar[Title] = Title("Resize images", "이미지 크기 줄이기")
    REQUIRED: ClassVar[tuple[str, ...]] = ("src_img_folder", "dst_img_folder")
    POSITIONAL: ClassVar[tuple[str, ...]] = ("src_img_folder", "dst_img_folder")

    src_img_folder: str | None = opt(None, "Folder of the images.", "원본 이미지 폴더입니다.", path="folder")
    dst_img_folder: str | None = opt(None, "Folder for the results.", "결과를 저장할 폴더입니다.", path="output")
    max_resolution: str = opt(
        "512x512,384x384,256x256,128x128",
        (
            "Sizes, each a width x height whose area an image gets; smaller images stay as they are. `original` also copies "
            "the images themselves."
        ),
        (
            "이미지가 가질 넓이를 가로x세로로 적습니다. 쉼표로 여러 개를 적을 수 있고, 더 작은 이미지는 그대로 둡니다. "
            "`original`을 적으면 원본 이미지도 복사합니다."
        ),
    )
    divisible_by: int = opt(
        1,
        "Cut the edges so that width and height are multiples of this.",
        "가로와 세로가 이 수의 배수가 되도록 가장자리를 잘라냅니다.",
        minimum=1,
        maximum=1024,
    )
    interpolation: str = opt(
        "area",
        "How pixels are averaged.",
        "축소할 때의 보간 방법입니다.",
        choices=("area", "cubic", "lanczos4", "nearest", "linear", "box"),
    )
    save_as_png: bool = opt(False, "Write PNG instead of JPEG (quality 100).", "JPEG(품질 100) 대신 PNG로 저장합니다.")
    copy_associated_files: bool = opt(
        False,
        "Copy files of the same name (captions) beside each result.",
        "이름이 같은 파일(캡션 등)을 결과마다 함께 복사합니다.",
    )
    overwrite: bool = opt(False, "Replace files that are there already.", "이미 있는 파일을 덮어씁니다.")
