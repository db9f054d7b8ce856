"""`show_metadata` and `edit_metadata`: options, and what the page shows of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..schema import Title, opt
from .declaring import Output, Tool


@dataclass(frozen=True, kw_only=True)
class ShowMetadata:
    """show_metadata."""

    TITLE: ClassVar[Title] = Title("Show metadata", "메타데이터 보기")
    REQUIRED: ClassVar[tuple[str, ...]] = ("model",)
    POSITIONAL: ClassVar[tuple[str, ...]] = ("model",)

    model: str | None = opt(
        None,
        "The .safetensors file.",
        ".safetensors 파일입니다.",
        path="file",
        label="LoRA",
        label_ko="LoRA",
    )
    key: tuple[str, ...] | None = opt(None, "Show only these keys.", "이 키만 보여 줍니다.")
    json: bool = opt(False, "Print JSON.", "JSON으로 출력합니다.")


@dataclass(frozen=True, kw_only=True)
class EditMetadata(Output):
    """edit_metadata."""

    TITLE: ClassVar[Title] = Title("Edit metadata", "메타데이터 고치기")
    REQUIRED: ClassVar[tuple[str, ...]] = ("model", "save_to")
    POSITIONAL: ClassVar[tuple[str, ...]] = ("model",)

    model: str | None = opt(
        None,
        "The .safetensors file.",
        ".safetensors 파일입니다.",
        path="file",
        label="LoRA",
        label_ko="LoRA",
    )
    set: tuple[str, ...] | None = opt(
        None, "Values to write, each as key=value.", "적을 값입니다. 각각 키=값 형식으로 적습니다."
    )
    remove: tuple[str, ...] | None = opt(
        None, "Keys to remove; ss_dataset* removes all that begin so.", "지울 키입니다. ss_dataset*처럼 적을 수 있습니다."
    )


SHOW = Tool(
    "show_metadata",
    "print a file's metadata",
    "lora_trainer.tools.metadata:show",
    ShowMetadata,
    pages=(),
)
EDIT = Tool(
    "edit_metadata",
    "change a file's metadata",
    "lora_trainer.tools.metadata:edit",
    EditMetadata,
    pages=(),
)
