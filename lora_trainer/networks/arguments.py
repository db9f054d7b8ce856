"""`network_args`: from `name=value` texts to checked numbers."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping

from ..errors import InputError, InputErrors

FIELD = "network_args"


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


def check_known(given: Mapping[str, object], known: Iterable[str], *, later: Iterable[str] = ()) -> None:
    """Raise InputErrors with every name of `given` that is not in `known`; names in `later` are said to come later."""
    known, errors = list(known), []
    for name in given:
        if name in known:
            continue
        if name in later:
            errors.append(InputError(f"{name} has no effect yet.", field=FIELD, advice="Leave it out."))
            continue
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"Known are {', '.join(known)}."
        errors.append(InputError(f"the network does not know the argument {name!r}.", field=FIELD, advice=hint))
    if errors:
        raise InputErrors(errors)


def number_of(name: str, value: object, kind: type, *, field: str = FIELD, minimum: float = 0.0) -> int | float:
    """Return `value` (text or number) as `kind`, int or float; raises InputError when it is none, or below `minimum`."""
    noun = "a whole number" if kind is int else "a number"
    try:
        number = kind(value)
    except (TypeError, ValueError):
        number = None
    if number is None or not math.isfinite(number) or (kind is int and not isinstance(value, str) and number != value):
        raise InputError(f"{name} is {value!r}; expected {noun}.", field=field)
    if number < minimum:
        raise InputError(f"{name} is {value}; expected {noun} of at least {minimum:g}.", field=field)
    return number


def share_of(name: str, value: object, *, field: str = FIELD) -> float:
    """Return a share 0 <= p < 1; None is 0. Raises InputError for anything else."""
    if value is None:
        return 0.0
    share = float(number_of(name, value, float, field=field))
    if share >= 1.0:
        raise InputError(f"{name} is {value}; expected a share from 0 to below 1 (1 would leave nothing).", field=field)
    return share
