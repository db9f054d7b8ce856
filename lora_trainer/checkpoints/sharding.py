"""A whole model on several cards, each of which keeps a part of every trained weight, by PyTorch's `fully_shard`: the FSDP that
accelerate drives, too (Zhao et al. 2023, arXiv 2304.11277; after ZeRO, Rajbhandari et al. 2020, arXiv 1910.02054).

A block's weights come together on every card while it computes, and are let go behind it; of its gradients, added up over all
processes, each gets those of its part; what the optimizer remembers exists of that part alone. So weights are DTensors here.

Files, states and pictures need whole weights between two steps, and the main process alone knows when. While it is at that the
others `serve` it: they do their half of whatever it asks for, one tensor at a time, until it says that it is done.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..errors import InputError, OutOfMemoryError
from ..models.card import spare

# The modules that come together one at a time: those that gradient checkpointing computes anew, and the large ones between.
_UNITS = ("BasicTransformerBlock", "ResnetBlock2D", "Downsample2D", "Upsample2D", "CLIPEncoderLayer")
_DONE, _ENDED, _WHOLE, _LARGEST, _ENTER, _LEAVE = range(6)
_AT_ONCE, _MOST_READ = 16 << 20, 256 << 20  # bytes: of tensors that come together, and that wait in main memory to be asked for
_NUMBERS = 1 << 40  # what is asked for is told as one number: what it is, times this, and which


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


def shard(roots: Iterable[nn.Module], group: Group) -> Shards:
    """Cut the parameters of `roots` into parts, one for each process of `group`; all of them do this at the same place.

    The parameters are other objects afterwards. A module keeps the name of its class. Raises InputError as `check`.
    """
    check()
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh, roots = init_device_mesh(group.device.type, (group.world_size,)), list(roots)
    for root in roots:
        units = [module for module in root.modules() if type(module).__name__ in _UNITS and module is not root]
        for module in (*reversed(units), root):  # a unit before what holds it
            name = type(module).__name__
            made: Any = fully_shard(module, mesh=mesh, reshard_after_forward=module is not root)
            made.set_gradient_divide_factor(1.0)  # the loss of a step is the mean over all its samples already: sums are wanted
            made.set_force_sum_reduction_for_comms(True)
            type(module).__name__ = name  # by which files and settings of the model know it
    return Shards(roots, group, [parameter for root in roots for parameter in root.parameters()])


@dataclass
class Shards:
    """The modules `roots` and their `parameters`, cut into parts. What `remembered()` gives has the other tensors that are
    shards, in the same order in all processes; `contexts` are what the main process may enter together with the others, by
    name."""

    roots: list[nn.Module]
    group: Group
    parameters: list[nn.Parameter]
    remembered: Callable[[], Iterable[Any]] = tuple
    contexts: dict[str, Callable[[], AbstractContextManager[None]]] = field(default_factory=dict)
    _tensors: list[Tensor] = field(default_factory=list)  # what may be asked for
    _places: dict[int, int] = field(default_factory=dict)  # of these, by their storage
    _read: dict[int, Tensor] = field(default_factory=dict)  # what came along and was not asked for yet
    _is_served: bool = False  # the others wait for what this process, the main one, asks for

    @property
    def is_main(self) -> bool:
        """Whether this is the process that asks."""
        return self.group.rank == 0

    # ---- what the main process asks for ------------------------------------------------------------------------------------
    def whole(self, tensor: Tensor) -> Tensor:
        """All of `tensor`, in main memory where it is a shard."""
        if not is_shard(tensor):
            return tensor
        number = self._places[_storage(tensor)]
        if number not in self._read:
            self._ask(_WHOLE, number)
            for place, one in enumerate(self._together(number), number):
                self._read[place] = one.to("cpu", copy=True)
            while len(self._read) > 1 and sum(one.nbytes for one in self._read.values()) > _MOST_READ:
                self._read.pop(next(place for place in self._read if place != number))
        return self._read.pop(number)

    def largest(self) -> float:
        """The largest size of a trained number; infinite where one is infinite or NaN."""
        self._ask(_LARGEST)
        return self._largest()

    @contextmanager
    def everywhere(self, name: str) -> Iterator[None]:
        """In all processes `contexts[name]` is entered, and left afterwards."""
        self._ask(_ENTER, list(self.contexts).index(name))
        with self.contexts[name]():
            try:
                yield
            finally:
                self._ask(_LEAVE)

    def _ask(self, what: int, number: int = 0) -> None:
        assert self.is_main and self._is_served, "nobody is there to be asked"
        if what != _WHOLE:
            self._read.clear()  # other weights may be shown from here on
        self.group.agree(what * _NUMBERS + number)

    # ---- and when the others do it -------------------------------------------------------------------------------------------
    @contextmanager
    def served(self) -> Iterator[None]:
        """All processes come here. Within, the main process may ask; the others do what it asks for when they have done their
        own part, and go on when it has ended. Where it fails they stay, so that it can save what there is (`come_for`)."""
        self._begin()
        yield
        self._end()

    @contextmanager
    def attended(self) -> Iterator[None]:
        """Around all of it: where the main process fails, the others, which serve it, end."""
        try:
            yield
        except BaseException:
            if self.is_main and self._is_served:
                self._ask(_ENDED)
            raise

    def come_for(self, *, all_failed: bool) -> bool:
        """After an error: whether the others are there to be asked. `all_failed`: it is one that every process has."""
        if all_failed and not self._is_served:
            self._begin()
            if not self.is_main:
                self._end()
        return self._is_served or not self.is_main

    def _begin(self) -> None:
        for module in self._modules():
            module.reshard()  # what no backward pass has followed may be together yet
        self._tensors = [one for one in (*self.parameters, *self.remembered()) if isinstance(one, Tensor) and is_shard(one)]
        self._places = {_storage(tensor): number for number, tensor in enumerate(self._tensors)}
        self._is_served = self.is_main

    def _end(self) -> None:
        if self.is_main:
            self._ask(_DONE)
            self._is_served = False
        else:
            self._serve()

    def _serve(self) -> None:
        """Ends this process where the main one failed, which says why."""
        entered: list[AbstractContextManager[None]] = []
        while True:
            what, number = divmod(self.group.agree(0), _NUMBERS)
            if what == _DONE:
                return
            if what == _ENDED:
                raise SystemExit(0)
            if what == _WHOLE:
                self._together(number)
            elif what == _LARGEST:
                self._largest()
            elif what == _LEAVE:
                entered.pop().__exit__(None, None, None)
            else:
                context = list(self.contexts.values())[number]()
                try:
                    context.__enter__()
                except OutOfMemoryError:  # all of them found this, the main process, too
                    continue
                entered.append(context)

    @torch.no_grad()
    def _together(self, number: int) -> list[Tensor]:
        """All of tensor `number`, and of as many behind it as come along at once; on the device, or in one of its buffers."""
        end, size, dtype = number, 0, self._tensors[number].dtype
        while end == number or (
            end < len(self._tensors) and self._tensors[end].dtype == dtype and size + self._tensors[end].nbytes <= _AT_ONCE
        ):
            size += self._tensors[end].nbytes
            end += 1
        wanted, count = self._tensors[number:end], self.group.world_size
        lengths = [-(-one.shape[0] // count) * math.prod(one.shape[1:]) for one in wanted]  # of a part; the last may have less
        parts = [own(one.detach()).flatten() for one in wanted]
        mine = torch.cat([nn.functional.pad(part, (0, n - len(part))) for part, n in zip(parts, lengths, strict=True)])
        gathered = mine.new_empty(count, len(mine))
        torch.distributed.all_gather(list(gathered), mine)
        rows = gathered.split(lengths, dim=1)
        return [row.reshape(-1)[: one.numel()].view(one.shape) for row, one in zip(rows, wanted, strict=True)]

    @torch.no_grad()
    def _largest(self) -> float:
        parts = [own(parameter.detach()) for parameter in self.parameters]
        sizes = [part.abs().amax().float() for part in parts if part.numel()]
        here = float(torch.stack(sizes).max()) if sizes else 0.0
        each = [0.0] * self.group.world_size
        each[self.group.rank] = here if math.isfinite(here) else math.inf
        return max(value if math.isfinite(value) else math.inf for value in self.group.add_up(each))

    # ---- for forward passes that train nothing -------------------------------------------------------------------------------
    @contextmanager
    def whole_model(self) -> Iterator[None]:
        """All processes together: while this holds each has all weights, so that each may compute by itself, without gradients.

        Raises OutOfMemoryError in all of them where one card has no room for that.
        """
        from torch.distributed.fsdp import fully_shard

        lacking = sum(parameter.nbytes - own(parameter).nbytes for parameter in self.parameters)
        free = spare(self.group.device)
        if self.group.any(free is not None and free < lacking):
            raise OutOfMemoryError(
                f"a card has no room for all weights of the model at once, which takes {lacking / 2**30:.1f} GiB more.",
                advice="Leave out the sample pictures and the images kept aside, or use more cards.",
            )
        modules = self._modules()
        for root in self.roots:
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
            for root in self.roots:
                root.set_reshard_after_forward(False, recurse=False)  # type: ignore[operator]
                if hasattr(root, "reset_iter_state"):  # of PyTorch 2.13 and later: before, the next pass does it
                    root.reset_iter_state()  # type: ignore[operator]

    def _modules(self) -> list[Any]:
        """What comes together at once, each."""
        from torch.distributed.fsdp import FSDPModule

        return [module for root in self.roots for module in root.modules() if isinstance(module, FSDPModule)]


def _storage(tensor: Tensor) -> int:
    """What tells a shard from others, also in a detached copy of it, and where it is empty."""
    return own(tensor.detach()).untyped_storage()._cdata


def bytes_held(parameters: Iterable[Tensor], remembered: Iterable[Mapping[Any, Any]]) -> dict[str, int]:
    """The bytes that this process holds of what is trained: "weights", "gradients", and what the "optimizer" `remembered`."""
    parameters = list(parameters)
    states = [value for state in remembered for value in state.values() if isinstance(value, Tensor)]
    return {
        "weights": sum(own(parameter).nbytes for parameter in parameters),
        "gradients": sum(own(parameter.grad).nbytes for parameter in parameters if parameter.grad is not None),
        "optimizer": sum(own(value).nbytes for value in states),
    }
