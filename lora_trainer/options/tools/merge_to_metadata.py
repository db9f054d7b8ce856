"""`merge_captions_to_metadata` and `merge_dd_tags_to_metadata`: options, and what the page shows of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ..schema import Title, opt
from .declaring import PageTool, Shown, Tool
from .reporting import report_option


def _ending(default: str) -> Any:
    return opt(
        default,
        "Ending of the text files, which have the names of their images.",
        "이미지와 이름이 같은 텍스트 파일의 확장자입니다.",
        aliases=("caption_extention",),
        label="Ending of the text files",
        label_ko="텍스트 파일 확장자",
    )


@dataclass(frozen=True, kw_only=True)
class MergeToMetadata:
    """What both of them have."""

    TITLE: ClassVar[Title] = Title("Text files into a metadata file", "텍스트 파일을 메타데이터 파일로")
    REQUIRED: ClassVar[tuple[str, ...]] = ("train_data_dir", "out_json")
    POSITIONAL: ClassVar[tuple[str, ...]] = ("train_data_dir", "out_json")

    train_data_dir: str | None = opt(
        None,
        "Folder of the images, with the text files beside them.",
        "이미지와 텍스트 파일이 들어 있는 폴더입니다.",
        path="folder",
        label="Folder of the images",
        label_ko="이미지 폴더",
    )
    out_json: str | None = opt(
        None,
        (
            "The metadata file (.json) to write. One that is there is read first, unless in_json names another, and kept as a "
            "backup (.bak)."
        ),
        ("저장할 메타데이터 파일(.json)입니다. 이미 있으면 먼저 읽고(in_json이 없을 때) 백업(.bak)으로 남깁니다."),
        path="written",
        label="Metadata file",
        label_ko="메타데이터 파일",
    )
    in_json: str | None = opt(
        None,
        "A metadata file to begin with; what it has besides stays.",
        "시작할 메타데이터 파일입니다. 그 안의 다른 내용은 그대로 둡니다.",
        path="file",
        label="Metadata file to begin with",
        label_ko="시작할 메타데이터 파일",
    )
    full_path: bool = opt(
        False,
        "Write paths of the images as keys, so that several folders go into one file; else their names without ending.",
        "키로 이미지의 경로를 적어 여러 폴더의 이미지를 한 파일에 담습니다. 끄면 확장자 없는 이름만 적습니다.",
        label="Paths as keys",
        label_ko="경로를 키로",
    )
    recursive: bool = opt(
        False,
        "Take the images of the folders inside as well. Needs full_path.",
        "하위 폴더의 이미지도 넣습니다. full_path가 필요합니다.",
        label="Folders inside too",
        label_ko="하위 폴더 포함",
    )
    report: str | None = report_option()
    debug: bool = opt(False, "Print what is taken for each image.", "이미지마다 넣은 내용을 출력합니다.")


@dataclass(frozen=True, kw_only=True)
class MergeCaptions(MergeToMetadata):
    """merge_captions_to_metadata."""

    TITLE: ClassVar[Title] = Title("Captions into a metadata file", "캡션을 메타데이터 파일로")

    caption_extension: str = _ending(".caption")


@dataclass(frozen=True, kw_only=True)
class MergeTags(MergeToMetadata):
    """merge_dd_tags_to_metadata."""

    TITLE: ClassVar[Title] = Title("Tags into a metadata file", "태그를 메타데이터 파일로")

    caption_extension: str = _ending(".txt")


_SHOWN = (
    Shown("train_data_dir", kind="folder", required=True),
    Shown("out_json", kind="written", required=True),
    Shown("full_path", start=True),
    Shown("in_json", kind="path", more=True),
    Shown("recursive", more=True),
    Shown("caption_extension", more=True),
)
_FOR = Title(
    "For a training with a metadata file (in_json, metadata_file).",
    "메타데이터 파일로 학습할 때 씁니다(in_json, metadata_file).",
)
CAPTIONS = Tool(
    "merge_captions_to_metadata",
    "caption files into one metadata file",
    "lora_trainer.tools.merge_to_metadata:captions",
    MergeCaptions,
    pages=(PageTool(name="merge_captions", title=MergeCaptions.TITLE, help=_FOR, writes="metadata", shown=_SHOWN),),
)
TAGS = Tool(
    "merge_dd_tags_to_metadata",
    "tag files into one metadata file",
    "lora_trainer.tools.merge_to_metadata:tags",
    MergeTags,
    pages=(PageTool(name="merge_tags", title=MergeTags.TITLE, help=_FOR, writes="metadata", shown=_SHOWN),),
)
