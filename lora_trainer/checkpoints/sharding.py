"""A whole model on several cards, each of which keeps a part of every trained weight, by PyTorch's `fully_shard`: the FSDP that
accelerate drives, too (Zhao et al. 2023, arXiv 2304.11277; after ZeRO, Rajbhandari et al. 2020, arXiv 1910.02054).

A block's weights come together on every card while it computes, and are let go behind it; of its gradients, added up over all
processes, each gets those of its part; what the optimizer remembers exists of that part alone. So weights are DTensors here.

What needs whole weights between two steps asks for them by `serving`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..errors import InputError, OutOfMemoryError
from ..models.card import spare

# The modules that come together one at a time: those that gradient checkpointing computes anew, and the large ones between.
_UNITS = ("BasicTransformerBlock", "ResnetBlock2D", "Downsample2D", "Upsample2D", "CLIPEncoderLayer")


class Group(Protocol):
    """The processes that train together (training.distributed.Processes)."""

    rank: int
    world_size: int
    device: torch.device

    def agree(self, number: int) -> int:
        """The main process's number."""
        ...

    def any(self, here: bool) -> bool:
        """Whether it is so in one of them."""
        ...

    def add_up(self, values: Sequence[float]) -> list[float]:
        """The sums over all of them."""
        ...


def is_shard(tensor: Tensor) -> bool:
    """Whether this process has only a part of it."""
    return hasattr(tensor, "full_tensor")


def is_sharded(module: nn.Module) -> bool:
    """Whether this process has only parts of its weights: it stays where it is."""
    return any(is_shard(parameter) for parameter in module.parameters())


def own(tensor: Tensor) -> Tensor:
    """The part of `tensor` that this process has; all of it where that is not shared."""
    return tensor.to_local() if is_shard(tensor) else tensor  # type: ignore[operator]


def as_held(value: Tensor, like: Tensor) -> Tensor:
    """`value`, which every process has all of, on the device of `like`: where that is a shard, this process's part of it."""
    if not is_shard(like):
        return value.to(like.device)
    from torch.distributed.tensor import DTensor

    mesh = like.device_mesh  # type: ignore[attr-defined]
    parts = value.chunk(mesh.size())  # along the first dimension, as fully_shard cuts; the last ones may be missing
    mine = parts[mesh.get_local_rank()] if mesh.get_local_rank() < len(parts) else value[:0]
    local = mine.to(like.device, copy=True).contiguous()
    return DTensor.from_local(local, mesh, like.placements, run_check=False, shape=value.shape, stride=value.stride())  # type: ignore[attr-defined]


def check() -> None:
    """Raise InputError where PyTorch cannot do it."""
    try:
        from torch.distributed.fsdp import FSDPModule
    except ImportError:
        FSDPModule = None  # type: ignore[assignment,misc]
    if not hasattr(FSDPModule, "set_force_sum_reduction_for_comms"):
        raise InputError(
            f"shard_model needs PyTorch 2.8 or later; this is {torch.__version__}.",
            field="shard_model",
            advice="Leave it out: each card then holds the whole model.",
        )


def shard(roots: Iterable[nn.Module], group: Group) -> None:
    """Cut the parameters of `roots` into parts, one for each process of `group`; all of them do this at the same place.

    The parameters are other objects afterwards. A module keeps the name of its class. Raises InputError as `check`.
    """
    check()
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(group.device.type, (group.world_size,))
    for root in roots:
        units = [module for module in root.modules() if type(module).__name__ in _UNITS and module is not root]
        for module in (*reversed(units), root):  # a unit before what holds it
            name = type(module).__name__
            made: Any = fully_shard(module, mesh=mesh, reshard_after_forward=module is not root)
            made.set_gradient_divide_factor(1.0)  # the loss of a step is the mean over all its samples already: sums are wanted
            made.set_force_sum_reduction_for_comms(True)
            type(module).__name__ = name  # by which files and settings of the model know it


@contextmanager
def whole_model(roots: Sequence[nn.Module], group: Group) -> Iterator[None]:
    """All processes together: while this holds each has all weights of `roots`, so that each may compute by itself, without
    gradients.

    Raises OutOfMemoryError in all of them where one card has no room for that.
    """
    from torch.distributed.fsdp import fully_shard

    lacking = sum(one.nbytes - own(one).nbytes for root in roots for one in root.parameters())
    free = spare(group.device)
    if group.any(free is not None and free < lacking):
        raise OutOfMemoryError(
            f"a card has no room for all weights of the model at once, which takes {lacking / 2**30:.1f} GiB more.",
            advice="Leave out the sample pictures and the images kept aside, or use more cards.",
        )
    modules = _parted(roots)
    for root in roots:
        fully_shard.state(root)._lazy_init()  # type: ignore[attr-defined]  # else a first forward pass makes what is needed
    for module in modules:
        module.set_reshard_after_forward(False, recurse=False)
        module.unshard()
    try:
        yield
    finally:
        for module in modules:  # a root, too: a forward pass that failed in the middle would keep it together
            module.set_reshard_after_forward(True, recurse=False)
            module.reshard()
        for root in roots:
            root.set_reshard_after_forward(False, recurse=False)  # type: ignore[operator]
            if hasattr(root, "reset_iter_state"):  # of PyTorch 2.13 and later: before, the next pass does it
                root.reset_iter_state()  # type: ignore[operator]


def let_go(roots: Iterable[nn.Module]) -> None:
    """Keep nothing but this process's part of any weight of `roots`."""
    for module in _parted(roots):
        module.reshard()


def _parted(roots: Iterable[nn.Module]) -> list[Any]:
    """What comes together at once, each."""
    from torch.distributed.fsdp import FSDPModule

    return [module for root in roots for module in root.modules() if isinstance(module, FSDPModule)]
