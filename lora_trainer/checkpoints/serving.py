"""Weights of which each process has a part (`sharding`), for what one process alone knows when to do: files, states, pictures.

While it is at that the others serve it: they do their half of whatever it asks for, one tensor at a time, until it says that it
is done.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import OutOfMemoryError
from . import sharding
from .sharding import Group, is_shard, own

_DONE, _ENDED, _WHOLE, _LARGEST, _ENTER, _LEAVE = range(6)
_AT_ONCE, _MOST_READ = 16 << 20, 256 << 20  # bytes: of tensors that come together, and that wait in main memory to be asked for
_NUMBERS = 1 << 40  # what is asked for is told as one number: what it is, times this, and which


@dataclass
class Shards:
    """The modules `roots`, whose weights are cut into parts. What `remembered()` gives has the other tensors that are
    shards, in the same order in all processes; `contexts` are what the main process may enter together with the others, by
    name."""

    roots: list[nn.Module]
    group: Group
    remembered: Callable[[], Iterable[Any]] = tuple
    contexts: dict[str, Callable[[], AbstractContextManager[None]]] = field(default_factory=dict)
    _tensors: list[Tensor] = field(default_factory=list)  # what may be asked for
    _places: dict[int, int] = field(default_factory=dict)  # of these, by their storage
    _read: dict[int, Tensor] = field(default_factory=dict)  # what came along and was not asked for yet
    _is_served: bool = False  # the others wait for what this process, the main one, asks for

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The weights, in the same order in all processes."""
        return [parameter for root in self.roots for parameter in root.parameters()]

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
        sharding.let_go(self.roots)  # what no backward pass has followed may be together yet
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

    def whole_model(self) -> AbstractContextManager[None]:
        """For forward passes that train nothing: see `sharding.whole_model`."""
        return sharding.whole_model(self.roots, self.group)


def _storage(tensor: Tensor) -> int:
    """What tells a shard from others, also in a detached copy of it, and where it is empty."""
    return own(tensor.detach()).untyped_storage()._cdata
