"""What the tools that write captions have in common: the pictures, the caption files, what becomes of those there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ..schema import Title, opt
from .declaring import Shown
from .reporting import report_option

REPLACE, KEEP, BEFORE, AFTER = "replace", "keep", "before", "after"
_EXISTING = {
    REPLACE: ("Replace them (the earlier ones go into a backup)", "바꾸기 (이전 캡션은 백업에 남습니다)"),
    KEEP: ("Keep them, write only where there is none", "그대로 두고, 없는 곳에만 쓰기"),
    BEFORE: ("Put the new words before them", "새 단어를 앞에 붙이기"),
    AFTER: ("Put the new words after them", "새 단어를 뒤에 붙이기"),
}


@dataclass(frozen=True, kw_only=True)
class Captioning:
    """The options that all of these tools have."""

    TITLE: ClassVar[Title] = Title("Captions", "캡션")
    REQUIRED: ClassVar[tuple[str, ...]] = ("train_data_dir",)
    POSITIONAL: ClassVar[tuple[str, ...]] = ("train_data_dir",)

    train_data_dir: str | None = opt(
        None,
        "Folder of the pictures; each gets a text file of its name beside it.",
        "이미지 폴더입니다. 이미지마다 같은 이름의 텍스트 파일이 옆에 생깁니다.",
        path="folder",
        label="Folder of the pictures",
        label_ko="이미지 폴더",
    )
    recursive: bool = opt(
        False,
        "Take the pictures of its sub-folders too.",
        "하위 폴더의 이미지도 처리합니다.",
        label="Sub-folders too",
        label_ko="하위 폴더 포함",
    )
    existing_captions: str = opt(
        REPLACE,
        "What becomes of captions that are there. Whatever is changed is kept in a backup, which undo_captions brings back.",
        "이미 있는 캡션을 어떻게 할지 정합니다. 바뀌는 것은 모두 백업에 남으며 undo_captions로 되돌릴 수 있습니다.",
        choices=_EXISTING,
        label="Captions that are there already",
        label_ko="이미 있는 캡션",
    )
    caption_extension: str = opt(
        ".txt",
        "Ending of the caption files.",
        "캡션 파일의 확장자입니다.",
        label="Ending of the caption files",
        label_ko="캡션 파일 확장자",
    )
    caption_extention: str | None = opt(None, "The same, as older command lines spell it.", "같은 옵션의 예전 철자입니다.")
    batch_size: int = opt(
        1,
        "Pictures at a time; more is quicker and needs more memory.",
        "한 번에 처리할 이미지 수입니다. 크면 빠르지만 메모리를 더 씁니다.",
        minimum=1,
        maximum=256,
        label="Pictures at a time",
        label_ko="한 번에 처리할 이미지 수",
    )
    max_data_loader_n_workers: int | None = opt(
        None,
        "How many threads read pictures ahead; left out, up to 4.",
        "이미지를 미리 읽을 스레드 수입니다. 생략하면 최대 4개입니다.",
        minimum=0,
        maximum=64,
    )
    device: str = opt(
        "auto",
        "Where to compute: auto takes the card when it has room and the processor otherwise; cpu, cuda, cuda:1.",
        "계산할 장치입니다. auto는 그래픽 카드에 여유가 있으면 카드를, 아니면 CPU를 씁니다. cpu, cuda, cuda:1도 됩니다.",
    )
    backup_name: str | None = opt(
        None,
        "Name of this run's folder in .caption-backups; left out, date and time.",
        ".caption-backups 안에 만들 이번 실행의 폴더 이름입니다. 생략하면 날짜와 시각입니다.",
    )
    report: str | None = report_option()
    debug: bool = opt(False, "Print what was found in each picture.", "이미지마다 찾은 것을 출력합니다.")


def threshold_option(help: str, ko: str, label: str, label_ko: str, default: float | None = None) -> Any:
    """A share of certainty from which a tag counts; above 1 none of its kind does."""
    return opt(default, help, ko, minimum=0.0, maximum=2.0, label=label, label_ko=label_ko)


def underscore_option() -> Any:
    """remove_underscore of the taggers."""
    return opt(
        False,
        "Write long hair for long_hair; faces like ^_^ stay.",
        "long_hair를 long hair로 씁니다. ^_^ 같은 표정은 그대로 둡니다.",
        label="Spaces instead of underscores",
        label_ko="밑줄 대신 공백",
    )


def undesired_option() -> Any:
    """undesired_tags of the taggers."""
    return opt(
        "",
        "Tags that are never written, with commas between them.",
        "쓰지 않을 태그를 쉼표로 나누어 적습니다.",
        label="Never these tags",
        label_ko="제외할 태그",
    )


FOLDER = Shown("train_data_dir", kind="folder", required=True)
EXISTING = Shown(
    "existing_captions",
    start=KEEP,
    help=Title("What is changed is kept, and Undo brings it back.", "바뀌는 것은 보관하며 되돌리기로 되돌릴 수 있습니다."),
)
"""On the page nothing is replaced unless that is asked for."""
REST = (Shown("recursive", more=True), Shown("caption_extension", more=True), Shown("batch_size", more=True))
REST_AS_TEXT = tuple(Shown(one.name, more=True, start=".txt" if one.name == "caption_extension" else None) for one in REST)
"""The same for what writes .caption files on the command line: the page trains .txt files at first."""
