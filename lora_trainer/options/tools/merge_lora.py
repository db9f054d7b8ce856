"""`merge_lora`: options, and what the page shows of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..schema import Title, opt
from .declaring import (
    PRECISIONS,
    Output,
    PageTool,
    Shown,
    Tool,
    models_option,
    models_shown,
    no_metadata_option,
    precision,
    ratios_option,
)


@dataclass(frozen=True, kw_only=True)
class MergeLora(Output):
    """merge_lora."""

    TITLE: ClassVar[Title] = Title("Merge LoRA", "LoRA 병합")
    REQUIRED: ClassVar[tuple[str, ...]] = ("save_to", "models", "ratios")

    sd_model: str | None = opt(
        None,
        "The checkpoint (.safetensors or .ckpt), or folder of diffusers, to merge into; without it the LoRAs are merged with "
        "each other.",
        "LoRA를 합칠 체크포인트(.safetensors, .ckpt) 또는 diffusers 폴더입니다. 없으면 LoRA끼리 합칩니다.",
        path="checkpoint",
        label="Checkpoint",
        label_ko="체크포인트",
    )
    models: tuple[str, ...] | None = models_option(
        "The LoRA files to merge, in this order.", "순서대로 합칠 LoRA 파일들입니다."
    )
    ratios: tuple[float, ...] | None = ratios_option()
    v2: bool = opt(
        False,
        "The checkpoint is a Stable Diffusion 2 model (it is recognised anyway; this checks it).",
        "체크포인트가 Stable Diffusion 2 모델입니다 (자동으로 알아내며, 맞는지 확인합니다).",
    )
    precision: str = opt(
        "float",
        "Number format of the merged weights; sums are computed in float32 anyway.",
        "합친 가중치의 숫자 형식입니다. 합은 항상 float32로 계산합니다.",
        choices=PRECISIONS,
    )
    concat: bool = opt(
        False,
        "LoRA with LoRA: put the ranks side by side (exact; the ranks add up) instead of adding the factors.",
        "LoRA끼리 합칠 때 랭크를 나란히 붙입니다 (정확하지만 랭크가 더해집니다).",
        label="Ranks side by side",
        label_ko="랭크를 나란히 붙이기",
    )
    shuffle: bool = opt(
        False,
        "With concat: mix the order of the ranks (the effect stays the same).",
        "concat과 함께: 랭크의 순서를 섞습니다 (효과는 같습니다).",
    )
    no_metadata: bool = no_metadata_option()


TOOL = Tool(
    "merge_lora",
    "merge LoRAs into a checkpoint, or with each other",
    "lora_trainer.tools.merge:main",
    MergeLora,
    pages=(
        PageTool(
            name="merge_lora",
            title=Title("Join LoRAs exactly", "LoRA 그대로 잇기"),
            help=Title(
                "Nothing is lost: the ranks add up (16 + 16 = 32), and so do the sizes.",
                "잃는 것이 없습니다. 랭크와 파일 크기가 더해집니다 (16 + 16 = 32).",
            ),
            shown=(
                models_shown(),
                Shown(
                    "concat",
                    more=True,
                    start=True,
                    help=Title(
                        (
                            "Off: adds the factors themselves, as kohya's merge_lora does. Right only for "
                            "files that share a factor."
                        ),
                        "끄면 kohya의 merge_lora처럼 인수 자체를 더합니다. 인수를 공유하는 파일에만 맞는 방법입니다.",
                    ),
                ),
                precision(start="fp16"),
            ),
            suggest=("{models}",),
        ),
        PageTool(
            name="merge_into_checkpoint",
            title=Title("Merge into a checkpoint", "체크포인트에 병합"),
            help=Title("A new checkpoint with the LoRAs built in.", "LoRA를 합친 새 체크포인트를 만듭니다."),
            writes="checkpoint",
            shown=(
                Shown(
                    "sd_model",
                    kind="checkpoint",
                    required=True,
                    help=Title("It stays as it is; the result is a new file.", "이 파일은 그대로 두고 새 파일을 만듭니다."),
                ),
                Shown(
                    "models",
                    kind="loras",
                    required=True,
                    help=Title(
                        "As strongly as the number in <lora:name:0.8> does it.", "<lora:이름:0.8>에 쓰는 수와 같은 세기입니다."
                    ),
                ),
                precision(start="fp16"),
            ),
            suggest=("{sd_model}", "{models}"),
        ),
    ),
)
