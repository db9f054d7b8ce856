"""The network of DeepDanbooru's resnet_custom_v3, built to the sizes of its file.

The file names its convolutions n_Conv_0, n_Conv_1, ... in the order of the network: the first (7x7), blocks of three (1x1, 3x3,
1x1) with a shortcut, and the last (1x1, without bias), whose mean over the picture is how sure it is of each tag. A block that
changes the number of channels, or halves the picture, has a convolution in its shortcut. It stands before the block's own
where it changes their number, and behind them where it only halves the picture.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import BaseModelError

_NAME = re.compile(r"n_Conv_(\d+)\.(?:weight|bias)")


@dataclass(frozen=True)
class Block:
    """Numbers of a block's three convolutions, of its shortcut's (or None), and by how much it shrinks the picture."""

    own: tuple[int, int, int]
    shortcut: int | None
    stride: int


class DeepDanbooruNet(nn.Module):
    """Pictures [B, 3, H, W] in 0..1 (red, green, blue) to how sure it is of each tag, [B, tags] in 0..1."""

    def __init__(self, tensors: Mapping[str, Tensor], blocks: list[Block], last: int) -> None:
        super().__init__()
        self._blocks, self._last = blocks, last
        for name, tensor in tensors.items():
            self.register_buffer(name.replace(".", "_"), tensor.float().clone())

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], where: str, advice: str) -> DeepDanbooruNet:
        """The network of a file's tensors. Raises BaseModelError, which names the file `where`, when they make none."""
        named = {name: tensor for name, tensor in tensors.items() if _NAME.fullmatch(name)}
        shapes = {int(m[1]): tuple(t.shape) for n, t in named.items() if (m := _NAME.fullmatch(n)) and n.endswith("weight")}
        try:
            blocks = plan(shapes)
        except ValueError as error:
            raise BaseModelError(f"{where} is not DeepDanbooru: {error}.", advice=advice) from error
        return cls(named, blocks, max(shapes))

    @property
    def outputs(self) -> int:
        """How many tags it knows."""
        weight: Tensor = getattr(self, f"n_Conv_{self._last}_weight")
        return weight.shape[0]

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        x = functional.relu(self._convolve(0, functional.pad(images, [2, 3, 2, 3]), 2))
        x = functional.max_pool2d(functional.pad(x, [0, 1, 0, 1], value=float("-inf")), 3, 2)
        for block in self._blocks:
            first, second, third = block.own
            around = [1, 1, 1, 1] if block.stride == 1 else [0, 1, 0, 1]
            inner = functional.relu(self._convolve(first, x))
            inner = functional.relu(self._convolve(second, functional.pad(inner, around), block.stride))
            inner = self._convolve(third, inner)
            x = functional.relu(inner + (x if block.shortcut is None else self._convolve(block.shortcut, x, block.stride)))
        return torch.sigmoid(self._convolve(self._last, x).mean((2, 3)))

    def _convolve(self, number: int, x: Tensor, stride: int = 1) -> Tensor:
        bias: Tensor | None = getattr(self, f"n_Conv_{number}_bias", None)
        return functional.conv2d(x, getattr(self, f"n_Conv_{number}_weight"), bias, stride)


def plan(shapes: Mapping[int, tuple[int, ...]]) -> list[Block]:
    """The blocks of a network by the shapes [out, in, h, w] of its convolutions' weights. Raises ValueError."""
    if len(shapes) < 5 or sorted(shapes) != list(range(len(shapes))):
        raise ValueError("it lacks convolutions")
    last = len(shapes) - 1
    sides = {number: shape[2:] for number, shape in shapes.items()}
    if shapes[0][1:] != (3, 7, 7) or sides[last] != (1, 1):
        raise ValueError("its first or last convolution is of another size")
    channels, number = shapes[0][0], 1
    blocks: list[Block] = []
    while number < last:
        shortcut = None
        if sides.get(number + 1) == (1, 1) and number + 1 < last:  # else the 3x3 one of the block stands there
            shortcut, number = number, number + 1
        own = (number, number + 1, number + 2)
        number += 3
        if number > last or [sides[one] for one in own] != [(1, 1), (3, 3), (1, 1)]:
            raise ValueError(f"convolution {own[0]} begins no block")
        ins, outs = [shapes[one][1] for one in own], [shapes[one][0] for one in own]
        stride = 2 if shortcut is not None and blocks else 1
        if shortcut is None and number < last and shapes[number] == (channels, channels, 1, 1) and sides[number + 1] == (1, 1):
            shortcut, stride, number = number, 2, number + 1
        through = (channels, channels) if shortcut is None else (shapes[shortcut][1], shapes[shortcut][0])
        if ins != [channels, outs[0], outs[1]] or through != (channels, outs[2]):
            raise ValueError(f"the sizes of the block at convolution {own[0]} do not fit")
        channels = outs[2]
        blocks.append(Block(own, shortcut, stride))
    if shapes[last][1] != channels:
        raise ValueError("its last convolution does not fit")
    return blocks
