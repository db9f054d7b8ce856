"""`clear_cache`: options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..schema import Title, opt
from .declaring import PageTool, Shown, Tool
from .reporting import report_option


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
        label="Folder of images",
        label_ko="이미지 폴더",
    )
    show: bool = opt(
        False, "Only say how much it is.", "크기만 보여 줍니다.", label="Only say how much", label_ko="크기만 보기"
    )
    report: str | None = report_option()


TOOL = Tool(
    "clear_cache",
    "remove what trainings have kept of images on the disk (latents, texts), or say how much it is",
    "lora_trainer.tools.caches:main",
    ClearCache,
    pages=(
        PageTool(
            name="clear_cache",
            title=Title("Caches on the disk", "디스크의 캐시"),
            help=Title(
                "How much trainings have kept beside images (latents, texts), and its removal. Images and captions stay.",
                "학습이 이미지 옆에 남긴 캐시(잠재값, 텍스트)의 크기를 보고 지웁니다. 이미지와 캡션은 그대로 둡니다.",
            ),
            writes="removal",
            confirm=(
                Title(
                    "Remove what trainings have kept of these images? The next training makes it again, which takes a while.",
                    "이 이미지들의 캐시를 지울까요? 다음 학습이 다시 만들며 시간이 걸립니다.",
                ),
                Title("Remove the caches", "캐시 지우기"),
            ),
            harmless="show",
            shown=(Shown("folder", kind="folder", required=True), Shown("show", start=True)),
        ),
    ),
)
