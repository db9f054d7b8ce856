"""Captions: where they come from, and what becomes of them at each use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .schema import Title, opt


@dataclass(frozen=True, kw_only=True)
class CaptionOptions:
    """Where captions are and how they are changed while training."""

    TITLE: ClassVar[Title] = Title("Captions", "캡션")

    caption_extension: str = opt(
        ".caption",
        "Ending of the caption files, which have the same name as their image, for example .txt or .caption.",
        "이미지와 이름이 같은 캡션 파일의 확장자입니다 (예: .txt 또는 .caption).",
        aliases=("caption_extention",),
        form=False,
    )
    caption_separator: str = opt(
        ",",
        "What separates the parts (tags) of a caption.",
        "캡션의 부분(태그)을 나누는 문자입니다.",
        label="Mark between tags",
        label_ko="태그 구분 기호",
    )
    shuffle_caption: bool = opt(
        False,
        "Put the comma-separated parts of a caption into a new order at each use.",
        "쉼표로 나눈 캡션의 부분들을 쓸 때마다 새로 섞습니다.",
        label="Shuffle tags",
        label_ko="태그 섞기",
    )
    keep_tokens: int = opt(
        0,
        ("How many parts at the beginning of the caption keep their place when shuffling, so that the identifier stays first."),
        "섞을 때 캡션 앞쪽의 몇 부분을 제자리에 둘지 정합니다. 식별자를 맨 앞에 두는 데 씁니다.",
        minimum=0,
        label="Tags that stay in front",
        label_ko="앞에 고정할 태그 수",
    )
    keep_tokens_separator: str = opt(
        "",
        "A mark in the caption, for example |||. What stands before it keeps its place when shuffling.",
        "캡션 안의 표시입니다 (예: |||). 이 표시 앞의 내용은 섞을 때 제자리에 둡니다.",
        label="Mark behind what stays",
        label_ko="고정할 부분 뒤의 기호",
    )
    secondary_separator: str | None = opt(
        None,
        "A mark between tags that belong together, for example ;;;. They are shuffled as one and the mark becomes a comma.",
        "함께 다룰 태그 사이의 표시입니다 (예: ;;;). 하나로 섞인 다음 표시는 쉼표로 바뀝니다.",
        label="Mark inside a group of tags",
        label_ko="묶음 태그의 구분 기호",
    )
    enable_wildcard: bool = opt(
        False,
        "Understand {a|b|c} in captions as a choice, and take one line at random from captions of several lines.",
        "캡션의 {a|b|c}를 하나 고르는 것으로 이해하고, 여러 줄인 캡션에서는 한 줄을 무작위로 씁니다.",
        label="Choices in captions",
        label_ko="캡션의 선택 문법",
    )
    caption_prefix: str | None = opt(
        None,
        "Text put before every caption.",
        "모든 캡션 앞에 붙일 글입니다.",
        label="Text before captions",
        label_ko="캡션 앞에 붙일 글",
    )
    caption_suffix: str | None = opt(
        None,
        "Text put after every caption.",
        "모든 캡션 뒤에 붙일 글입니다.",
        label="Text after captions",
        label_ko="캡션 뒤에 붙일 글",
    )
    caption_dropout_rate: float = opt(
        0.0,
        "Share of the images (0 to 1) that are used without their caption.",
        "캡션 없이 쓸 이미지의 비율입니다 (0에서 1).",
        minimum=0.0,
        maximum=1.0,
        label="Share without a caption",
        label_ko="캡션을 빼는 비율",
    )
    caption_dropout_every_n_epochs: int = opt(
        0,
        "Leave out all captions in every epoch whose number is a multiple of this. 0 switches it off.",
        "번호가 이 값의 배수인 에포크에서는 캡션을 모두 뺍니다. 0이면 끕니다.",
        minimum=0,
        label="No captions every … epochs",
        label_ko="캡션을 빼는 에포크 간격",
    )
    caption_tag_dropout_rate: float = opt(
        0.0,
        "Share of the comma-separated parts (0 to 1) that are left out of a caption at each use.",
        "쓸 때마다 캡션에서 빼는 쉼표 구분 부분의 비율입니다 (0에서 1).",
        minimum=0.0,
        maximum=1.0,
        label="Share of tags left out",
        label_ko="태그를 빼는 비율",
    )
    token_warmup_min: int = opt(
        1,
        "With how many parts of the caption the training begins.",
        "학습을 시작할 때 캡션의 몇 부분을 쓸지 정합니다.",
        minimum=1,
        label="Tags at the start",
        label_ko="처음에 쓸 태그 수",
    )
    token_warmup_step: float = opt(
        0.0,
        "At which step all parts of the caption are used; below 1 it is a share of all steps. 0 switches it off.",
        "몇 번째 스텝부터 캡션의 모든 부분을 쓸지 정합니다. 1보다 작으면 전체 스텝에 대한 비율이고, 0이면 끕니다.",
        minimum=0.0,
        label="All tags from step",
        label_ko="모든 태그를 쓰기 시작할 스텝",
    )
