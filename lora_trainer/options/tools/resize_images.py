"""`resize_images_to_resolution`: options, and what the page shows of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..schema import Title, opt
from .declaring import Tool


@dataclass(frozen=True, kw_only=True)
class ResizeImages:
    """resize_images_to_resolution."""

    TITLE: ClassVar[Title] = Title("Resize images", "이미지 크기 줄이기")
    REQUIRED: ClassVar[tuple[str, ...]] = ("src_img_folder", "dst_img_folder")
    POSITIONAL: ClassVar[tuple[str, ...]] = ("src_img_folder", "dst_img_folder")

    src_img_folder: str | None = opt(None, "Folder of the images.", "원본 이미지 폴더입니다.", path="folder")
    dst_img_folder: str | None = opt(None, "Folder for the results.", "결과를 저장할 폴더입니다.", path="output")
    max_resolution: str = opt(
        "512x512,384x384,256x256,128x128",
        (
            "Sizes, each a width x height whose area an image gets; smaller images stay as they are. `original` also copies "
            "the images themselves."
        ),
        (
            "이미지가 가질 넓이를 가로x세로로 적습니다. 쉼표로 여러 개를 적을 수 있고, 더 작은 이미지는 그대로 둡니다. "
            "`original`을 적으면 원본 이미지도 복사합니다."
        ),
    )
    divisible_by: int = opt(
        1,
        "Cut the edges so that width and height are multiples of this.",
        "가로와 세로가 이 수의 배수가 되도록 가장자리를 잘라냅니다.",
        minimum=1,
        maximum=1024,
    )
    interpolation: str = opt(
        "area",
        "How pixels are averaged.",
        "축소할 때의 보간 방법입니다.",
        choices=("area", "cubic", "lanczos4", "nearest", "linear", "box"),
    )
    save_as_png: bool = opt(False, "Write PNG instead of JPEG (quality 100).", "JPEG(품질 100) 대신 PNG로 저장합니다.")
    copy_associated_files: bool = opt(
        False,
        "Copy files of the same name (captions) beside each result.",
        "이름이 같은 파일(캡션 등)을 결과마다 함께 복사합니다.",
    )
    overwrite: bool = opt(False, "Replace files that are there already.", "이미 있는 파일을 덮어씁니다.")


TOOL = Tool(
    "resize_images_to_resolution",
    "smaller copies of images",
    "lora_trainer.tools.images:main",
    ResizeImages,
    pages=(),
)
