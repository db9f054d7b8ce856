"""Sample pictures drawn during training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .samplers import CHOICES
from .schema import Title, opt


@dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """Pictures drawn while training, to see how it goes."""

    TITLE: ClassVar[Title] = Title("Sample pictures", "샘플 이미지")

    sample_prompts: str | None = opt(
        None,
        (
            "A text file with one prompt a line; each may end with --n (negative prompt) --w --h (size) --d (seed) --l "
            "(CFG) --s (steps). Without a size they are drawn at the resolution of the training."
        ),
        (
            "한 줄에 프롬프트 하나를 적은 텍스트 파일입니다. 줄 끝에 --n(부정 프롬프트) --w --h(크기) --d(시드) --l(CFG) "
            "--s(스텝)를 붙일 수 있습니다. 크기를 적지 않으면 학습 해상도로 그립니다."
        ),
        path="file",
        form=False,
    )
    sample_every_n_steps: int | None = opt(
        None,
        "Draw the sample pictures every this many steps; 0 is off.",
        "몇 스텝마다 샘플 이미지를 그릴지 정합니다. 0이면 끕니다.",
        minimum=0,
        label="Samples every … steps",
        label_ko="샘플을 그리는 스텝 간격",
    )
    sample_every_n_epochs: int | None = opt(
        None,
        "Draw the sample pictures every this many epochs; takes the place of sample_every_n_steps. 0 is off.",
        "몇 에포크마다 샘플 이미지를 그릴지 정합니다. sample_every_n_steps 대신 씁니다. 0이면 끕니다.",
        minimum=0,
        label="Samples every … epochs",
        label_ko="샘플을 그리는 에포크 간격",
    )
    sample_at_first: bool = opt(
        False,
        "Draw the sample pictures before the first step as well, to compare with.",
        "비교할 수 있도록 학습 전에도 샘플 이미지를 그립니다.",
        label="Samples before the start",
        label_ko="시작 전에 샘플 그리기",
    )
    sample_sampler: str = opt(
        "ddim",
        "The method by which sample pictures are drawn.",
        "샘플 이미지를 그리는 방법입니다.",
        choices=CHOICES,
        label="Sampler",
        label_ko="샘플러",
    )
