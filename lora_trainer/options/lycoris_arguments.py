"""The network_args of LyCORIS (lycoris.kohya) that we hand on: a fixed list, so that no value names a file or code."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import InputError, InputErrors
from .block_arguments import FIELD

ALGORITHMS = ("lora", "locon", "loha", "lokr", "diag-oft", "boft")  # those of which training and loading were tried
PRESETS = ("full", "attn-mlp", "attn-only", "unet-transformer-only", "unet-convblock-only")
_SWITCHES = (
    "bypass_mode", "decompose_both", "disable_conv_cp", "dora_wd", "full_matrix", "rescaled", "rs_lora", "train_norm",
    "unbalanced_factorization", "use_conv_cp", "use_cp", "use_scalar", "use_tucker", "wd_on_output",
)  # fmt: skip
_NUMBERS: dict[str, tuple[Callable[[str], int | float], float, float]] = {  # kind, least, most
    "conv_dim": (int, 0, 2048),
    "conv_alpha": (float, 0, 1e6),
    "dropout": (float, 0, 1),
    "rank_dropout": (float, 0, 1),
    "module_dropout": (float, 0, 1),
    "factor": (int, -1, 4096),
    "block_size": (int, 1, 4096),
    "constraint": (float, 0, 1e6),
}  # fmt: skip


def lycoris_arguments(given: Mapping[str, object]) -> dict[str, Any]:
    """Return the arguments for LyCORIS' create_network: numbers, switches and names from its lists.

    Raises InputErrors with everything that is unknown or out of its range.
    """
    values: dict[str, Any] = {}
    errors = []
    for name, value in given.items():
        try:
            if value is not None:
                values[name] = _value(name, str(value).strip())
        except InputError as error:
            errors.append(error)
    if errors:
        raise InputErrors(errors)
    return values


def _value(name: str, text: str) -> object:
    lists = {"algo": ALGORITHMS, "preset": PRESETS}
    if name in lists:
        if text not in lists[name]:
            raise InputError(f"{name} is {text[:40]!r}; expected one of {', '.join(lists[name])}.", field=FIELD)
        return text
    if name in _SWITCHES:
        if text.lower() not in ("true", "false", "1", "0"):
            raise InputError(f"{name} is {text[:40]!r}; expected True or False.", field=FIELD)
        return text.lower() in ("true", "1")
    if name in _NUMBERS:
        kind, least, most = _NUMBERS[name]
        try:
            number = kind(text)
        except (ValueError, OverflowError):
            number = None
        if number is None or not least <= number <= most:
            noun = "a whole number" if kind is int else "a number"
            raise InputError(f"{name} is {text[:40]!r}; expected {noun} from {least:g} to {most:g}.", field=FIELD)
        return number
    known = [*lists, *_NUMBERS, *_SWITCHES]
    near = difflib.get_close_matches(name, known, n=1)
    advice = f"Did you mean {near[0]}?" if near else f"Known are {', '.join(known)}."
    raise InputError(f"LyCORIS gets no argument {name!r} from here.", field=FIELD, advice=advice)
