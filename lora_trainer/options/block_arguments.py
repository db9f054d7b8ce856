"""`network_args` per block of the UNet: learning-rate weights, ranks and alphas. Standard library only.

A UNet of Stable Diffusion 1 and 2 has 25 blocks: 12 on the way down, 1 in the middle, 12 on the way up. SDXL's has 23: the
embeddings, 9 down, 3 in the middle, 9 up, the output. Numbers are given for all of them, although some hold no LoRA.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from ..errors import InputError

_T = TypeVar("_T", bound=float)
FIELD = "network_args"
MAX_RANK = 2048  # as of network_dim
MAX_NUMBER = 1e6


class Layout(NamedTuple):
    """How many blocks a UNet has in each stretch."""

    base: int
    down: int
    mid: int
    up: int
    out: int


class Bare(NamedTuple):
    """Numbers of the blocks that hold no layer of a kind: none for LierLa; for C3Lier no linear one, no 3x3 convolution."""

    lierla: tuple[int, ...]
    linear: tuple[int, ...]
    conv: tuple[int, ...]


SD = Layout(0, 12, 1, 12, 0)
SDXL = Layout(1, 9, 3, 9, 1)
LAYOUTS = {"sd1": SD, "sd2": SD, "sdxl": SDXL}  # by the kinds of modelfile.probe
BARE = {
    SD: Bare((0, 3, 6, 9, 10, 11, 13, 14, 15), (0, 3, 6, 9), (0,)),
    SDXL: Bare((0, 1, 2, 3, 4, 7, 10, 12, 19, 20, 21, 22), (0, 1, 4, 7, 22), (0, 1, 11, 22)),
}
_COUNTS = {sum(SD): "SD1 and SD2", sum(SDXL): "SDXL"}

# From 0 at the stretch's first block to 1 at its last one, as a function of the share of the way.
PRESETS: dict[str, Callable[[float], float]] = {
    "sine": lambda share: math.sin(math.pi / 2 * share),
    "cosine": lambda share: math.sin(math.pi / 2 * (1.0 - share)),
    "linear": lambda share: share,
    "reverse_linear": lambda share: 1.0 - share,
    "zeros": lambda share: 0.0,
}

WEIGHTS = ("down_lr_weight", "mid_lr_weight", "up_lr_weight")
THRESHOLD = "block_lr_zero_threshold"
SHAPES = ("block_dims", "block_alphas", "conv_block_dims", "conv_block_alphas")
BLOCK_ARGUMENTS = (*WEIGHTS, THRESHOLD, *SHAPES)


def preset_curve(preset: str, count: int, offset: float = 0.0) -> list[float]:
    """Return the `count` (at least 2) weights of one of PRESETS, with `offset` added to each."""
    return [PRESETS[preset](i / (count - 1)) + offset for i in range(count)]


@dataclass(frozen=True)
class Curve:
    """Learning-rate weights of one stretch of blocks, as they were written: numbers, or a preset and what is added to it."""

    name: str
    numbers: tuple[float, ...] = ()
    preset: str = ""
    offset: float = 0.0
    surplus: str = ""  # what stands behind the number that is added

    def values(self, count: int) -> tuple[list[float], str]:
        """Return (`count` weights, what was done to get them or nothing).

        Blocks for which no number was given weigh 1, numbers beyond the last block are left out, as the reference does it.
        """
        if self.preset:
            note = f"{self.name}: only one number is added; +{self.surplus} is left out." if self.surplus else ""
            return preset_curve(self.preset, count, self.offset), note
        given = len(self.numbers)
        note = ""
        if given < count:
            note = f"{self.name} has {given} of {count} numbers: the other blocks weigh 1."
        elif given > count:
            note = f"{self.name} has {given} numbers for {count} blocks: the last {given - count} are left out."
        return [*self.numbers[:count], *[1.0] * (count - given)], note


class Shape(NamedTuple):
    """Rank (0: no module) and alpha (0: the rank) of a module."""

    rank: int
    alpha: float


@dataclass(frozen=True)
class BlockPlan:
    """What each block of a UNet gets. `weights` is None where no learning rate differs; `conv` None without C3Lier."""

    weights: tuple[float, ...] | None
    linear: tuple[Shape, ...]
    conv: tuple[Shape, ...] | None
    notes: tuple[str, ...] = ()

    def shape(self, block: int, is_conv3x3: bool) -> Shape:
        """The shape of a layer's module in block `block`."""
        shapes = self.conv if is_conv3x3 else self.linear
        assert shapes is not None
        return shapes[block]


