"""`network_args`: from `name=value` texts to checked numbers. Standard library only, so that they are checked first of all."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import InputError, InputErrors
from .block_arguments import BLOCK_ARGUMENTS, FIELD, SHAPES, BlockArguments, read_blocks

MAX_RANK = 2048  # as of network_dim

_Reader = Callable[[str, object], Any]


@dataclass(frozen=True, kw_only=True)
class LoRAArguments:
    """The network_args of networks.lora: rank and alpha of 3x3 convolutions (None: they get no LoRA), dropouts, blocks.

    A `conv_dim` of 0 trains the linear layers and 1x1 convolutions of the resnets too, but no 3x3 convolution. `loraplus_...`:
    how many times faster the second factor (lora_up) learns than the first, in both parts or in one of them ("LoRA+: Efficient
    Low Rank Adaptation of Large Models", Hayou et al. 2024).
    """

    conv_dim: int | None = None
    conv_alpha: float = 1.0
    rank_dropout: float = 0.0
    module_dropout: float = 0.0
    loraplus_lr_ratio: float | None = None
    loraplus_unet_lr_ratio: float | None = None
    loraplus_text_encoder_lr_ratio: float | None = None
    blocks: BlockArguments = field(default_factory=BlockArguments)

    @property
    def plus(self) -> dict[str, float]:
        """LoRA+'s ratio of each part, "text_encoder" and "unet", that has one."""
        own = {"text_encoder": self.loraplus_text_encoder_lr_ratio, "unet": self.loraplus_unet_lr_ratio}
        ratios = {part: self.loraplus_lr_ratio if ratio is None else ratio for part, ratio in own.items()}
        return {part: ratio for part, ratio in ratios.items() if ratio is not None}

    @classmethod
    def of(cls, given: Mapping[str, object]) -> LoRAArguments:
        """Check names and values (texts or numbers; a value of None counts as left out).

        Raises InputErrors with everything that is wrong: unknown names, no numbers, numbers out of their range.
        """
        errors: list[InputError] = []
        values = _read(given, _LORA_READERS, BLOCK_ARGUMENTS, errors)
        if "conv_alpha" in values and given.get("conv_dim") is None and given.get("conv_block_dims") is None:
            advice = "Add conv_dim=4, or leave both out."
            errors.append(InputError("conv_alpha is given without conv_dim.", field=FIELD, advice=advice))
        blocks = read_blocks(given, errors)
        if errors:
            raise InputErrors(errors)
        return cls(**values, blocks=blocks)


@dataclass(frozen=True, kw_only=True)
class DyLoRAArguments:
    """The network_args of networks.dylora: those of networks.lora, and `unit`, the ranks that are trained together."""

    lora: LoRAArguments = field(default_factory=LoRAArguments)
    unit: int = 1

    @classmethod
    def of(cls, given: Mapping[str, object], network_dim: int | None) -> DyLoRAArguments:
        """Check names and values, and that all ranks are `network_dim` and a multiple of `unit`.

        `network_dim` is None where the ranks come from a file. Raises InputErrors with everything that is wrong.
        """
        errors: list[InputError] = []
        unit = 1
        try:
            if given.get("unit") is not None:
                unit = int(number_of("unit", given["unit"], int, minimum=1, maximum=MAX_RANK))
            if network_dim is not None and network_dim % unit:
                whole = [str(n) for n in range(1, network_dim + 1) if network_dim % n == 0]
                raise InputError(
                    f"unit is {unit}, which does not divide network_dim {network_dim}.",
                    field=FIELD,
                    advice=f"Choose one of {', '.join(whole)}.",
                )
        except InputError as error:
            errors.append(error)
        for name in SHAPES:
            if given.get(name) is not None:
                advice = "Leave it out, or use networks.lora."
                errors.append(InputError(f"{name}: all modules of a DyLoRA have one rank.", field=FIELD, advice=advice))
        rest = {name: value for name, value in given.items() if name != "unit" and name not in SHAPES}
        try:
            lora = LoRAArguments.of(rest)
        except InputErrors as wrong:
            raise InputErrors([*errors, *wrong.errors]) from None
        if network_dim is not None and lora.conv_dim not in (None, network_dim):
            advice = f"Write conv_dim={network_dim}."
            errors.append(
                InputError(f"conv_dim is {lora.conv_dim}; expected network_dim, {network_dim}.", field=FIELD, advice=advice)
            )
        if errors:
            raise InputErrors(errors)
        return cls(lora=lora, unit=unit)


def parse_network_args(texts: Iterable[str] | None) -> dict[str, str]:
    """Turn `["conv_dim=4", "conv_alpha=1"]` into a dictionary of texts, in the given order.

    Raises InputErrors, one for each text without `=`, without a name, or with a name that was given before.
    """
    parsed: dict[str, str] = {}
    errors = []
    for text in texts or ():
        name, equals, value = text.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or not name:
            errors.append(
                InputError(f"{text!r} is not of the form name=value.", field=FIELD, advice='Write for example "conv_dim=4".')
            )
        elif name in parsed:
            errors.append(InputError(f"{name} is given twice.", field=FIELD, advice="Keep one of them."))
        else:
            parsed[name] = value
    if errors:
        raise InputErrors(errors)
    return parsed


def _read(
    given: Mapping[str, object], readers: Mapping[str, _Reader], others: Iterable[str], errors: list[InputError]
) -> dict[str, Any]:
    """The values of `readers`' names; names that are neither theirs nor of `others`, and bad values, are added to `errors`."""
    values: dict[str, Any] = {}
    for name, value in given.items():
        try:
            if name in readers and value is not None:
                values[name] = readers[name](name, value)
            elif name not in readers and name not in others:
                raise _unknown(name, [*readers, *others])
        except InputError as error:
            errors.append(error)
    return values


# What guides write among the network_args, and is an option of its own or of another kind of network.
_OPTIONS = {name: name for name in ("network_dim", "network_alpha", "network_dropout")} | {
    "dim": "network_dim", "rank": "network_dim", "alpha": "network_alpha", "dropout": "network_dropout",
}  # fmt: skip
_KINDS = {"algo": "lycoris.kohya", "preset": "lycoris.kohya", "unit": "networks.dylora"}


def _unknown(name: str, known: list[str]) -> InputError:
    if name in _OPTIONS:
        advice = f"It is an option of its own: {_OPTIONS[name]}."
        return InputError(f"the network does not know the argument {name!r}.", field=FIELD, advice=advice)
    if name in _KINDS:
        advice = f"It is for network_module {_KINDS[name]}."
        return InputError(f"the network does not know the argument {name!r}.", field=FIELD, advice=advice)
    near = difflib.get_close_matches(name, known, n=1)
    advice = f"Did you mean {near[0]}?" if near else f"Known are {', '.join(known)}."
    return InputError(f"the network does not know the argument {name!r}.", field=FIELD, advice=advice)


def number_of(
    name: str,
    value: object,
    kind: Callable[[Any], int | float],
    *,
    field: str = FIELD,
    minimum: float = 0.0,
    maximum: float = 1e6,
) -> int | float:
    """Return `value` (text or number) as `kind`, int or float; raises InputError when it is none, or out of bounds."""
    noun = "a whole number" if kind is int else "a number"
    try:
        number: int | float | None = kind(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or not abs(number) < math.inf or (kind is int and not isinstance(value, str) and number != value):
        raise InputError(f"{name} is {value!r}; expected {noun}.", field=field)
    if number < minimum:
        raise InputError(f"{name} is {value}; expected {noun} of at least {minimum:g}.", field=field)
    if number > maximum:
        raise InputError(f"{name} is {str(value)[:40]}; expected {noun} of at most {maximum:g}.", field=field)
    return number


def share_of(name: str, value: object, *, field: str = FIELD) -> float:
    """Return a share 0 <= p < 1; None is 0. Raises InputError for anything else."""
    if value is None:
        return 0.0
    share = float(number_of(name, value, float, field=field))
    if share >= 1.0:
        raise InputError(f"{name} is {value}; expected a share from 0 to below 1 (1 would leave nothing).", field=field)
    return share


def _ratio(name: str, value: object) -> float:
    """How many times faster; at 0 nothing would be learned."""
    return float(number_of(name, value, float, minimum=1e-3, maximum=1e3))


_LORA_READERS: dict[str, _Reader] = {
    "conv_dim": lambda name, value: number_of(name, value, int, maximum=MAX_RANK),
    "conv_alpha": lambda name, value: number_of(name, value, float),
    "rank_dropout": share_of,
    "module_dropout": share_of,
    "loraplus_lr_ratio": _ratio,
    "loraplus_unet_lr_ratio": _ratio,
    "loraplus_text_encoder_lr_ratio": _ratio,
}
