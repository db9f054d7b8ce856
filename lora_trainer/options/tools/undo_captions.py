"""`undo_captions`: options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..schema import Title, opt
from .declaring import Tool


@dataclass(frozen=True, kw_only=True)
class UndoCaptions:
    """undo_captions."""

    TITLE: ClassVar[Title] = Title("Undo captions", "캡션 되돌리기")
    REQUIRED: ClassVar[tuple[str, ...]] = ("train_data_dir",)
    POSITIONAL: ClassVar[tuple[str, ...]] = ("train_data_dir",)

    train_data_dir: str | None = opt(None, "Folder of the pictures.", "이미지 폴더입니다.", path="folder")
    backup_name: str | None = opt(
        None,
        "The run to undo, a folder of .caption-backups; left out, the last one.",
        "되돌릴 실행입니다(.caption-backups의 폴더 이름). 생략하면 마지막 실행입니다.",
    )


TOOL = Tool(
    "undo_captions",
    "bring back the captions that a tool has changed",
    "lora_trainer.captioning.undo:main",
    UndoCaptions,
)
