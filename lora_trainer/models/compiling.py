"""Compiling a UNet with PyTorch (torch.compile; Ansel et al. 2024, "PyTorch 2"), as a whole or its repeated blocks.

A UNet is the same transformer again and again, in two or three widths. Compiled one by one ("regional compilation"), those of
equal structure share what was compiled for the first of them; what lies between them is computed as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import nn

from ..errors import TrainingError
from ..log import logger

# How often a piece of code may be compiled: for each width of the UNet, size of pictures and rank of DyLoRA. PyTorch's own
# limits are for programs that do not know their sizes.
_TIMES = 512
# Of diffusers. Residual blocks are of too many widths to share much: with them SD1.5 compiles three times as long, and a step
# takes no less (benchmarks/README.md).
_REPEATED = "BasicTransformerBlock"
_WITH_GRAPHS = ("reduce-overhead", "max-autotune")


def backends() -> list[str]:
    """What can be compiled with here, by PyTorch's names."""
    return sorted(_dynamo().list_backends(exclude_tags=()))


@dataclass(frozen=True)
class Way:
    """How is compiled: with which of PyTorch's backends, in which of inductor's modes ("default", "reduce-overhead",
    "max-autotune", "max-autotune-no-cudagraphs"), and whether the repeated blocks are (`regional`) or the UNet as a whole."""

    backend: Any = "inductor"
    mode: str = "default"
    regional: bool = False

    @property
    def has_graphs(self) -> bool:
        """Whether CUDA graphs are recorded: what they give out lies in memory of their own, which the next step uses again."""
        return self.mode in _WITH_GRAPHS

    @property
    def name(self) -> str:
        """For files and logs: blocks or whole, the backend, and the mode where it is another than the default."""
        backend = self.backend if isinstance(self.backend, str) else type(self.backend).__name__
        mode = "" if self.mode == "default" else f" {self.mode}"
        return f"{'blocks' if self.regional else 'whole'} {backend}{mode}"


class Compiled:
    """What is compiled of `unet`: while it is `on`, those parts compute that way wherever gradients are wanted.

    Elsewhere (pictures, validation) they compute as they are: sizes are others there, and each would be compiled anew. The
    modules stay what they are, names and all; a part is compiled when it is called. Calling it raises TrainingError when it
    cannot be.
    """

    def __init__(self, unet: nn.Module, way: Way) -> None:
        self.way = way
        self.parts = regions(unet) if way.regional else [unet]

    def on(self) -> None:
        """From now on."""
        for part in self.parts:
            part.__dict__["forward"] = _forward(part, self.way)

    def off(self) -> None:
        """Everything computes as it is again."""
        for part in self.parts:
            part.__dict__.pop("forward", None)

    def forget(self) -> None:
        """Let go of what was compiled and recorded, with its memory; it is compiled anew (from what the compiler keeps on the
        disk, where it does) when it is called."""
        _dynamo().reset()


def compiled(unet: nn.Module, way: Way, *, anew: bool = False) -> Compiled:
    """What computes `unet` that way. `anew`: it was compiled before and computes in another way now."""
    config = _dynamo().config
    config.cache_size_limit = max(config.cache_size_limit, _TIMES)
    # PyTorch 2.2 and 2.6 have these, later ones the last: a strength is a number in the code, as it is without compiling.
    more = {"accumulated_cache_size_limit": 8 * _TIMES, "fail_on_recompile_limit_hit": True, "specialize_float": True}
    for name, value in more.items():
        if hasattr(config, name):
            setattr(config, name, value)
    made = Compiled(unet, way)
    if anew:
        made.forget()  # what was compiled does not ask each time how it is to be computed
    return made


def regions(unet: nn.Module) -> list[nn.Module]:
    """The repeated blocks of a UNet, in the order of its modules."""
    return [part for part in unet.modules() if type(part).__name__ == _REPEATED]


def shares_blocks() -> bool:
    """Whether this PyTorch uses what it compiled for one block for the next ones of equal structure (2.5 and later)."""
    return bool(torch.torch_version.__version__ >= (2, 5))


def _dynamo() -> Any:
    """PyTorch's compiler, which takes a second to import."""
    import torch._dynamo as dynamo

    return dynamo


def _forward(part: nn.Module, way: Way) -> Callable[..., Any]:
    """The forward of `part`: compiled where gradients are wanted."""
    plain = part.forward
    optimized = torch.compile(plain, backend=way.backend, **({} if way.mode == "default" else {"mode": way.mode}))
    dynamo = _dynamo()
    too_often = getattr(dynamo.exc, "FailOnRecompileLimitHit", ())

    def forward(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return plain(*args, **kwargs)
        try:
            return optimized(*args, **kwargs)
        except too_often:
            _tell_once(type(part).__name__)
            return plain(*args, **kwargs)
        except dynamo.exc.TorchDynamoException as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise TrainingError(
                f"PyTorch cannot compile the UNet with {way.name}: {reason}",
                advice="Leave torch_compile out, or choose another dynamo_backend.",
            ) from error

    return forward


@cache
def _tell_once(kind: str) -> None:
    logger.warning(
        "%s was compiled %d times, for so many sizes and ranks; what else comes is computed without compiling, more slowly.",
        kind,
        _TIMES,
    )
