"""Tensors of a card that lie in main memory for a while, as quick to reach from there as the machine allows."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psutil
import torch

from ..log import logger

_ALIGNED = 64  # bytes; what a copy between card and memory likes
_LEFT_FREE = 0.1  # of the free memory


class MainMemory:
    """Room for tensors of the shapes and dtypes of `like`, in one piece.

    The piece is page-locked as it is: torch's own page-locked memory is given out in powers of two, up to twice what is asked
    for. Where locking fails (a limit of the system) it is ordinary memory, which a card reads several times as slowly.
    Raises MemoryError when the machine has not enough free memory.
    """

    def __init__(self, like: Sequence[torch.Tensor]) -> None:
        sizes = [-(-tensor.numel() * tensor.element_size() // _ALIGNED) * _ALIGNED for tensor in like]
        total = sum(sizes)
        free = psutil.virtual_memory().available
        if total > free * (1 - _LEFT_FREE):
            raise MemoryError(f"{total / 2**30:.1f} GiB do not fit the {free / 2**30:.1f} GiB of free main memory.")
        self._piece = torch.empty(total, dtype=torch.uint8)
        self._is_locked = total > 0 and torch.cuda.is_available() and _lock(self._piece)
        parts = self._piece.split(sizes)
        self.tensors = [_like(part, tensor) for part, tensor in zip(parts, like, strict=True)]

    @property
    def bytes(self) -> int:
        """How much memory it takes."""
        return self._piece.numel()

    def free(self) -> None:
        """Unlock it. Nothing may use the tensors any more."""
        if self._is_locked:
            torch.cuda.cudart().cudaHostUnregister(self._piece.data_ptr())
            self._is_locked = False


def _like(part: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    """The bytes of `part` as a tensor of the shape, dtype and order of dimensions (channels_last) of `tensor`."""
    flat = part[: tensor.numel() * tensor.element_size()].view(tensor.dtype)
    strides = torch.empty_like(tensor, device="meta").stride()  # its own where it has no gaps
    return flat.as_strided(tensor.shape, strides)


def _lock(piece: torch.Tensor) -> bool:
    try:
        answer = int(torch.cuda.cudart().cudaHostRegister(piece.data_ptr(), piece.numel(), 0))
    except (RuntimeError, AttributeError) as error:
        logger.info("main memory could not be page-locked: %s", error)
        return False
    if answer:
        logger.info("%.1f GiB of main memory could not be page-locked (CUDA error %d)", piece.numel() / 2**30, answer)
        _forget_the_error()
    return answer == 0


def _forget_the_error() -> None:
    """CUDA remembers a call that failed, and torch takes it for the next kernel's own: let one of no worth have it."""
    with suppress(RuntimeError):
        _launch()


def _launch() -> None:
    torch.empty(1, device="cuda").neg_()


@dataclass(frozen=True)
class Place:
    """Where a tensor lies: a parameter's data, or an entry of a mapping."""

    owner: torch.nn.Parameter | MutableMapping[Any, Any]
    entry: Any = None

    @property
    def tensor(self) -> torch.Tensor:
        """The tensor that lies there now."""
        return self.owner.data if isinstance(self.owner, torch.nn.Parameter) else self.owner[self.entry]

    def put(self, tensor: torch.Tensor) -> None:
        """Let another one of the same values lie there."""
        if isinstance(self.owner, torch.nn.Parameter):
            self.owner.data = tensor
        else:
            self.owner[self.entry] = tensor


def places(modules: Iterable[torch.nn.Module]) -> Iterator[Place]:
    """Where the parameters and buffers of `modules` lie; a parameter that several share is told once."""
    seen: set[int] = set()
    for module in modules:
        for parameter in module.parameters():
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield Place(parameter)
        for owner in module.modules():
            for name, buffer in owner._buffers.items():
                if buffer is not None:
                    yield Place(owner._buffers, name)


class Parked:
    """Tensors of the card with their places, and room for them in main memory. Raises MemoryError when there is none.

    `copy` once, or before each `leave` where they change; `leave` and `come_back` then say where they lie. All of them keep
    bytes, shape, dtype and order of dimensions.
    """

    def __init__(self, places: list[Place]) -> None:
        self._places = places
        self._devices = [place.tensor.device for place in places]
        self.memory = MainMemory([place.tensor for place in places])

    def is_for(self, places: list[Place]) -> bool:
        """Whether it holds just these."""
        held = [(id(place.owner), place.entry) for place in self._places]
        return held == [(id(place.owner), place.entry) for place in places]

    def copy(self) -> None:
        """Copy the tensors from the card."""
        for place, room in zip(self._places, self.memory.tensors, strict=True):
            room.copy_(place.tensor, non_blocking=True)
        _finish()

    def leave(self) -> None:
        """Let the copies take the places of the tensors on the card, which are let go."""
        for place, room in zip(self._places, self.memory.tensors, strict=True):
            place.put(room)

    def come_back(self) -> None:
        """Copy everything to the card. Raises what torch raises when it is too full; `leave` undoes what was done then."""
        for place, room, device in zip(self._places, self.memory.tensors, self._devices, strict=True):
            place.put(room.to(device, non_blocking=True, copy=True))
        _finish()


def copied_once(before: Parked | None, places: list[Place]) -> Parked:
    """`before` where it is a copy of just these `places`, for what does not change; else a new copy, and the room of `before`
    is given back. Raises MemoryError when there is no room."""
    if before is not None and before.is_for(places):
        return before
    if before is not None:
        before.memory.free()
    made = Parked(places)
    made.copy()
    return made


def settle(module: torch.nn.Module) -> MainMemory | None:
    """Let parameters and buffers of `module`, which are in main memory, lie where a card reads them quickly.

    Returns their room, to be kept as long as they; None where there is none, and they stay where they are.
    """
    found = list(places([module]))
    try:
        room = MainMemory([place.tensor for place in found])
    except MemoryError as error:
        logger.info("weights stay in memory that is not page-locked: %s", error)
        return None
    for place, tensor in zip(found, room.tensors, strict=True):
        place.put(tensor.copy_(place.tensor))
    return room


def is_on_card(tensor: torch.Tensor) -> bool:
    """Whether it takes memory that others want."""
    return tensor.device.type not in ("cpu", "meta")


def free_card() -> None:
    """Give what torch keeps of the card's memory for later back to others."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        torch.cuda.empty_cache()


def _finish() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
