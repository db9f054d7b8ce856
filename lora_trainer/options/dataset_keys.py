"""The keys of the data set file, declared: type, levels at which each may stand, and what it inherits from.

A value is looked for in the subset, its data set, `general`, the command line (with its defaults), then the key's own default.
Keys that are also options of the command line take type, bounds and help from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from .schema import Option, Title, opt, options_of
from .train import OPTIONS_BY_NAME

GENERAL, DATASET, SUBSET = "general", "datasets", "subsets"
LEVELS = (GENERAL, DATASET, SUBSET)
HEADINGS = {GENERAL: "[general]", DATASET: "[[datasets]]", SUBSET: "[[datasets.subsets]]"}


@dataclass(frozen=True, kw_only=True)
class OwnKeys:
    """Keys that exist in the data set file only."""

    TITLE: ClassVar[Title] = Title("Data set file", "데이터 세트 파일")

    image_dir: str | None = opt(
        None,
        "The folder that holds the images of this subset (the folder itself, not its parent).",
        "이 서브셋의 이미지가 들어 있는 폴더입니다 (상위 폴더가 아니라 그 폴더 자체).",
        path="folder",
    )
    class_tokens: str | None = opt(
        None,
        'Identifier and class, for example "sls frog": the caption of images that have no caption file.',
        '식별자와 클래스입니다 (예: "sls frog"). 캡션 파일이 없는 이미지의 캡션이 됩니다.',
    )
    is_reg: bool = opt(
        False,
        "The images are regularisation images: pictures of the class without the subject.",
        "정규화 이미지입니다. 학습 대상이 아닌, 같은 클래스의 그림입니다.",
    )
    num_repeats: int = opt(
        1,
        "How often each image is used in an epoch. 0 leaves the subset out.",
        "한 에포크에서 각 이미지를 몇 번 쓸지 정합니다. 0이면 이 서브셋을 뺍니다.",
        minimum=0,
    )
    exclude: tuple[str, ...] | None = opt(
        None,
        "Names of images in the folder that are left out of the training without being deleted.",
        "폴더에서 지우지 않고 학습에서만 빼는 이미지의 파일 이름입니다.",
        label="Left out images",
        label_ko="제외할 이미지",
        ours="pictures are left out on the data set page",
    )
    metadata_file: str | None = opt(
        None,
        (
            "A metadata file (.json) that names the images, each with its caption and its tags. image_dir is then the folder "
            "that the names start from."
        ),
        ("이미지마다 캡션과 태그를 적은 메타데이터(.json) 파일입니다. 이때 image_dir은 그 이름들이 시작하는 폴더입니다."),
        path="file",
    )
    network_multiplier: float = opt(
        1.0,
        (
            "Strength of the LoRA while this data set is trained: with 0.5 it learns to draw these pictures at "
            "<lora:name:0.5>, with -1 it learns away from them."
        ),
        (
            "이 데이터 세트를 학습할 때의 LoRA 세기입니다. 0.5면 이 그림들을 <lora:이름:0.5>에서 그리도록 배우고, -1이면 이 "
            "그림들에서 멀어지도록 배웁니다."
        ),
    )
    custom_attributes: str | None = opt(
        None,
        "A table with notes of your own. It changes nothing.",
        "직접 적는 메모를 담은 표입니다. 학습에는 영향이 없습니다.",
    )


@dataclass(frozen=True)
class Key:
    """A key of the data set file. `levels` are those of image folders, `metadata_levels` those of metadata_file subsets;
    `command_line` is the option that it is inherited from, or empty."""

    name: str
    option: Option
    levels: tuple[str, ...]
    metadata_levels: tuple[str, ...]
    command_line: str


_RENAMED = {"batch_size": "train_batch_size", "num_repeats": "dataset_repeats"}
_ANYWHERE = """caption_dropout_every_n_epochs caption_dropout_rate caption_prefix caption_separator caption_suffix
caption_tag_dropout_rate color_aug custom_attributes enable_wildcard face_crop_aug_range flip_aug keep_tokens
keep_tokens_separator num_repeats random_crop resize_interpolation secondary_separator shuffle_caption token_warmup_min
token_warmup_step"""
_DATASET_ONLY = """batch_size bucket_no_upscale bucket_reso_steps enable_bucket max_bucket_reso min_bucket_reso
network_multiplier resolution validation_seed validation_split"""
_IMAGE_FOLDERS_ANYWHERE = "cache_info caption_extension class_tokens"


def _declare() -> dict[str, Key]:
    own = {option.name: option for option in options_of(OwnKeys)}
    keys: dict[str, Key] = {}

    def add(names: str, levels: tuple[str, ...], metadata_levels: tuple[str, ...]) -> None:
        for name in names.split():
            inherited = _RENAMED.get(name, name)
            declared = own[name] if name in own else OPTIONS_BY_NAME[inherited]
            keys[name] = Key(name, declared, levels, metadata_levels, inherited if inherited in OPTIONS_BY_NAME else "")

    add("image_dir alpha_mask metadata_file exclude", (SUBSET,), (SUBSET,))
    add("is_reg conditioning_data_dir", (SUBSET,), ())
    add(_IMAGE_FOLDERS_ANYWHERE, LEVELS, (GENERAL,))
    add(_ANYWHERE, LEVELS, LEVELS)
    add(_DATASET_ONLY, (GENERAL, DATASET), (GENERAL, DATASET))
    return keys


KEYS: Mapping[str, Key] = _declare()
