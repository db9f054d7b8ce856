"""Noise and loss: what the model is asked to predict, and how a miss is weighed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .schema import Title, opt


@dataclass(frozen=True, kw_only=True)
class NoiseOptions:
    """The noise that training pictures are mixed with."""

    TITLE: ClassVar[Title] = Title("Noise", "노이즈")

    noise_offset: float | None = opt(
        None,
        (
            "Adds the same noise to a whole picture, so that very dark and very bright pictures can be learned. 0.035 to "
            "0.1 is usual."
        ),
        "그림 전체에 같은 노이즈를 더해 아주 어둡거나 밝은 그림도 배우게 합니다. 보통 0.035에서 0.1입니다.",
        minimum=0.0,
        label="Noise offset",
        label_ko="노이즈 오프셋",
    )
    noise_offset_random_strength: bool = opt(
        False,
        "Draw the strength of noise_offset anew at each step, between 0 and its value.",
        "noise_offset의 세기를 매 스텝 0과 정한 값 사이에서 새로 뽑습니다.",
        label="Random noise offset",
        label_ko="무작위 노이즈 오프셋",
    )
    adaptive_noise_scale: float | None = opt(
        None,
        "Changes noise_offset with the brightness of the picture: this number times the mean of its latents is added.",
        "그림의 밝기에 따라 noise_offset을 바꿉니다. 잠재값의 평균에 이 값을 곱해 더합니다.",
        label="Noise offset by brightness",
        label_ko="밝기에 따른 노이즈 오프셋",
    )
    multires_noise_iterations: int | None = opt(
        None,
        "Adds noise of several sizes (pyramid noise), with this many sizes. 6 to 10 is usual, 0 is off.",
        "여러 크기의 노이즈(피라미드 노이즈)를 이 개수만큼 더합니다. 보통 6에서 10이며 0이면 끕니다.",
        minimum=0,
        maximum=64,
        label="Pyramid noise: sizes",
        label_ko="피라미드 노이즈 단계 수",
    )
    multires_noise_discount: float = opt(
        0.3,
        "How quickly the larger noise of multires_noise_iterations becomes weaker (0 to 1).",
        "multires_noise_iterations의 큰 노이즈가 얼마나 빨리 약해지는지 정합니다 (0에서 1).",
        minimum=0.0,
        maximum=1.0,
        label="Pyramid noise: decrease",
        label_ko="피라미드 노이즈 감소율",
    )
    ip_noise_gamma: float | None = opt(
        None,
        "Adds a little noise to the input, against errors that add up (0.1 is usual).",
        "쌓이는 오차에 강해지도록 입력에 노이즈를 조금 더합니다 (보통 0.1).",
        minimum=0.0,
        label="Noise on the input",
        label_ko="입력 노이즈",
    )
    ip_noise_gamma_random_strength: bool = opt(
        False,
        "Draw the strength of ip_noise_gamma anew at each step, between 0 and its value.",
        "ip_noise_gamma의 세기를 매 스텝 0과 정한 값 사이에서 새로 뽑습니다.",
        label="Random noise on the input",
        label_ko="무작위 입력 노이즈",
    )
    min_timestep: int | None = opt(
        None,
        "Lowest noise level that is trained (0 to 999); 0 is nearly no noise.",
        "학습할 가장 낮은 노이즈 단계입니다 (0에서 999). 0은 노이즈가 거의 없습니다.",
        minimum=0,
        maximum=999,
        label="Lowest noise level",
        label_ko="최저 노이즈 단계",
    )
    max_timestep: int | None = opt(
        None,
        "Noise levels from this one on are not trained (1 to 1000).",
        "이 노이즈 단계부터는 학습하지 않습니다 (1에서 1000).",
        minimum=1,
        maximum=1000,
        label="Highest noise level",
        label_ko="최고 노이즈 단계",
    )
    zero_terminal_snr: bool = opt(
        False,
        (
            "For velocity models: let the last noise level be pure noise, so that really black and really white pictures can "
            "be learned. A model that is marked so (ztsnr) is trained so by itself."
        ),
        (
            "속도 예측 모델용입니다. 마지막 노이즈 단계를 순수한 노이즈로 만들어 아주 검거나 흰 그림도 배울 수 있게 합니다. "
            "그렇게 표시된(ztsnr) 모델은 저절로 그렇게 학습합니다."
        ),
        label="Pure noise at the end",
        label_ko="끝 단계를 순수한 노이즈로",
    )


@dataclass(frozen=True, kw_only=True)
class LossOptions:
    """How a miss is weighed."""

    TITLE: ClassVar[Title] = Title("Loss", "손실")

    loss_type: str = opt(
        "l2",
        "How a miss is measured: l2 (squared, usual), l1, or huber and smooth_l1, which let single bad images count less.",
        "오차를 재는 방법입니다. l2(제곱, 보통), l1, 그리고 나쁜 이미지의 영향을 줄이는 huber와 smooth_l1이 있습니다.",
        choices=("l1", "l2", "huber", "smooth_l1"),
        label="Kind of loss",
        label_ko="손실의 종류",
    )
    huber_schedule: str = opt(
        "snr",
        "How the threshold of huber and smooth_l1 depends on the noise level.",
        "huber와 smooth_l1의 기준값이 노이즈 단계에 따라 어떻게 바뀌는지 정합니다.",
        choices=("constant", "exponential", "snr"),
        label="Huber: schedule",
        label_ko="Huber 스케줄",
    )
    huber_c: float = opt(
        0.1,
        "The threshold of huber and smooth_l1.",
        "huber와 smooth_l1의 기준값입니다.",
        above=0.0,
        label="Huber: threshold",
        label_ko="Huber 문턱값",
    )
    huber_scale: float = opt(
        1.0,
        "A factor for the threshold of huber and smooth_l1, with the schedules constant and exponential.",
        "huber와 smooth_l1의 기준값에 곱하는 값입니다. constant와 exponential 방식에만 쓰입니다.",
        above=0.0,
        label="Huber: factor",
        label_ko="Huber 배율",
    )
    min_snr_gamma: float | None = opt(
        None,
        "Balances easy and hard noise levels, which often learns faster. 5 is usual, 0 is off.",
        "쉬운 노이즈 단계와 어려운 단계의 균형을 맞춥니다. 더 빨리 배우는 경우가 많으며 보통 5이고 0이면 끕니다.",
        minimum=0.0,
        label="Min-SNR balance",
        label_ko="Min-SNR 균형",
    )
    debiased_estimation_loss: bool = opt(
        False,
        "Another balance of the noise levels: high ones count more.",
        "노이즈 단계의 균형을 맞추는 다른 방법입니다. 높은 단계를 더 중요하게 봅니다.",
        label="Debiased balance",
        label_ko="디바이어스 균형",
    )
    scale_v_pred_loss_like_noise_pred: bool = opt(
        False,
        "For velocity models: weigh the loss as it is for noise models.",
        "속도 예측 모델에서 손실을 노이즈 예측 모델처럼 맞춥니다.",
        label="Velocity loss like noise loss",
        label_ko="속도 손실을 노이즈 손실처럼",
    )
    v_pred_like_loss: float | None = opt(
        None,
        "Add this share of a velocity-like loss; 0 is off.",
        "속도 예측과 비슷한 손실을 이 비율만큼 더합니다. 0이면 끕니다.",
        minimum=0.0,
        label="Velocity-like loss",
        label_ko="v 예측형 손실",
    )
    prior_loss_weight: float = opt(
        1.0,
        "How much the regularisation images count, against 1 for the training images.",
        "학습 이미지를 1로 할 때 정규화 이미지를 얼마나 중요하게 볼지 정합니다.",
        minimum=0.0,
        label="Weight of regularisation",
        label_ko="정규화 이미지의 비중",
    )