@dataclass(frozen=True, kw_only=True)
class BlockArguments:
    """The arguments per block, each None when it is not given."""

    down: Curve | None = None
    mid: Curve | None = None
    up: Curve | None = None
    threshold: float = 0.0
    dims: tuple[int, ...] | None = None
    alphas: tuple[float, ...] | None = None
    conv_dims: tuple[int, ...] | None = None
    conv_alphas: tuple[float, ...] | None = None

    def weights(self, layout: Layout) -> tuple[tuple[float, ...] | None, tuple[str, ...]]:
        """Return (the weight of every block, notes); None when no weight is given. Up to the threshold a weight is 0."""
        if not (self.down or self.mid or self.up):
            return None, ()
        stretches = ((None, layout.base), (self.down, layout.down), (self.mid, layout.mid), (self.up, layout.up))
        values: list[float] = []
        notes = []
        for curve, count in (*stretches, (None, layout.out)):
            found, note = curve.values(count) if curve else ([1.0] * count, "")
            values += [0.0 if value <= self.threshold else value for value in found]
            notes += [note] if note else []
        return tuple(values), tuple(notes)

    def plan(self, layout: Layout, linear: Shape, conv: Shape | None) -> BlockPlan | None:
        """Return what each block gets; None when nothing is given per block.

        `linear` and `conv` are the shapes for what is not given per block. A block with weight 0 gets no modules. As in the
        reference, block_alphas alone, without any rank or weight per block, has no effect.
        Raises InputError when a list has another number of entries than the UNet has blocks.
        """
        for error in self.misfits(layout):
            raise error
        weights, notes = self.weights(layout)
        if weights is None and self.dims is None and self.conv_dims is None:
            return None
        trained = [weight != 0.0 for weight in weights or [1.0] * sum(layout)]
        return BlockPlan(
            weights=weights,
            linear=_shapes(trained, self.dims, self.alphas, linear),
            conv=_shapes(trained, self.conv_dims, self.conv_alphas, conv or Shape(0, 1.0)) if self.conv_dims or conv else None,
            notes=notes,
        )

    def misfits(self, layout: Layout) -> list[InputError]:
        """The lists that have another number of entries than a UNet of this layout has blocks."""
        lists = zip(SHAPES, (self.dims, self.alphas, self.conv_dims, self.conv_alphas), strict=True)
        expected = f"{sum(layout)}, one for each block of this model"
        return [
            _wrong_count(name, len(given), expected) for name, given in lists if given is not None and len(given) != sum(layout)
        ]

    @property
    def without_effect(self) -> str:
        """What was given and means nothing, as a sentence; empty when there is nothing of the kind."""
        weights = self.down or self.mid or self.up
        if self.alphas is not None and not (weights or self.dims or self.conv_dims):
            return "block_alphas has no effect without block_dims or a weight per block."
        if self.threshold and not weights:
            return f"{THRESHOLD} has no effect without {', '.join(WEIGHTS[:-1])} or {WEIGHTS[-1]}."
        return ""


def _shapes(
    trained: Sequence[bool], dims: Sequence[int] | None, alphas: Sequence[float] | None, default: Shape
) -> tuple[Shape, ...]:
    ranks = dims or [default.rank] * len(trained)
    strengths = alphas or [default.alpha] * len(trained)
    return tuple(Shape(rank if on else 0, alpha) for on, rank, alpha in zip(trained, ranks, strengths, strict=True))


# ---- reading ---------------------------------------------------------------------------------------------------------
def read_blocks(given: Mapping[str, object], errors: list[InputError]) -> BlockArguments:
    """Read the block arguments among `given` (texts; None counts as left out); what is wrong is added to `errors`."""
    values: dict[str, object] = {}

    def read(name: str, key: str, reader: Callable[[str, str], object]) -> None:
        if given.get(name) is not None:
            try:
                values[key] = reader(name, str(given[name]))
            except InputError as error:
                errors.append(error)

    for name in WEIGHTS:
        read(name, name.partition("_")[0], _curve)
    read(THRESHOLD, "threshold", lambda name, text: _number(name, text, float))
    for name in SHAPES:
        read(name, name.replace("block_", ""), _list)
    if "conv_alphas" in values and "conv_dims" not in values and given.get("conv_block_dims") is None:
        advice = "Give conv_block_dims too, or conv_alpha for all blocks."
        errors.append(InputError("conv_block_alphas is given without conv_block_dims.", field=FIELD, advice=advice))
    return BlockArguments(**values)  # type: ignore[arg-type]  # each reader gives its field's type


def _curve(name: str, text: str) -> Curve:
    """Numbers with commas (nothing between two is 0), or a preset and perhaps `+number`. The middle takes numbers only."""
    middle = name == "mid_lr_weight"
    if middle or "," in text:
        entries = text.split(",")
        if middle and not text.strip():
            raise InputError(f"{name} is empty; expected a number.", field=FIELD, advice="Write for example mid_lr_weight=0.5.")
        return Curve(name, tuple(_number(name, entry, float) if entry.strip() else 0.0 for entry in entries))
    preset, plus, added = text.partition("+")
    offset, _, surplus = added.partition("+")
    if preset not in PRESETS:
        raise InputError(
            f"{name} is {text[:40]!r}; expected one number for each of the blocks with commas between them, or one of "
            f"{', '.join(PRESETS)}, perhaps with +number behind it.",
            field=FIELD,
            advice=f"Write for example {name}=sine+0.25, or 12 numbers (9 for SDXL).",
        )
    return Curve(name, preset=preset, offset=_number(name, offset, float) if plus else 0.0, surplus=surplus)


def _list(name: str, text: str) -> tuple[float, ...]:
    entries = text.split(",")
    if len(entries) not in _COUNTS:
        expected = " or ".join(f"{count} ({families})" for count, families in _COUNTS.items())
        raise _wrong_count(name, len(entries), expected)
    if name.endswith("dims"):
        return tuple(_number(f"{name}, number {i},", entry, int, MAX_RANK) for i, entry in enumerate(entries, 1))
    return tuple(_number(f"{name}, number {i},", entry, float) for i, entry in enumerate(entries, 1))


def _wrong_count(name: str, count: int, expected: str) -> InputError:
    noun = "number" if count == 1 else "numbers"
    return InputError(
        f"{name} has {count} {noun}; expected {expected}.",
        field=FIELD,
        advice="Give a number for every block, also for those that hold no LoRA.",
    )


def _number(name: str, text: str, kind: Callable[[str], _T], most: float = MAX_NUMBER) -> _T:
    """`text` as a number from 0 to `most`."""
    try:
        value = kind(text)
    except (ValueError, OverflowError):
        noun = "a whole number" if kind is int else "a number"
        raise InputError(f"{name} is {text.strip()[:40]!r}; expected {noun}.", field=FIELD) from None
    if not 0 <= value <= most:
        raise InputError(f"{name} is {text.strip()[:40]}; expected a number from 0 to {most:g}.", field=FIELD)
    return value
