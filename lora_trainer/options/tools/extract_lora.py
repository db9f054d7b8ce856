"""`extract_lora_from_models`: options, and what the page shows of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..schema import Title, opt
from .declaring import Output, PageTool, Shown, Tool, device_option, no_metadata_option, precision


@dataclass(frozen=True, kw_only=True)
class ExtractLora(Output):
    """extract_lora_from_models."""

    TITLE: ClassVar[Title] = Title("Extract LoRA from two models", "두 모델의 차이에서 LoRA 추출")
    REQUIRED: ClassVar[tuple[str, ...]] = ("save_to", "model_org", "model_tuned")

    model_org: str | None = opt(
        None,
        "The original checkpoint (.safetensors or .ckpt), or a folder of diffusers.",
        "원래 체크포인트(.safetensors, .ckpt) 또는 diffusers 폴더입니다.",
        path="checkpoint",
        label="Original checkpoint",
        label_ko="원래 체크포인트",
    )
    model_tuned: str | None = opt(
        None,
        "The changed checkpoint, or folder: fine-tuned or merged.",
        "달라진 체크포인트 또는 폴더입니다 (파인튜닝 또는 병합한 것).",
        path="checkpoint",
        label="Changed checkpoint",
        label_ko="달라진 체크포인트",
    )
    dim: int = opt(
        4,
        "Rank of the LoRA.",
        "LoRA의 랭크입니다.",
        minimum=1,
        maximum=4096,
        label="Rank",
        label_ko="랭크",
    )
    conv_dim: int | None = opt(
        None,
        "Rank of 3x3 convolutions; left out, they and the rest of the resnets get no LoRA.",
        "3x3 합성곱의 랭크입니다. 생략하면 resnet 부분에는 LoRA를 만들지 않습니다.",
        minimum=1,
        maximum=4096,
        label="Rank of convolutions",
        label_ko="합성곱의 랭크",
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
    device: str = device_option()
    no_metadata: bool = no_metadata_option()


TOOL = Tool(
    "extract_lora_from_models",
    "the difference of two models as a LoRA",
    "lora_trainer.tools.extract:main",
    ExtractLora,
    pages=(
        PageTool(
            name="extract_lora_from_models",
            title=Title("Extract from two checkpoints", "두 체크포인트에서 추출"),
            help=Title("The difference of two checkpoints as a LoRA.", "두 체크포인트의 차이를 LoRA로 만듭니다."),
            shown=(
                Shown(
                    "model_org",
                    kind="checkpoint",
                    required=True,
                    help=Title(
                        "The checkpoint that the other one was made from.", "다른 체크포인트의 바탕이 된 체크포인트입니다."
                    ),
                ),
                Shown(
                    "model_tuned",
                    kind="checkpoint",
                    required=True,
                    help=Title("The one whose difference becomes the LoRA.", "차이를 LoRA로 만들 체크포인트입니다."),
                ),
                Shown(
                    "dim",
                    start=32,
                    help=Title(
                        "How much of the difference the LoRA can hold. 32 to 128 for a whole fine-tuned model.",
                        "LoRA가 담을 수 있는 차이의 양입니다. 통째로 미세 조정한 모델이면 32에서 128이 알맞습니다.",
                    ),
                ),
                Shown(
                    "conv_dim",
                    more=True,
                    help=Title(
                        "Fill it in to take along the 3×3 convolutions, too: closer to the model, a larger file.",
                        "채우면 3×3 합성곱도 담습니다. 모델에 더 가깝지만 파일이 커집니다.",
                    ),
                ),
                precision(start="fp16"),
            ),
            suggest=("{model_tuned}", "difference"),
        ),
    ),
)
