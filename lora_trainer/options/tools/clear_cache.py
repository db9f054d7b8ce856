"""`clear_cache`: options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..schema import Title, opt
from .declaring import Tool


@dataclass(frozen=True, kw_only=True)
class ClearCache:
    """clear_cache."""

    TITLE: ClassVar[Title] = Title("Remove caches", "캐시 지우기")
    REQUIRED: ClassVar[tuple[str, ...]] = ("folder",)
    POSITIONAL: ClassVar[tuple[str, ...]] = ("folder",)

    folder: str | None = opt(
        None,
        "Folder of images, or of such folders: what trainings have kept of them on the disk.",
        "이미지 폴더나 그런 폴더들이 든 폴더입니다. 학습이 디스크에 남긴 캐시를 다룹니다.",
        path="folder",
    )
    show: bool = opt(False, "Only say how much it is.", "크기만 보여 줍니다.")


TOOL = Tool(
    "clear_cache",
    "remove what trainings have kept of images on the disk (latents, texts), or say how much it is",
    "lora_trainer.tools.caches:main",
    ClearCache,
)
