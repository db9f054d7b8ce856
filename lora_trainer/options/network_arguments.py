"""`network_args`: from `name=value` texts to checked numbers. Standard library only, so that they are checked first of all."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import InputError, InputErrors

FIELD = "network_args"
MAX_RANK = 2048  # as of network_dim
BLOCK_ARGUMENTS = (
    "down_lr_weight", "mid_lr_weight", "up_lr_weight", "block_lr_zero_threshold",
    "block_dims", "block_alphas", "conv_block_dims", "conv_block_alphas",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LoRAArguments:
    """The network_args of networks.lora: the rank and alpha of 3x3 convolutions (None: they get no LoRA), and dropouts."""

    conv_dim: int | None = None
    conv_alpha: float = 1.0
    rank_dropout: float = 0.0
    module_dropout: float = 0.0

    @classmethod
    def of(cls, given: Mapping[str, object]) -> LoRAArguments:
        """Check names and values (texts or numbers; a value of None counts as left out).

        Raises InputErrors with everything that is wrong: unknown names, no numbers, numbers out of their range.
        """
        readers: dict[str, Callable[[str, object], int | float]] = {
            "conv_dim": lambda name, value: number_of(name, value, int, minimum=1, maximum=MAX_RANK),
            "conv_alpha": lambda name, value: number_of(name, value, float),
            "rank_dropout": share_of,
            "module_dropout": share_of,
        }
        errors: list[InputError] = []
        values: dict[str, Any] = {}
        for name, value in given.items():
            try:
                if name not in readers:
                    raise _unknown(name, list(readers))
                if value is not None:
                    values[name] = readers[name](name, value)
            except InputError as error:
                errors.append(error)
        if "conv_alpha" in values and given.get("conv_dim") is None:
            advice = "Add conv_dim=4, or leave both out."
            errors.append(InputError("conv_alpha is given without conv_dim.", field=FIELD, advice=advice))
        if errors:
            raise InputErrors(errors)
        return cls(**values)


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


def _unknown(name: str, known: list[str]) -> InputError:
    if name in BLOCK_ARGUMENTS:
        return InputError(f"{name} has no effect yet.", field=FIELD, advice="Leave it out.")
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


def network_args_problems(texts: Iterable[str] | None) -> list[InputError]:
    """Everything that is wrong with the network_args of networks.lora."""
    try:
        LoRAArguments.of(parse_network_args(texts))
    except InputErrors as wrong:
        return wrong.errors
    return []
