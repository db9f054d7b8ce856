"""Optimizer, learning rates and learning rate schedule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .optimizer_kinds import OPTIMIZERS
from .python_names import DOTTED
from .schedule_names import ADAFACTOR_RATE, OF_TORCH
from .schema import Title, opt


@dataclass(frozen=True, kw_only=True)
class OptimizerOptions:
    """How the weights are changed, and by how much."""

    TITLE: ClassVar[Title] = Title("Optimizer and learning rate", "옵티마이저와 학습률")

    learning_rate: float = opt(
        2e-06,
        (
            "How much is changed at each step. 1e-4 (0.0001) is a good start for a LoRA, 5e-3 for an embedding, 5e-6 for a "
            "whole model; too much breaks the picture, too little learns nothing."
        ),
        (
            "매 스텝 얼마나 바꿀지 정합니다. LoRA는 1e-4(0.0001), 임베딩은 5e-3, 모델 전체는 5e-6이 무난합니다. 너무 크면 "
            "그림이 망가지고 너무 작으면 배우지 못합니다."
        ),
        minimum=0.0,
        label="Learning rate",
        label_ko="학습률",
        basic=11,
    )
    unet_lr: float | None = opt(
        None,
        "Learning rate of the UNet part, when it is to differ from learning_rate.",
        "UNet 부분의 학습률을 learning_rate와 다르게 할 때 적습니다.",
        minimum=0.0,
        label="Learning rate of the UNet",
        label_ko="UNet 학습률",
    )
    text_encoder_lr: tuple[float, ...] | None = opt(
        None,
        "Learning rate of the text encoder part, when it is to differ from learning_rate. Usually lower, for example 5e-5.",
        "텍스트 인코더 부분의 학습률을 learning_rate와 다르게 할 때 적습니다. 보통 5e-5처럼 더 작게 합니다.",
        minimum=0.0,
        label="Learning rate of the text encoder",
        label_ko="텍스트 인코더 학습률",
    )
    optimizer_type: str = opt(
        "AdamW",
        (
            "The method that changes the weights. AdamW works everywhere; AdamW8bit needs less memory and an NVIDIA card; "
            "Prodigy finds the learning rate by itself. Some need a small package, which is fetched when you agree."
        ),
        (
            "가중치를 바꾸는 방법입니다. AdamW는 어디서나 되고, AdamW8bit는 메모리를 덜 쓰지만 NVIDIA 카드가 필요합니다. "
            "Prodigy는 학습률을 스스로 찾습니다. 일부는 작은 패키지가 필요하며, 동의하면 내려받습니다."
        ),
        choices=[kind.name for kind in OPTIMIZERS],
        also=(DOTTED, "module.Class (of another package only on the command line)"),
        label="Optimizer",
        label_ko="옵티마이저",
    )
    optimizer_args: tuple[str, ...] | None = opt(
        None,
        "Further settings of the optimizer, each written as name=value, for example weight_decay=0.01 betas=.9,.999.",
        "옵티마이저의 추가 설정입니다. 각각 이름=값으로 적습니다 (예: weight_decay=0.01 betas=.9,.999).",
        label="More optimizer settings",
        label_ko="옵티마이저의 추가 설정",
    )
    use_8bit_adam: bool = opt(
        False,
        "Old name for optimizer_type AdamW8bit.",
        "optimizer_type AdamW8bit의 옛 이름입니다.",
        form=False,
    )
    use_lion_optimizer: bool = opt(
        False,
        "Old name for optimizer_type Lion.",
        "optimizer_type Lion의 옛 이름입니다.",
        form=False,
    )
    max_grad_norm: float = opt(
        1.0,
        "Limits how large one change can be. 0 switches the limit off.",
        "한 번에 바뀌는 크기를 제한합니다. 0이면 제한하지 않습니다.",
        minimum=0.0,
        label="Limit of one change",
        label_ko="한 번에 바뀌는 크기 제한",
    )
    lr_scheduler: str = opt(
        "constant",
        (
            "How the learning rate changes during training: it can stay (constant) or fall towards 0 (cosine, linear, "
            "polynomial)."
        ),
        "학습하는 동안 학습률이 바뀌는 방식입니다. 그대로 두거나(constant) 0으로 줄입니다(cosine, linear, polynomial).",
        choices=(
            "constant",
            "constant_with_warmup",
            "linear",
            "cosine",
            "cosine_with_restarts",
            "polynomial",
            "adafactor",
            "inverse_sqrt",
            "cosine_with_min_lr",
            "warmup_stable_decay",
            "piecewise_constant",
        ),
        also=(ADAFACTOR_RATE, "adafactor:RATE"),
        label="Schedule of the learning rate",
        label_ko="학습률 스케줄",
    )
    lr_warmup_steps: int | float = opt(
        0,
        "During this many steps the learning rate rises from 0. Below 1 it is a share of all steps (0.1 = a tenth).",
        "이 스텝 수 동안 학습률을 0에서 서서히 올립니다. 1보다 작으면 전체 스텝에 대한 비율입니다 (0.1 = 10분의 1).",
        minimum=0,
        label="Warm-up steps",
        label_ko="워밍업 스텝",
    )
    lr_decay_steps: int | float = opt(
        0,
        "During this many steps at the end the learning rate falls. Below 1 it is a share of all steps.",
        "끝에서 이 스텝 수 동안 학습률을 내립니다. 1보다 작으면 전체 스텝에 대한 비율입니다.",
        minimum=0,
        label="Decay steps",
        label_ko="감소 스텝",
    )
    lr_scheduler_num_cycles: int = opt(
        1,
        "How often cosine_with_restarts starts anew; how many half waves cosine_with_min_lr and warmup_stable_decay make.",
        "cosine_with_restarts를 몇 번 다시 시작할지, cosine_with_min_lr와 warmup_stable_decay가 반파를 몇 번 그릴지 정합니다.",
        minimum=1,
        label="Restarts",
        label_ko="재시작 횟수",
    )
    lr_scheduler_power: float = opt(
        1.0,
        "The exponent of polynomial. 1 is a straight line.",
        "polynomial의 지수입니다. 1이면 직선입니다.",
        above=0.0,
        label="Power of the polynomial",
        label_ko="다항식의 지수",
    )
    lr_scheduler_timescale: int | None = opt(
        None,
        "The time scale of inverse_sqrt, in steps.",
        "inverse_sqrt의 시간 척도(스텝)입니다.",
        minimum=1,
        label="Time scale",
        label_ko="시간 척도",
    )
    lr_scheduler_min_lr_ratio: float | None = opt(
        None,
        "Lowest learning rate, as a share of the full one.",
        "가장 낮은 학습률을 원래 학습률에 대한 비율로 적습니다.",
        minimum=0.0,
        maximum=1.0,
        label="Lowest learning rate",
        label_ko="최저 학습률 비율",
    )
    lr_scheduler_type: str = opt(
        "",
        (
            "A class of torch.optim.lr_scheduler in place of lr_scheduler, for example CosineAnnealingLR; its arguments are "
            "given in lr_scheduler_args."
        ),
        (
            "lr_scheduler 대신 쓸 torch.optim.lr_scheduler의 클래스입니다 (예: CosineAnnealingLR). "
            "인자는 lr_scheduler_args에 적습니다."
        ),
        choices=("", *OF_TORCH),
        also=(DOTTED, "module.Class (of another package only on the command line)"),
        label="Schedule of PyTorch",
        label_ko="PyTorch 스케줄",
    )
    lr_scheduler_args: tuple[str, ...] | None = opt(
        None,
        (
            "Further settings of the schedule, each written as name=value: for piecewise_constant "
            "step_rules=1:100,0.1:200,0.01 (the full rate up to step 100, a tenth up to 200, then a hundredth)."
        ),
        (
            "스케줄의 추가 설정입니다. 각각 이름=값으로 적습니다. piecewise_constant는 "
            "step_rules=1:100,0.1:200,0.01처럼 적습니다 (100스텝까지 원래 학습률, 200스텝까지 10분의 1, 그다음 100분의 1)."
        ),
        aliases=("scheduler_args",),
        label="More schedule settings",
        label_ko="스케줄의 추가 설정",
    )
    fused_backward_pass: bool = opt(
        False,
        (
            "Change each part as soon as its gradient is known, to save the memory of all gradients: much of a "
            "whole model, little of a LoRA. Not with gradient accumulation or fp16; split_batch_when_full has no effect then."
        ),
        (
            "기울기가 나오는 대로 그 부분의 가중치를 바꿔 기울기 메모리를 아낍니다. 모델 전체에서는 많이, LoRA에서는 "
            "조금입니다. 기울기 누적이나 fp16과는 함께 쓸 수 없습니다. 이때 split_batch_when_full은 효과가 없습니다."
        ),
        label="Change weights while computing gradients",
        label_ko="기울기를 계산하면서 가중치 바꾸기",
    )
    install_packages: bool = opt(
        False,
        "Fetch the package that the chosen optimizer needs into the program's own folder, when it is missing.",
        "선택한 옵티마이저에 필요한 패키지가 없으면 이 프로그램의 폴더로 내려받습니다.",
        form=False,
        ours="the reference asks to install packages by hand, into the environment that the Web UI shares",
    )
