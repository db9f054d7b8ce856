"""`tag_images_by_deepdanbooru`: options, and what the page shows of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..schema import Title, opt
from . import captioning
from .captioning import Captioning, threshold_option, underscore_option, undesired_option
from .declaring import PageTool, Shown, Tool


@dataclass(frozen=True, kw_only=True)
class TagImagesByDeepDanbooru(Captioning):
    """tag_images_by_deepdanbooru."""

    TITLE: ClassVar[Title] = Title("DeepDanbooru", "DeepDanbooru")
    REQUIRED: ClassVar[tuple[str, ...]] = ("train_data_dir", "model")

    model: str | None = opt(
        None,
        "The file model-resnet_custom_v3.pt, which the Web UI keeps in models/torch_deepdanbooru.",
        "model-resnet_custom_v3.pt 파일입니다. Web UI는 models/torch_deepdanbooru에 둡니다.",
        path="file",
        label="DeepDanbooru's file",
        label_ko="DeepDanbooru 파일",
    )
    thresh: float = threshold_option(
        "How sure DeepDanbooru has to be of a tag: lower gives more tags, and more wrong ones.",
        "태그로 인정할 확신도입니다. 낮추면 태그가 많아지지만 틀린 태그도 늘어납니다.",
        "How sure of a tag",
        "태그 확신도",
        0.5,
    )
    remove_underscore: bool = underscore_option()
    undesired_tags: str = undesired_option()
    use_rating_tags: bool = opt(
        False,
        "Write the rating (rating:safe, ...) as well, last.",
        "등급(rating:safe 등)도 맨 뒤에 씁니다.",
        label="Rating too",
        label_ko="등급도 쓰기",
    )
    frequency_tags: bool = opt(False, "Print how often each tag was found.", "태그마다 몇 번 찾았는지 출력합니다.")


TOOL = Tool(
    "tag_images_by_deepdanbooru",
    "write tags of pictures into text files (DeepDanbooru)",
    "lora_trainer.captioning.deepdanbooru:main",
    TagImagesByDeepDanbooru,
    pages=(
        PageTool(
            name="tag_images_by_deepdanbooru",
            title=Title("Tags (DeepDanbooru)", "태그 (DeepDanbooru)"),
            help=Title(
                "Tags by the model of the Web UI's Interrogate DeepBooru, for those who have it already. WD14 is better.",
                "Web UI의 Interrogate DeepBooru가 쓰는 모델로 태그를 씁니다. 이미 있을 때 쓰며, WD14가 더 낫습니다.",
            ),
            writes="captions",
            shown=(
                captioning.FOLDER,
                captioning.EXISTING,
                Shown("model", kind="path", required=True),
                Shown("thresh"),
                Shown("remove_underscore", start=True),
                Shown("undesired_tags", more=True),
                Shown("use_rating_tags", more=True),
                *captioning.REST,
            ),
        ),
    ),
)
