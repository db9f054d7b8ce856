"""`resize_lora`: options, and what the page shows of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..schema import Title, opt
from .declaring import Output, PageTool, Shown, Tool, device_option, precision


@dataclass(frozen=True, kw_only=True)
class ResizeLora(Output):
    """resize_lora."""

    TITLE: ClassVar[Title] = Title("Resize LoRA", "LoRA 랭크 바꾸기")
    REQUIRED: ClassVar[tuple[str, ...]] = ("save_to", "model")

    model: str | None = opt(
        None,
        "The LoRA file to resize.",
        "랭크를 바꿀 LoRA 파일입니다.",
        path="file",
        label="LoRA",
        label_ko="LoRA",
    )
    new_rank: int = opt(
        4,
        "New rank; with dynamic_method, the largest rank allowed.",
        "새 랭크입니다. dynamic_method와 함께 쓰면 최대 랭크입니다.",
        minimum=1,
        maximum=4096,
        label="New rank",
        label_ko="새 랭크",
    )
    new_conv_rank: int | None = opt(
        None,
        "New rank of convolutions (1x1 too); the same as new_rank when left out.",
        "합성곱(1x1 포함)의 새 랭크입니다. 생략하면 new_rank와 같습니다.",
        minimum=1,
        maximum=4096,
        label="New rank of convolutions",
        label_ko="합성곱의 새 랭크",
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
        label="A rank for each layer",
        label_ko="층마다 다른 랭크",
    )
    dynamic_param: float | None = opt(
        None,
        "The number for dynamic_method.",
        "dynamic_method에 쓰는 수입니다.",
        above=0.0,
        label="Number for that",
        label_ko="그 방법의 수",
    )
    device: str = device_option()
    verbose: bool = opt(
        False,
        "Report rank, kept sum and kept norm of every layer.",
        "각 층의 랭크와 남은 합, 남은 노름을 보여 줍니다.",
    )


TOOL = Tool(
    "resize_lora",
    "change a LoRA's rank",
    "lora_trainer.tools.resize:main",
    ResizeLora,
    pages=(
        PageTool(
            name="resize_lora",
            title=Title("Change the rank", "랭크 바꾸기"),
            help=Title("A smaller file that does nearly the same.", "효과는 거의 같고 크기는 더 작은 파일을 만듭니다."),
            shown=(
                Shown(
                    "model",
                    kind="lora",
                    required=True,
                    help=Title("It stays as it is; the result is a new file.", "이 파일은 그대로 두고 새 파일을 만듭니다."),
                ),
                Shown(
                    "new_rank",
                    start=16,
                    below="model",
                    help=Title(
                        "A smaller rank is a smaller file. Half the old rank usually looks the same.",
                        "랭크가 작을수록 파일도 작아집니다. 원래 랭크의 절반이면 대개 같은 그림이 나옵니다.",
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
                    "dynamic_method",
                    more=True,
                    help=Title(
                        "Each layer gets the rank that it needs, up to the new rank.",
                        "층마다 필요한 만큼의 랭크를 씁니다 (새 랭크까지).",
                    ),
                    choices={
                        "sv_ratio": Title("leave out what is much weaker (sv_ratio)", "훨씬 약한 것은 빼기 (sv_ratio)"),
                        "sv_fro": Title("keep a share of the strength (sv_fro)", "세기의 일정 비율 지키기 (sv_fro)"),
                        "sv_cumulative": Title(
                            "keep a share of the sum (sv_cumulative)", "합의 일정 비율 지키기 (sv_cumulative)"
                        ),
                    },
                ),
                Shown(
                    "dynamic_param",
                    more=True,
                    help=Title(
                        (
                            "The share to keep, for example 0.95; for sv_ratio how many times weaker than the "
                            "strongest part, for example 20."
                        ),
                        (
                            "지킬 비율입니다 (예: 0.95). sv_ratio에서는 가장 강한 부분보다 몇 배 약한 것까지 "
                            "남길지 정합니다 (예: 20)."
                        ),
                    ),
                ),
                precision(),
            ),
            suggest=("{model}", "rank{new_rank}"),
        ),
    ),
)
