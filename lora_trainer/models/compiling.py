"""Compiling a UNet with PyTorch (torch.compile; Ansel et al. 2024, "PyTorch 2")."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ..errors import TrainingError

_SHAPES = 64  # how often a part is compiled anew, for other sizes of pictures or ranks, before it is left alone


def backends() -> list[str]:
    """What can be compiled with here, by PyTorch's names."""
    import torch._dynamo as dynamo

    return sorted(dynamo.list_backends(exclude_tags=()))


def compiled(unet: nn.Module, backend: str, *, anew: bool = False) -> Callable[..., Any]:
    """A function that computes what `unet` does, compiled when it is called. `unet` itself stays as it is, names and all.

    `anew`: it was compiled before and computes in another way now. Calling it raises TrainingError when it cannot be compiled.
    """
    import torch._dynamo as dynamo

    dynamo.config.cache_size_limit = max(dynamo.config.cache_size_limit, _SHAPES)
    if anew:
        dynamo.reset()  # what was compiled does not ask each time how it is to be computed
    optimized = torch.compile(unet, backend=backend)

    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return optimized(*args, **kwargs)
        except dynamo.exc.TorchDynamoException as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise TrainingError(
                f"PyTorch cannot compile the UNet with {backend}: {reason}",
                advice="Leave torch_compile out, or choose another dynamo_backend.",
            ) from error

    return run
