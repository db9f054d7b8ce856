"""What the libraries of a card compute with: chosen by options, and said once at the start."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..models import Model, attention
from ..options.training import TrainingOptions
from .precision import Precision


@contextmanager
def chosen(options: TrainingOptions) -> Iterator[None]:
    """While entered, the libraries compute as the options say; what these leave open is PyTorch's."""
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before, flash = (products.allow_tf32, cudnn.allow_tf32, cudnn.benchmark), torch.backends.cuda.flash_sdp_enabled()
    if options.cuda_allow_tf32:
        products.allow_tf32 = cudnn.allow_tf32 = True
    if options.cuda_cudnn_benchmark:
        cudnn.benchmark = True
    try:
        yield
    finally:
        products.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = before
        torch.backends.cuda.enable_flash_sdp(flash)


def arrange(options: TrainingOptions, model: Model, computed: Precision) -> None:
    """Let the UNet's convolutions have their numbers in the order that the options say, and nothing compute what is broken."""
    if options.channels_last:
        model.unet.to(memory_format=torch.channels_last)
    if flash_is_broken(computed.device, computed.dtype, torch.__version__):
        torch.backends.cuda.enable_flash_sdp(False)


def flash_is_broken(device: torch.device, dtype: torch.dtype, version: str) -> bool:
    """Whether PyTorch's flash attention writes beyond its memory: on processors in 16 bits, heads being long and tokens few,
    its backward pass ended the process in 2.1.2 ("double free or corruption"), and not in 2.13; none between were tried."""
    is_old = bool(torch.torch_version.TorchVersion(version) < (2, 5))
    return is_old and device.type == "cpu" and dtype != torch.float32


def told(model: Model, computed: Precision, *, channels_last: bool) -> str:
    """What a step is computed with, for the log."""
    by = attention.told(model.unet, computed.device, computed.dtype)
    parts = [f"in {str(computed.dtype).removeprefix('torch.')}", f"attention by {by}"]
    if computed.device.type == "cuda":
        products, cudnn = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn
        parts.append(f"TF32 for float32 products {_on(products)}, for convolutions {_on(cudnn.allow_tf32)}")
        parts.append(f"cuDNN tries its algorithms: {_on(cudnn.benchmark)}")
    parts.append(f"channels_last {_on(channels_last)}")
    return f"A step is computed {'; '.join(parts)}."


def _on(is_on: bool) -> str:
    return "on" if is_on else "off"
