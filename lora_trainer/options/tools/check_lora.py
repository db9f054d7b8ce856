"""`check_lora`: options, and what the page shows of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..schema import Title, opt
from .declaring import PageTool, Shown, Tool


@dataclass(frozen=True, kw_only=True)
class CheckLora:
    """check_lora."""

    TITLE: ClassVar[Title] = Title("Check a LoRA", "LoRA 검사")
    REQUIRED: ClassVar[tuple[str, ...]] = ("model",)
    POSITIONAL: ClassVar[tuple[str, ...]] = ("model",)

    model: str | None = opt(
        None,
        "The LoRA file.",
        "LoRA 파일입니다.",
        path="file",
        label="LoRA",
        label_ko="LoRA",
    )
    sd_model: str | None = opt(
        None,
        "A checkpoint (or folder of diffusers): see whether every module fits one of its layers.",
        "체크포인트 또는 diffusers 폴더입니다. 각 모듈이 그 모델의 층에 맞는지 봅니다.",
        path="checkpoint",
        label="Checkpoint",
        label_ko="체크포인트",
    )
    picture: str | None = opt(
        None, "Draw the norm per block into this .png file.", "블록별 노름을 이 .png 파일에 그립니다.", path="any"
    )
    show_all_keys: bool = opt(False, "List every tensor.", "모든 텐서를 보여 줍니다.")


TOOL = Tool(
    "check_lora",
    "what is in a LoRA file, and what is wrong with it",
    "lora_trainer.tools.check:main",
    CheckLora,
    pages=(
        PageTool(
            name="check_lora",
            title=Title("Check a file", "파일 검사"),
            help=Title("What is in it, and what is wrong with it.", "무엇이 들어 있고 무엇이 잘못되었는지 봅니다."),
            writes="",
            shown=(
                Shown(
                    "model",
                    kind="lora",
                    required=True,
                    help=Title(
                        "Any file in the LoRA folder, also one that does not work.",
                        "LoRA 폴더의 파일입니다. 작동하지 않는 파일도 됩니다.",
                    ),
                ),
                Shown(
                    "sd_model",
                    kind="checkpoint",
                    help=Title(
                        "See also whether every part fits a layer of this checkpoint.",
                        "모든 부분이 이 체크포인트의 층에 맞는지도 봅니다.",
                    ),
                ),
            ),
            suggest=(),
        ),
    ),
)
