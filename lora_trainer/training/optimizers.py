"""Optimizers by name. A name is looked up in a table; it is never imported from what somebody typed."""

from __future__ import annotations

import difflib
import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from .. import optional_packages
from ..errors import InputError
from ..networks.metadata import optimizer_text
from ..options.optimizer import OptimizerOptions
from .phases import Emit
from .schedulers import parse_arguments
from .trained import Trained

DEFAULT = "AdamW"
NOT_YET = (
    "AdaFactor",
    "AdamWScheduleFree",
    "DAdaptAdaGrad",
    "DAdaptAdam",
    "DAdaptAdamPreprint",
    "DAdaptAdan",
    "DAdaptAdanIP",
    "DAdaptation",
    "DAdaptLion",
    "DAdaptSGD",
    "Lion",
    "Lion8bit",
    "PagedAdamW",
    "PagedAdamW32bit",
    "PagedAdamW8bit",
    "PagedLion8bit",
    "Prodigy",
    "RAdamScheduleFree",
    "SGDNesterov",
    "SGDNesterov8bit",
    "SGDScheduleFree",
)


@dataclass(frozen=True)
class BuiltOptimizer:
    """`optimizer`, and what stands for it in the file's metadata, such as `torch.optim.adamw.AdamW(weight_decay=0.1)`.

    `warning` is not empty when another one than the asked was taken."""

    optimizer: torch.optim.Optimizer
    description: str
    warning: str = ""


def _adamw() -> tuple[Callable[..., torch.optim.Optimizer], str]:
    return torch.optim.AdamW, ""


def _adamw8bit() -> tuple[Callable[..., torch.optim.Optimizer], str]:
    """8-bit AdamW ("8-bit Optimizers via Block-wise Quantization", Dettmers et al. 2021), or AdamW where it cannot run."""
    why = "there is no CUDA device"
    if torch.cuda.is_available():
        try:
            return optional_packages.load("bitsandbytes").optim.AdamW8bit, ""
        except (ImportError, AttributeError, RuntimeError, OSError) as error:
            why = f"the package bitsandbytes cannot be used ({error})"
    return torch.optim.AdamW, f"AdamW8bit needs CUDA and bitsandbytes; {why}. Training with AdamW, which takes more memory."


_TABLE: dict[str, Callable[[], tuple[Callable[..., torch.optim.Optimizer], str]]] = {
    "AdamW": _adamw,
    "AdamW8bit": _adamw8bit,
}


def check_name(name: str) -> str:
    """Return the table's spelling of `name` (case does not matter; "" is AdamW). Raises InputError for any other."""
    known = {known.lower(): known for known in _TABLE}
    if name.lower() in known or not name:
        return known[(name or DEFAULT).lower()]
    if name.lower() in {other.lower() for other in NOT_YET} or "." in name:
        problem, advice = "is not supported yet", ""
    else:
        near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
        problem, advice = "is unknown", f"Did you mean {known[near[0]]}? " if near else ""
    raise InputError(
        f"optimizer_type {name!r} {problem}.", field="optimizer_type", advice=f"{advice}There are: {', '.join(_TABLE)}."
    )


def check(options: OptimizerOptions) -> None:
    """Raise InputError for an unknown optimizer, or optimizer_args that cannot be read."""
    check_name(options.optimizer_type)
    _arguments(options)


def of(options: OptimizerOptions, trained: Trained, emit: Emit) -> BuiltOptimizer:
    """Build the optimizer that the options say for `trained`. Parts with a rate of 0 are not trained. Raises as `create`."""
    built = create(
        "AdamW8bit" if options.use_8bit_adam else options.optimizer_type,
        trained.parameter_groups(options.text_encoder_lr, options.unet_lr, options.learning_rate),
        learning_rate=options.learning_rate,
        args=_arguments(options),
    )
    if built.warning:
        emit({"type": "warning", "message": built.warning})
    return built


def _arguments(options: OptimizerOptions) -> dict[str, object]:
    return parse_arguments(options.optimizer_args or (), option="optimizer_args")


def create(name: str, groups: list[dict[str, Any]], *, learning_rate: float, args: Mapping[str, object]) -> BuiltOptimizer:
    """Build optimizer `name` for parameter groups, each with its own "lr"; `args` as parsed from --optimizer_args.

    Raises InputError for an unknown name, or an argument that the optimizer does not take.
    """
    name = check_name(name)
    kind, warning = _TABLE[name]()
    taken = [key for key in inspect.signature(kind).parameters if key not in {"params", "lr", "self"}]
    for key in args:
        if key not in taken:
            near = difflib.get_close_matches(key, taken, n=1)
            raise InputError(
                f"optimizer {name} has no argument {key!r}.",
                field="optimizer_args",
                advice=(f"Did you mean {near[0]!r}? " if near else "") + f"It has: {', '.join(taken)}.",
            )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            optimizer = kind(groups, lr=learning_rate, **args)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"optimizer {name} does not accept these arguments: {error}", field="optimizer_args") from error
    return BuiltOptimizer(optimizer, optimizer_text(kind, args), warning)
