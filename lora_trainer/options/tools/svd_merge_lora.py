"""`svd_merge_lora`: options, and what the page shows of them."""

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
    device_option,
    models_option,
    models_shown,
    no_metadata_option,
    precision,
    ratios_option,
)


@dataclass(frozen=True, kw_only=True)
class SvdMergeLora(Output):
    """svd_merge_lora."""

    TITLE: ClassVar[Title] = Title("Merge LoRA to a new rank", "다른 랭크로 LoRA 병합")
    REQUIRED: ClassVar[tuple[str, ...]] = ("save_to", "models", "ratios")

    models: tuple[str, ...] | None = models_option(
        "The LoRA files to merge; any ranks.", "합칠 LoRA 파일들입니다. 랭크는 달라도 됩니다."
    )
    ratios: tuple[float, ...] | None = ratios_option()
    new_rank: int | None = opt(
        None,
        "Rank of the result: 4 when left out; with kept_energy, the largest rank allowed.",
        "결과의 랭크입니다. 생략하면 4이며, kept_energy와 함께 쓰면 최대 랭크입니다.",
        minimum=1,
        maximum=4096,
        label="New rank",
        label_ko="새 랭크",
    )
    new_conv_rank: int | None = opt(
        None,
        "Rank of 3x3 convolutions in the result; the same as new_rank when left out.",
        "결과에서 3x3 합성곱의 랭크입니다. 생략하면 new_rank와 같습니다.",
        minimum=1,
        maximum=4096,
        label="New rank of convolutions",
        label_ko="합성곱의 새 랭크",
    )
    kept_energy: float | None = opt(
        None,
        "Choose each layer's rank so that it keeps this share of the energy (0.99: squared singular values).",
        "각 층이 에너지(특이값 제곱의 합)의 이 비율을 지키도록 랭크를 자동으로 정합니다 (예: 0.99).",
        above=0.0,
        maximum=1.0,
        label="Share to keep",
        label_ko="지킬 비율",
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
    device: str = device_option()
    precision: str = opt(
        "float",
        "Number format of the result when save_precision is left out; the calculation is in float64.",
        "save_precision을 생략했을 때 결과의 숫자 형식입니다. 계산은 float64로 합니다.",
        choices=PRECISIONS,
    )
    no_metadata: bool = no_metadata_option()


TOOL = Tool(
    "svd_merge_lora",
    "merge LoRAs of any ranks into one of a new rank",
    "lora_trainer.tools.svd_merge:main",
    SvdMergeLora,
    pages=(
        PageTool(
            name="svd_merge_lora",
            title=Title("Merge LoRAs", "LoRA 병합"),
            help=Title("Several LoRAs become one of the rank you want.", "여러 LoRA를 원하는 랭크의 LoRA 하나로 합칩니다."),
            shown=(
                models_shown(),
                Shown(
                    "new_rank",
                    start=32,
                    help=Title(
                        (
                            "How much the merged LoRA can hold. The largest rank of the sources is usually "
                            "enough; their sum loses nothing."
                        ),
                        (
                            "병합한 LoRA가 담을 수 있는 양입니다. 원본 중 가장 큰 랭크면 대개 충분하고, 모두 "
                            "더하면 잃는 것이 없습니다."
                        ),
                    ),
                ),
                Shown(
                    "new_conv_rank",
                    more=True,
                    help=Title(
                        "Only for LoRAs with 3×3 convolutions (C3Lier, LoCon). Empty: the rank above.",
                        "3×3 합성곱이 있는 LoRA(C3Lier, LoCon)에만 씁니다. 비우면 위의 랭크를 씁니다.",
                    ),
                ),
                Shown(
                    "kept_energy",
                    more=True,
                    help=Title(
                        (
                            "Empty: every layer gets the new rank. 0.99: each layer gets the smallest rank "
                            "that keeps 99 % of its effect."
                        ),
                        "비우면 모든 층이 새 랭크를 씁니다. 0.99면 층마다 효과의 99%를 지키는 가장 작은 랭크를 씁니다.",
                    ),
                ),
                precision(start="fp16"),
            ),
            suggest=("{models}",),
        ),
    ),
)
