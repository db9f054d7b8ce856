"""`convert_lora`: options, and what the page shows of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..schema import Title, opt
from .declaring import Output, PageTool, Shown, Tool, precision


@dataclass(frozen=True, kw_only=True)
class ConvertLora(Output):
    """convert_lora."""

    TITLE: ClassVar[Title] = Title("Convert a LoRA's names", "LoRA 키 이름 변환")
    REQUIRED: ClassVar[tuple[str, ...]] = ("model", "save_to")
    POSITIONAL: ClassVar[tuple[str, ...]] = ("model",)

    model: str | None = opt(
        None,
        "The LoRA file.",
        "LoRA 파일입니다.",
        path="file",
        label="LoRA",
        label_ko="LoRA",
    )
    to: str = opt(
        "kohya",
        "The names to write: kohya (the Web UI and most programs), webui (the Web UI's own names), peft or diffusers.",
        "저장할 키 이름의 형식입니다: kohya (Web UI와 대부분의 프로그램), webui (Web UI 내부 이름), peft, diffusers.",
        choices=("kohya", "webui", "peft", "diffusers"),
        label="Names",
        label_ko="이름 형식",
    )


TOOL = Tool(
    "convert_lora",
    "key names between kohya's, PEFT's and diffusers'",
    "lora_trainer.tools.convert:main",
    ConvertLora,
    pages=(
        PageTool(
            name="convert_lora",
            title=Title("Convert the names", "키 이름 변환"),
            help=Title(
                "For use in other programs, or from them.", "다른 프로그램에서 쓰거나 다른 프로그램의 파일을 가져올 때 씁니다."
            ),
            shown=(
                Shown(
                    "model",
                    kind="lora",
                    required=True,
                    help=Title(
                        "A file in the LoRA folder, whatever program it is from. It stays as it is.",
                        "LoRA 폴더에 있는 파일이면 어떤 프로그램의 것이든 됩니다. 이 파일은 그대로 둡니다.",
                    ),
                ),
                Shown(
                    "to",
                    help=Title(
                        "kohya is read by the Web UI and most programs; PEFT and diffusers are for Python.",
                        "kohya는 Web UI와 대부분의 프로그램이 읽고, PEFT와 diffusers는 파이썬에서 씁니다.",
                    ),
                    choices={"kohya": Title("kohya (Web UI)", "kohya (Web UI)"), "peft": Title("PEFT", "PEFT")},
                ),
                precision(),
            ),
            suggest=("{model}", "{to}"),
        ),
    ),
)
