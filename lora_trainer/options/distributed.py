"""Several graphics cards and DeepSpeed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .schema import Title, opt


@dataclass(frozen=True, kw_only=True)
class DistributedOptions:
    """Several graphics cards, DeepSpeed, compiling."""

    TITLE: ClassVar[Title] = Title("Several cards", "여러 그래픽 카드")

    ddp_timeout: int | None = opt(
        None,
        "How many minutes the cards wait for each other.",
        "그래픽 카드끼리 몇 분까지 기다릴지 정합니다.",
        minimum=1,
        supported=False,
    )
    ddp_gradient_as_bucket_view: bool = opt(
        False,
        "Save memory when training on several cards.",
        "여러 카드로 학습할 때 메모리를 아낍니다.",
        supported=False,
    )
    ddp_static_graph: bool = opt(
        False,
        "Save time when training on several cards.",
        "여러 카드로 학습할 때 시간을 아낍니다.",
        supported=False,
    )
    torch_compile: bool = opt(
        False,
        "Let PyTorch compile the model.",
        "PyTorch로 모델을 컴파일합니다.",
        supported=False,
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
        supported=False,
    )
    deepspeed: bool = opt(
        False,
        "Train with DeepSpeed.",
        "DeepSpeed로 학습합니다.",
        supported=False,
    )
    zero_stage: int = opt(
        2,
        "DeepSpeed: what is spread over the cards (0 to 3).",
        "DeepSpeed에서 무엇을 카드에 나눌지 정합니다 (0에서 3).",
        choices=(0, 1, 2, 3),
        supported=False,
    )
    offload_optimizer_device: str | None = opt(
        None,
        "DeepSpeed: where the optimizer's numbers are kept.",
        "DeepSpeed에서 옵티마이저 값을 둘 곳입니다.",
        choices=("cpu", "nvme"),
        supported=False,
    )
    offload_optimizer_nvme_path: str | None = opt(
        None,
        "DeepSpeed: folder on the disk for the optimizer's numbers.",
        "DeepSpeed에서 옵티마이저 값을 둘 디스크 폴더입니다.",
        path="folder",
        supported=False,
    )
    offload_param_device: str | None = opt(
        None,
        "DeepSpeed: where the weights are kept.",
        "DeepSpeed에서 가중치를 둘 곳입니다.",
        choices=("cpu", "nvme"),
        supported=False,
    )
    offload_param_nvme_path: str | None = opt(
        None,
        "DeepSpeed: folder on the disk for the weights.",
        "DeepSpeed에서 가중치를 둘 디스크 폴더입니다.",
        path="folder",
        supported=False,
    )
    zero3_init_flag: bool = opt(
        False,
        "DeepSpeed stage 3: make the model in pieces.",
        "DeepSpeed 3단계에서 모델을 나누어 만듭니다.",
        supported=False,
    )
    zero3_save_16bit_model: bool = opt(
        False,
        "DeepSpeed stage 3: save the model in half precision.",
        "DeepSpeed 3단계에서 모델을 반정밀도로 저장합니다.",
        supported=False,
    )
    fp16_master_weights_and_gradients: bool = opt(
        False,
        "DeepSpeed: keep weights and gradients in half precision.",
        "DeepSpeed에서 가중치와 기울기를 반정밀도로 둡니다.",
        supported=False,
    )
