"""Several graphics cards and DeepSpeed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .schema import Title, opt

_NO_DEEPSPEED = (
    "DeepSpeed spreads what is trained over the cards, and of a LoRA that is little; the base model is on each of them anyway"
)


@dataclass(frozen=True, kw_only=True)
class DistributedOptions:
    """Several graphics cards, DeepSpeed, compiling."""

    TITLE: ClassVar[Title] = Title("Several cards", "여러 그래픽 카드")

    ddp_timeout: int | None = opt(
        None,
        (
            "How many minutes the processes of several cards wait for each other. When nothing is given, they wait as long as "
            "it takes for the one that draws samples and saves, and for the others as long as PyTorch does."
        ),
        (
            "여러 카드의 프로세스가 서로를 몇 분까지 기다릴지 정합니다. 비우면 샘플을 그리고 저장하는 프로세스는 끝날 때까지 "
            "기다리고, 나머지는 PyTorch가 정한 만큼 기다립니다."
        ),
        minimum=1,
        label="Wait for other cards (minutes)",
        label_ko="다른 카드를 기다리는 시간 (분)",
    )
    ddp_gradient_as_bucket_view: bool = opt(
        False,
        (
            "Several cards: add up the gradients where they are, without a copy of them all. It saves memory the size of the "
            "network, and costs a little time."
        ),
        (
            "여러 카드로 학습할 때 기울기를 모두 복사하지 않고 제자리에서 더합니다. 네트워크 크기만큼 메모리를 아끼고 시간은 "
            "조금 더 듭니다."
        ),
        label="Gradients without a copy",
        label_ko="기울기를 복사하지 않기",
    )
    ddp_static_graph: bool = opt(
        False,
        (
            "Several cards: the same weights take part in every step, so that the cards need not ask each other which. Not "
            "where some take turns (DyLoRA, module_dropout, stop_text_encoder_training of a whole model)."
        ),
        (
            "여러 카드로 학습할 때 매 스텝 같은 가중치가 쓰인다고 보고, 어느 것이 쓰였는지 서로 묻지 않습니다. 가중치가 "
            "번갈아 쓰이는 DyLoRA, module_dropout, 모델 전체의 stop_text_encoder_training과는 함께 쓸 수 없습니다."
        ),
        label="The same weights in every step",
        label_ko="매 스텝 같은 가중치",
    )
    shard_model: bool = opt(
        False,
        (
            "Several cards that train a whole model: each keeps a part of its weights, of their gradients and of what the "
            "optimizer remembers, in place of all of it (FSDP). The same as accelerate launch --use_fsdp. Steps take longer, "
            "for the cards send each other their parts."
        ),
        (
            "여러 카드로 모델 전체를 학습할 때, 카드마다 가중치와 기울기, 옵티마이저 값을 모두 두지 않고 나누어 둡니다 (FSDP). "
            "accelerate launch --use_fsdp와 같습니다. 카드끼리 주고받느라 스텝은 더 오래 걸립니다."
        ),
        label="Spread the model over the cards",
        label_ko="모델을 카드에 나누어 두기",
        form=False,  # the page starts one process
        ours="sd-scripts leaves this to DeepSpeed",
    )
    torch_compile: bool = opt(
        False,
        "Let PyTorch compile the UNet: the first steps take minutes, the others are faster. Not for short trainings.",
        "PyTorch로 UNet을 컴파일합니다. 처음 몇 스텝은 몇 분 걸리고 나머지는 빨라집니다. 짧은 학습에는 맞지 않습니다.",
        label="Compile the model",
        label_ko="모델 컴파일",
    )
    torch_compile_when_faster: bool = opt(
        False,
        (
            "With torch_compile: time the largest batch both ways before the first step, and leave compiling out where it does "
            "not pay for this training. A training that goes on from a state keeps what was found."
        ),
        (
            "torch_compile과 함께: 첫 스텝 전에 가장 큰 배치를 두 방법으로 재어, 이 학습에서 컴파일이 이득이 아니면 하지 "
            "않습니다. 상태에서 이어 하는 학습은 그때의 결정을 따릅니다."
        ),
        label="... only where it pays",
        label_ko="이득일 때만 컴파일",
        ours="sd-scripts compiles without looking whether it helps",
    )
    dynamo_backend: str = opt(
        "inductor",
        "What PyTorch compiles with.",
        "PyTorch 컴파일에 쓰는 방식입니다.",
        choices=(
            "eager",
            "aot_eager",
            "inductor",
            "aot_ts_nvfuser",
            "nvprims_nvfuser",
            "cudagraphs",
            "ofi",
            "fx2trt",
            "onnxrt",
            "tensort",
            "ipex",
            "tvm",
        ),
        off=("no",),
        label="Compile with",
        label_ko="컴파일 방식",
    )
    dynamo_mode: str = opt(
        "default",
        (
            "What inductor compiles for. reduce-overhead records CUDA graphs, which a card replays without waiting for the "
            "processor: for small pictures and batches on a fast card; it takes memory. max-autotune also tries several "
            "kernels for each product, which takes many minutes. Neither was tried by us on a card yet."
        ),
        (
            "inductor가 무엇을 목표로 컴파일할지 정합니다. reduce-overhead는 CUDA 그래프를 기록해, 그래픽 카드가 프로세서를 "
            "기다리지 않고 되풀이하게 합니다. 빠른 카드에서 작은 그림과 배치에 맞으며 메모리를 더 씁니다. max-autotune은 "
            "곱셈마다 여러 커널도 시험해 몇십 분이 걸립니다. 둘 다 아직 카드에서 써 보지 못했습니다."
        ),
        choices=("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"),
        label="Compile for",
        label_ko="컴파일 목표",
        ours="sd-scripts leaves it to accelerate, whose name it is",
    )
    dynamo_use_regional_compilation: bool = opt(
        True,
        (
            "With torch_compile: compile the transformers that a UNet repeats, one for all alike, which takes a fraction of "
            "the time that compiling it as a whole does. With PyTorch before 2.5 it is always compiled as a whole."
        ),
        (
            "torch_compile과 함께: UNet 전체 대신 되풀이되는 트랜스포머를 컴파일해 같은 것끼리 함께 씁니다. 전체를 컴파일하는 "
            "시간의 일부만 걸립니다. PyTorch 2.5보다 낮으면 언제나 전체를 컴파일합니다."
        ),
        label="... block by block",
        label_ko="블록별로 컴파일",
        ours="sd-scripts compiles the whole; the name is accelerate's",
    )
    deepspeed: bool = opt(
        False,
        "Train with DeepSpeed.",
        "DeepSpeed로 학습합니다.",
        refused=_NO_DEEPSPEED,
    )
    zero_stage: int = opt(
        2,
        "DeepSpeed: what is spread over the cards (0 to 3).",
        "DeepSpeed에서 무엇을 카드에 나눌지 정합니다 (0에서 3).",
        choices=(0, 1, 2, 3),
        refused=_NO_DEEPSPEED,
    )
    offload_optimizer_device: str | None = opt(
        None,
        "DeepSpeed: where the optimizer's numbers are kept.",
        "DeepSpeed에서 옵티마이저 값을 둘 곳입니다.",
        choices=("cpu", "nvme"),
        refused=_NO_DEEPSPEED,
    )
    offload_optimizer_nvme_path: str | None = opt(
        None,
        "DeepSpeed: folder on the disk for the optimizer's numbers.",
        "DeepSpeed에서 옵티마이저 값을 둘 디스크 폴더입니다.",
        path="folder",
        refused=_NO_DEEPSPEED,
    )
    offload_param_device: str | None = opt(
        None,
        "DeepSpeed: where the weights are kept.",
        "DeepSpeed에서 가중치를 둘 곳입니다.",
        choices=("cpu", "nvme"),
        refused=_NO_DEEPSPEED,
    )
    offload_param_nvme_path: str | None = opt(
        None,
        "DeepSpeed: folder on the disk for the weights.",
        "DeepSpeed에서 가중치를 둘 디스크 폴더입니다.",
        path="folder",
        refused=_NO_DEEPSPEED,
    )
    zero3_init_flag: bool = opt(
        False,
        "DeepSpeed stage 3: make the model in pieces.",
        "DeepSpeed 3단계에서 모델을 나누어 만듭니다.",
        refused=_NO_DEEPSPEED,
    )
    zero3_save_16bit_model: bool = opt(
        False,
        "DeepSpeed stage 3: save the model in half precision.",
        "DeepSpeed 3단계에서 모델을 반정밀도로 저장합니다.",
        refused=_NO_DEEPSPEED,
    )
    fp16_master_weights_and_gradients: bool = opt(
        False,
        "DeepSpeed: keep weights and gradients in half precision.",
        "DeepSpeed에서 가중치와 기울기를 반정밀도로 둡니다.",
        refused=_NO_DEEPSPEED,
    )
