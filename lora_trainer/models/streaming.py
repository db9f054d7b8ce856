"""Base weights of the UNet that stay in main memory and come to the card block by block (option blocks_to_swap).

A block is what gradient checkpointing computes anew as a whole: a transformer block or a residual block. Its weights are on the
card while it computes, forward and again in the backward pass; the next block's are copied meanwhile. What is kept for the
backward pass between the two are the block's inputs alone, so that no weight has to stay.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..errors import InputError
from . import main_memory

BLOCKS = frozenset({"BasicTransformerBlock", "ResnetBlock2D"})


def largest(unet: nn.Module, count: int) -> dict[str, nn.Module]:
    """The `count` largest blocks by their paths, in the model's order. Raises InputError when there are not so many."""
    found = {path: block for path, block in unet.named_modules() if type(block).__name__ in BLOCKS}
    if count > len(found):
        raise InputError(
            f"blocks_to_swap is {count}, but the UNet of this model has {len(found)} blocks.",
            field="blocks_to_swap",
            advice=f"Give at most {len(found)}.",
        )
    sizes = {path: sum(parameter.numel() for parameter in block.parameters()) for path, block in found.items()}
    chosen = set(sorted(found, key=lambda path: -sizes[path])[:count])
    return {path: block for path, block in found.items() if path in chosen}


def is_in(name: str, blocks: Mapping[str, nn.Module]) -> bool:
    """Whether the tensor `name` of a module's state belongs to one of the blocks."""
    return any(name.startswith(f"{path}.") for path in blocks)


def is_streamed(block: nn.Module) -> bool:
    """Whether the weights of this block come to the card when it computes."""
    return getattr(block, "is_streamed", False)


@dataclass
class _Copies:
    """The weights of a block on the card. `ready` is when they are there (None: now)."""

    block: int
    tensors: list[torch.Tensor]
    ready: Any = None


class Streamed:
    """Brings the weights of `blocks`, which are in main memory, to `device` whenever one of them computes.

    What it copies ahead it has learned from what followed before. On the CPU everything happens in the same way, with copies in
    place of transfers.
    """

    def __init__(self, blocks: list[nn.Module], device: torch.device) -> None:
        self._blocks = blocks
        self._device = device
        self._side = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._before = (-1, -1)  # the last two blocks
        self._follows: dict[tuple[int, int], int] = {}
        self._ahead: _Copies | None = None
        self._rooms = [main_memory.settle(block) for block in blocks] if self._side is not None else []
        for number, block in enumerate(blocks):
            block.forward = self._on_card(number, block.forward)  # type: ignore[method-assign]
            block.is_streamed = True  # type: ignore[assignment]

    def _on_card(self, number: int, forward: Any) -> Any:
        @functools.wraps(forward)
        def streamed(*args: Any, **kwargs: Any) -> Any:
            with self._there(number):
                return forward(*args, **kwargs)

        return streamed

    @contextmanager
    def _there(self, number: int) -> Iterator[None]:
        """While this holds, the block's weights are on the device."""
        block = self._blocks[number]
        parameters, buffers = list(block.parameters()), _buffers(block)
        home = [*(parameter.data for parameter in parameters), *(owner._buffers[name] for owner, name in buffers)]
        copies = self._take(number)
        self._fetch_next(number)
        _put(parameters, buffers, copies.tensors)
        try:
            yield
        finally:  # checkpointing breaks off a block that is computed anew, as soon as it has what it needs
            _put(parameters, buffers, home)

    def _take(self, number: int) -> _Copies:
        ahead, self._ahead = self._ahead, None
        copies = ahead if ahead is not None and ahead.block == number else self._fetch(number)
        for one in {id(c): c for c in (ahead, copies) if c is not None}.values():
            if one.ready is not None:  # also of what is not used: its memory is given to others now
                torch.cuda.current_stream(self._device).wait_event(one.ready)
        return copies

    def _fetch_next(self, number: int) -> None:
        self._follows[self._before] = number
        self._before = (self._before[1], number)
        following = self._follows.get(self._before, number)
        if following != number:
            self._ahead = self._fetch(following)

    @torch.no_grad()
    def _fetch(self, number: int) -> _Copies:
        block = self._blocks[number]
        sources = [*(p.data for p in block.parameters()), *(_tensor(owner._buffers[name]) for owner, name in _buffers(block))]
        # The memory belongs to the stream that computes, so that giving it back is in that stream's order.
        copies = [torch.empty_like(source, device=self._device) for source in sources]
        if self._side is None:
            for copy, source in zip(copies, sources, strict=True):
                copy.copy_(source)
            return _Copies(number, copies)
        self._side.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._side):
            for copy, source in zip(copies, sources, strict=True):
                copy.copy_(source, non_blocking=True)
        return _Copies(number, copies, self._side.record_event())


def _buffers(block: nn.Module) -> list[tuple[nn.Module, str]]:
    return [(owner, name) for owner in block.modules() for name, buffer in owner._buffers.items() if buffer is not None]


def _tensor(buffer: torch.Tensor | None) -> torch.Tensor:
    assert buffer is not None
    return buffer


def _put(parameters: list[nn.Parameter], buffers: list[tuple[nn.Module, str]], tensors: list[Any]) -> None:
    for parameter, tensor in zip(parameters, tensors[: len(parameters)], strict=True):
        parameter.data = tensor
    for (owner, name), tensor in zip(buffers, tensors[len(parameters) :], strict=True):
        owner._buffers[name] = tensor
