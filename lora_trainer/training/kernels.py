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
    before = products.allow_tf32, cudnn.allow_tf32, cudnn.benchmark
    if options.cuda_allow_tf32:
        products.allow_tf32 = cudnn.allow_tf32 = True
    if options.cuda_cudnn_benchmark:
        cudnn.benchmark = True
    try:
        yield
    finally:
        products.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = before


def arrange(options: TrainingOptions, model: Model) -> None:
    """Let the UNet's convolutions have their numbers in the order that the options say."""
    if options.channels_last:
        model.unet.to(memory_format=torch.channels_last)


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
