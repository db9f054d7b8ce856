"""`tag_images_by_wd14_tagger`: options, and what the page shows of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..schema import Title, opt
from . import captioning
from .captioning import Captioning, threshold_option, underscore_option, undesired_option
from .declaring import PageTool, Shown, Tool

DEFAULT_REPO = "SmilingWolf/wd-v1-4-convnext-tagger-v2"


@dataclass(frozen=True, kw_only=True)
class TagImagesByWd14Tagger(Captioning):
    """tag_images_by_wd14_tagger."""

    TITLE: ClassVar[Title] = Title("WD14 tagger", "WD14 태거")

    repo_id: str = opt(
        DEFAULT_REPO,
        "The tagger: its name on Hugging Face (owner/name, or owner/name/folder), or a folder with its ONNX file and tags.",
        "태거입니다. Hugging Face의 이름(소유자/이름 또는 소유자/이름/폴더)이나, ONNX 파일과 태그 목록이 든 폴더를 적습니다.",
        label="Tagger",
        label_ko="태거",
    )
    model_dir: str = opt(
        "wd14_tagger_model",
        "Folder in which taggers from Hugging Face are kept.",
        "Hugging Face에서 받은 태거를 둘 폴더입니다.",
    )
    force_download: bool = opt(False, "Fetch the tagger again though it is there.", "태거가 있어도 다시 내려받습니다.")
    onnx: bool = opt(
        False,
        "The ONNX file of the tagger is used with or without this.",
        "이 옵션이 없어도 태거의 ONNX 파일을 사용합니다.",
    )
    output_path: str | None = opt(
        None,
        "Write all tags into this .json or .jsonl file, and no caption files.",
        "캡션 파일 대신 이 .json 또는 .jsonl 파일에 모든 태그를 저장합니다.",
        path="written",
    )
    thresh: float = threshold_option(
        "How sure the tagger has to be of a tag: lower gives more tags, and more wrong ones.",
        "태그로 인정할 확신도입니다. 낮추면 태그가 많아지지만 틀린 태그도 늘어납니다.",
        "How sure of a tag",
        "태그 확신도",
        0.35,
    )
    general_threshold: float | None = threshold_option(
        "The same for general tags.", "일반 태그의 확신도입니다.", "… of a general tag", "… 일반 태그"
    )
    character_threshold: float | None = threshold_option(
        "The same for names of characters; above 1 there are none.",
        "캐릭터 이름의 확신도입니다. 1보다 크면 캐릭터 태그를 쓰지 않습니다.",
        "… of a character",
        "… 캐릭터",
    )
    meta_threshold: float | None = threshold_option(
        "The same for tags about the file (newer lists).",
        "파일에 관한 태그의 확신도입니다(새 목록).",
        "… of a meta tag",
        "… 메타",
    )
    model_threshold: float | None = threshold_option(
        "The same for names of models (newer lists).", "모델 이름의 확신도입니다(새 목록).", "… of a model", "… 모델"
    )
    copyright_threshold: float | None = threshold_option(
        "The same for names of series (newer lists).", "작품 이름의 확신도입니다(새 목록).", "… of a series", "… 작품"
    )
    artist_threshold: float | None = threshold_option(
        "The same for names of artists (newer lists).", "작가 이름의 확신도입니다(새 목록).", "… of an artist", "… 작가"
    )
    remove_underscore: bool = underscore_option()
    undesired_tags: str = undesired_option()
    use_rating_tags: bool = opt(
        False,
        "Put the rating (general, sensitive, ...) first.",
        "등급(general, sensitive 등)을 맨 앞에 씁니다.",
        label="Rating first",
        label_ko="등급을 맨 앞에",
    )
    use_rating_tags_as_last_tag: bool = opt(False, "Put the rating last.", "등급을 맨 뒤에 씁니다.")
    use_quality_tags: bool = opt(False, "Put the quality first (newer lists).", "품질 태그를 맨 앞에 씁니다(새 목록).")
    use_quality_tags_as_last_tag: bool = opt(
        False, "Put the quality last (newer lists).", "품질 태그를 맨 뒤에 씁니다(새 목록)."
    )
    character_tags_first: bool = opt(
        False,
        "Put names of characters before general tags.",
        "캐릭터 이름을 일반 태그보다 앞에 씁니다.",
        label="Characters first",
        label_ko="캐릭터를 앞에",
    )
    always_first_tags: str | None = opt(
        None,
        "Tags that come first, in this order, where they are found: 1girl,1boy.",
        "찾았을 때 이 순서로 맨 앞에 둘 태그입니다: 1girl,1boy.",
        label="First these tags",
        label_ko="맨 앞에 둘 태그",
    )
    caption_separator: str = opt(
        ", ",
        "What stands between tags.",
        "태그 사이의 구분 기호입니다.",
    )
    tag_replacement: str | None = opt(
        None,
        r"Other words for tags: old1,new1;old2,new2. Write \, and \; for a comma or semicolon in a tag.",
        r"태그를 바꿉니다: 원래1,새것1;원래2,새것2. 태그 안의 쉼표와 세미콜론은 \, 와 \; 로 씁니다.",
        label="Other words for tags",
        label_ko="태그 바꾸기",
    )
    character_tag_expand: bool = opt(
        False,
        "Make two tags of name_(series): name, series.",
        "name_(series)를 name, series 두 태그로 나눕니다.",
    )
    append_tags: bool = opt(
        False,
        "Put new tags after those of a caption that is there (the same as --existing_captions after).",
        "이미 있는 캡션의 태그 뒤에 새 태그를 붙입니다(--existing_captions after와 같습니다).",
    )
    frequency_tags: bool = opt(
        False,
        "Print how often each tag was found.",
        "태그마다 몇 번 찾았는지 출력합니다.",
        label="Tell how often each tag was found",
        label_ko="태그 빈도 표시",
    )


TOOL = Tool(
    "tag_images_by_wd14_tagger",
    "write tags of pictures into text files",
    "lora_trainer.captioning.wd14:main",
    TagImagesByWd14Tagger,
    pages=(
        PageTool(
            name="tag_images_by_wd14_tagger",
            title=Title("Tags (WD14)", "태그 (WD14)"),
            help=Title(
                "Looks at pictures and writes tags beside them: 1girl, long hair, outdoors. Best for anime and illustrations.",
                "이미지를 보고 1girl, long hair, outdoors 같은 태그를 옆에 씁니다. 애니메이션과 일러스트에 좋습니다.",
            ),
            writes="captions",
            package="onnxruntime",
            shown=(
                captioning.FOLDER,
                captioning.EXISTING,
                Shown("thresh"),
                Shown("character_threshold"),
                Shown("remove_underscore", start=True),
                Shown("undesired_tags"),
                Shown("repo_id", kind="hub", more=True),
                Shown("always_first_tags", more=True),
                Shown("character_tags_first", more=True),
                Shown("use_rating_tags", more=True),
                Shown("tag_replacement", more=True),
                Shown("frequency_tags", more=True),
                *captioning.REST,
            ),
        ),
    ),
)
