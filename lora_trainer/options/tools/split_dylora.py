"""`extract_lora_from_dylora`: options, and what the page shows of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..schema import Title, opt
from .declaring import PRECISIONS, PageTool, Shown, Tool, precision


@dataclass(frozen=True, kw_only=True)
class SplitDylora:
    """extract_lora_from_dylora."""

    TITLE: ClassVar[Title] = Title("Split a DyLoRA", "DyLoRA에서 LoRA 추출")
    REQUIRED: ClassVar[tuple[str, ...]] = ("model", "save_to", "unit")
    POSITIONAL: ClassVar[tuple[str, ...]] = ()

    model: str | None = opt(
        None,
        "The DyLoRA file.",
        "DyLoRA 파일입니다.",
        path="file",
        label="LoRA",
        label_ko="LoRA",
    )
    save_to: str | None = opt(
        None,
        "The files to write: the rank is put behind the name (name-0004.safetensors).",
        "저장할 파일 이름입니다. 뒤에 랭크가 붙습니다 (name-0004.safetensors).",
        path="any",
    )
    unit: int | None = opt(
        None,
        "Unit of the ranks, as in the training.",
        "학습할 때 쓴 unit입니다.",
        minimum=1,
        maximum=4096,
        label="Unit",
        label_ko="단위",
    )
    overwrite: bool = opt(False, "Replace files that are there already.", "이미 있는 파일을 덮어씁니다.")
    save_precision: str | None = opt(
        None,
        "Number format of the files; left out, that of the DyLoRA.",
        "결과의 숫자 형식입니다.",
        choices=PRECISIONS,
        label="Number format",
        label_ko="숫자 형식",
    )


TOOL = Tool(
    "extract_lora_from_dylora",
    "the smaller LoRAs inside a DyLoRA",
    "lora_trainer.tools.split:main",
    SplitDylora,
    pages=(
        PageTool(
            name="extract_lora_from_dylora",
            title=Title("Split a DyLoRA", "DyLoRA 나누기"),
            help=Title("The smaller LoRAs inside it, one file a rank.", "안에 든 작은 LoRA들을 랭크마다 파일 하나로 꺼냅니다."),
            shown=(
                Shown(
                    "model",
                    kind="lora",
                    required=True,
                    help=Title(
                        "A file that was trained as DyLoRA. It stays as it is.",
                        "DyLoRA로 학습한 파일입니다. 이 파일은 그대로 둡니다.",
                    ),
                ),
                Shown(
                    "unit",
                    required=True,
                    help=Title(
                        "As in the training. With 4 you get files of rank 4, 8, 12, …",
                        "학습할 때 쓴 값입니다. 4면 랭크 4, 8, 12…의 파일이 나옵니다.",
                    ),
                ),
                precision(),
            ),
            suggest=("{model}", "split"),
        ),
    ),
)
