"""The training loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .distributed import DistributedOptions
from .loss import LossOptions, NoiseOptions
from .schema import Title, opt

BLOCKS = r"(down\d|mid|up\d)(, ?(down\d|mid|up\d))*"  # of the UNet, by the names of models.checkpointing.blocks


@dataclass(frozen=True, kw_only=True)
class LoopOptions:
    """How long is trained, and in which precision."""

    TITLE: ClassVar[Title] = Title("Training", "학습")

    max_train_steps: int = opt(
        1600,
        "How many steps are trained. Not used when max_train_epochs is given.",
        "학습할 스텝 수입니다. max_train_epochs를 적으면 쓰지 않습니다.",
        minimum=1,
        maximum=1_000_000_000,
        label="Steps",
        label_ko="스텝 수",
        basic=9,
    )
    max_train_epochs: int | None = opt(
        None,
        "How many times all images are gone through; takes the place of max_train_steps.",
        "모든 이미지를 몇 번 되풀이할지 정합니다. max_train_steps 대신 씁니다.",
        minimum=1,
        maximum=1_000_000_000,
        label="Epochs",
        label_ko="에포크",
    )
    seed: int | None = opt(
        None,
        "Number that all random choices come from; the same number repeats the same training. Nothing draws one.",
        "모든 무작위 선택의 바탕이 되는 숫자입니다. 같은 숫자면 같은 학습을 되풀이합니다. 비우면 새로 뽑습니다.",
        minimum=0,
        label="Seed",
        label_ko="시드",
    )
    deterministic: bool = opt(
        False,
        (
            "Compute in ways alone that give the same bytes each time on the same card. What that costs in speed differs from "
            "card to card and has not been measured. On the processor it changes nothing: there the bytes are the same anyway."
        ),
        (
            "같은 그래픽 카드에서 매번 같은 바이트가 나오는 방법으로만 계산합니다. 얼마나 느려지는지는 카드마다 다르고 아직 "
            "재지 않았습니다. CPU에서는 원래 같은 바이트가 나오므로 달라지는 것이 없습니다."
        ),
        label="Exactly repeatable",
        label_ko="정확히 되풀이되게",
        ours="sd-scripts never asks for deterministic kernels.",
    )
    channels_last: bool = opt(
        False,
        (
            "Keep the UNet's pictures with their channels last, as half-precision convolutions of newer cards want them. It "
            "may be faster or slower: try it for some steps. The result is the same but for rounding."
        ),
        (
            "UNet이 계산하는 값의 채널을 마지막에 둡니다. 최신 카드의 반정밀도 합성곱이 좋아하는 순서입니다. 빨라질 수도 "
            "느려질 수도 있으니 몇 스텝 해 보세요. 결과는 반올림만 다릅니다."
        ),
        label="Channels last",
        label_ko="채널을 마지막에",
        ours="sd-scripts never asks for this order",
    )
    cuda_allow_tf32: bool = opt(
        False,
        (
            "Let the card compute what is left in float32 with fewer digits (TF32): much faster with mixed_precision no on the "
            "RTX 30 series or newer, and a little less exact."
        ),
        (
            "float32로 남은 계산을 더 적은 자릿수(TF32)로 합니다. RTX 30 시리즈 이상에서 mixed_precision no일 때 훨씬 빠르고 "
            "정확도는 조금 떨어집니다."
        ),
        label="TF32",
        label_ko="TF32",
        ours="sd-scripts leaves it to PyTorch; musubi-tuner, by its author, has it by this name",
    )
    cuda_cudnn_benchmark: bool = opt(
        False,
        (
            "Let cuDNN try which of its convolutions is the fastest for each size of pictures. The first step of each size "
            "takes longer: not for many sizes and few steps."
        ),
        (
            "cuDNN이 그림 크기마다 가장 빠른 합성곱 방법을 시험해 고릅니다. 크기마다 첫 스텝이 느려지므로, 크기가 많고 스텝이 "
            "적을 때는 맞지 않습니다."
        ),
        label="Try cuDNN's algorithms",
        label_ko="cuDNN 방법 시험",
        ours="sd-scripts leaves it to PyTorch; musubi-tuner, by its author, has it by this name",
    )
    mixed_precision: str = opt(
        "no",
        (
            "Precision of the computation: fp16 or bf16 need much less memory; bf16 needs a card of the RTX 30 series or "
            "newer; no is the most exact."
        ),
        (
            "계산의 정밀도입니다. fp16과 bf16은 메모리를 훨씬 덜 씁니다. bf16은 RTX 30 시리즈 이상이 필요하고, no가 가장 "
            "정확합니다."
        ),
        choices=("no", "fp16", "bf16"),
        label="Precision of the computation",
        label_ko="계산 정밀도",
    )
    full_fp16: bool = opt(
        False,
        "Keep the trained weights and gradients in fp16, too. Halves them: much of a whole model, little of a LoRA. Needs "
        "mixed_precision fp16.",
        "학습하는 가중치와 기울기도 fp16으로 두어 메모리를 절반으로 줄입니다. 모델 전체에서는 많이, LoRA에서는 조금 아낍니다. "
        "mixed_precision fp16이 필요합니다.",
        label="Trained weights in fp16",
        label_ko="학습 가중치를 fp16으로",
    )
    full_bf16: bool = opt(
        False,
        "Keep the trained weights and gradients in bf16, too. Halves them: much of a whole model, little of a LoRA. Needs "
        "mixed_precision bf16.",
        "학습하는 가중치와 기울기도 bf16으로 두어 메모리를 절반으로 줄입니다. 모델 전체에서는 많이, LoRA에서는 조금 아낍니다. "
        "mixed_precision bf16이 필요합니다.",
        label="Trained weights in bf16",
        label_ko="학습 가중치를 bf16으로",
    )
    stochastic_rounding: bool = opt(
        True,
        (
            "With full_bf16 and full_fp16: round the new weights up or down at random, in proportion. Without it small changes "
            "are rounded away, and a low learning rate learns nothing."
        ),
        (
            "full_bf16, full_fp16과 함께: 새 가중치를 비율에 맞게 무작위로 올리거나 내립니다. 끄면 작은 변화가 반올림되어 "
            "사라지고, 낮은 학습률로는 배우지 못합니다."
        ),
        label="Random rounding",
        label_ko="무작위 반올림",
        ours="the reference rounds to the nearest value, so that small changes are lost (--no-stochastic_rounding does that)",
    )
    gradient_checkpointing: bool = opt(
        False,
        "Saves much memory by computing parts twice; a step takes about a third longer, the result is the same.",
        "일부를 두 번 계산해 메모리를 크게 아낍니다. 한 스텝이 3분의 1쯤 느려지고 결과는 같습니다.",
        label="Save memory (slower)",
        label_ko="메모리 절약 (느려짐)",
    )
    gradient_checkpointing_blocks: str = opt(
        "all",
        (
            "With gradient_checkpointing: which blocks of the UNet are computed twice. auto measures before the first step "
            "which have to be, so that it fits the memory that is free, and takes those that cost the least time; where the "
            "memory gets full later, all of them are from then on. A list names them: down0, down1, ... from the full size to "
            "the smallest, mid, up0, ... back again. The result is the same."
        ),
        (
            "gradient_checkpointing과 함께: UNet의 어느 블록을 두 번 계산할지 정합니다. auto는 첫 스텝 전에 비어 있는 메모리에 "
            "들어가려면 어느 것이 필요한지 재어 시간이 가장 적게 드는 것들을 고르고, 나중에 메모리가 차면 그때부터 모두 두 번 "
            "계산합니다. 목록으로도 적을 수 있습니다: 원래 크기에서 가장 작은 크기로 down0, down1, ..., mid, 다시 커지는 "
            "순서로 up0, .... 결과는 같습니다."
        ),
        choices={"all": ("All of them", "모두"), "auto": ("As few as the memory allows", "메모리가 허락하는 만큼 적게")},
        also=(BLOCKS, "a list such as down0,down1,up3"),
        label="... of these blocks",
        label_ko="두 번 계산할 블록",
        ours="sd-scripts computes all of them twice, or none",
    )
    cpu_offload_checkpointing: bool = opt(
        False,
        "Move what gradient_checkpointing keeps of the UNet into main memory: for large pictures or batches. Steps get slower.",
        "gradient_checkpointing이 UNet에서 간직하는 값을 주 메모리로 옮깁니다. 큰 그림이나 배치에 씁니다. 스텝이 느려집니다.",
        label="... and keep it in main memory",
        label_ko="간직하는 값을 주 메모리에",
    )
    ema_decay: float | None = opt(
        None,
        (
            "Average what is trained over its last steps (EMA), and save, draw and measure the average, which is calmer than "
            "the last step's. 0.99 looks back over about 100 steps, 0.999 over 1000; a small part of the training is best."
        ),
        (
            "학습하는 가중치를 마지막 여러 스텝에 걸쳐 평균(EMA)하고, 마지막 스텝의 것보다 차분한 이 평균을 저장하고 그리고 "
            "잽니다. 0.99는 약 100스텝, 0.999는 약 1000스텝을 돌아봅니다. 전체 학습의 작은 부분이 알맞습니다."
        ),
        minimum=0.0,
        maximum=0.99999,
        label="Average of the weights (EMA)",
        label_ko="가중치 평균 (EMA)",
        ours="OneTrainer and diffusers have it; the reference does not",
    )
    gradient_accumulation_steps: int = opt(
        1,
        ("Add up this many batches before the weights change: like a batch that is as many times larger, without its memory."),
        "가중치를 바꾸기 전에 이 수만큼 배치를 모읍니다. 메모리를 늘리지 않고 그만큼 큰 배치를 쓰는 것과 같습니다.",
        minimum=1,
        label="Batches per change",
        label_ko="누적할 배치 수",
    )
    split_batch_when_full: bool = opt(
        False,
        (
            "When the memory is full in the middle of the training, compute each batch in halves (quarters, ...) and go on, "
            "in place of ending. Steps take longer then; the result is the same. No effect with fused_backward_pass."
        ),
        (
            "학습 도중에 메모리가 가득 차면 끝내지 않고 배치를 반(4분의 1, ...)으로 나누어 계산하며 계속합니다. 그때부터 "
            "스텝이 느려지지만 결과는 같습니다. fused_backward_pass와 함께 쓰면 효과가 없습니다."
        ),
        label="Go on with smaller parts when the memory is full",
        label_ko="메모리가 차면 나누어 계산하며 계속",
        ours="sd-scripts ends where the memory is full",
    )
    max_data_loader_n_workers: int = opt(
        8,
        (
            "How many processes read images at most; no more than the machine has processor threads, less one. Fewer need "
            "less main memory; 0 reads them in the training itself."
        ),
        (
            "이미지를 읽는 프로세스의 최대 수입니다 (많아도 CPU 스레드 수 - 1). 적을수록 주 메모리를 덜 씁니다. 0이면 "
            "학습하면서 직접 읽습니다."
        ),
        minimum=0,
        label="Processes that read images",
        label_ko="이미지를 읽는 프로세스 수",
    )
    persistent_data_loader_workers: bool = opt(
        False,
        "Keep these processes from one epoch to the next; saves much waiting on Windows.",
        "이 프로세스들을 다음 에포크까지 유지합니다. Windows에서 기다리는 시간이 크게 줄어듭니다.",
        label="Keep these processes",
        label_ko="그 프로세스를 계속 쓰기",
    )
    check: bool = opt(
        False,
        (
            "Measure what the training needs by a few of its real steps, print it, and stop: memory (and what would need less, "
            "where it does not fit), time, sizes of files, what would spoil it. Nothing is written. The exit status is 3 where "
            "it does not fit."
        ),
        (
            "실제 스텝을 몇 번 돌려 학습에 필요한 것을 재어 알리고 끝냅니다: 메모리(모자라면 무엇으로 줄일 수 있는지), 시간, "
            "파일 크기, 학습을 망칠 만한 것. 아무것도 저장하지 않습니다. 메모리가 모자라면 종료 코드는 3입니다."
        ),
        form=False,
        ours="sd-scripts finds out by its crash whether a training fits",
    )


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(DistributedOptions, LossOptions, NoiseOptions, LoopOptions):
    """How is trained."""
