"""`clean_captions_and_tags`: options, and what the page shows of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..schema import Title, opt
from .declaring import PageTool, Shown, Tool
from .reporting import report_option


@dataclass(frozen=True, kw_only=True)
class CleanCaptionsAndTags:
    """clean_captions_and_tags."""

    TITLE: ClassVar[Title] = Title("Clean a metadata file", "메타데이터 파일 정리")
    REQUIRED: ClassVar[tuple[str, ...]] = ("in_json", "out_json")
    POSITIONAL: ClassVar[tuple[str, ...]] = ("in_json", "out_json")

    in_json: str | None = opt(
        None,
        "The metadata file to clean.",
        "정리할 메타데이터 파일입니다.",
        path="file",
        label="Metadata file",
        label_ko="메타데이터 파일",
    )
    out_json: str | None = opt(
        None,
        "The metadata file to write. One that is there is kept as a backup (.bak).",
        "저장할 메타데이터 파일입니다. 이미 있으면 백업(.bak)으로 남깁니다.",
        path="written",
        label="File to write",
        label_ko="저장할 파일",
    )
    report: str | None = report_option()
    debug: bool = opt(False, "Print each image's words before and after.", "이미지마다 정리 전후를 출력합니다.")


TOOL = Tool(
    "clean_captions_and_tags",
    "put the captions and tags of a metadata file in order",
    "lora_trainer.tools.clean_metadata:main",
    CleanCaptionsAndTags,
    pages=(
        PageTool(
            name="clean_metadata",
            title=CleanCaptionsAndTags.TITLE,
            help=Title(
                "One word for one thing, no underscores, no ratings, no tags that say nothing. For pictures of drawn girls.",
                "같은 것은 한 단어로, 밑줄과 등급과 뜻 없는 태그는 뺍니다. 그림 속 소녀를 위한 규칙입니다.",
            ),
            writes="metadata",
            shown=(Shown("in_json", kind="path", required=True), Shown("out_json", kind="written", required=True)),
        ),
    ),
)
