"""Optimizers by name: `options.optimizer_kinds` says which class a name means; here it is imported and built."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from .. import log
from ..errors import InputError
from ..installing import extras
from ..log import logger
from ..networks.metadata import optimizer_text
from ..options.optimizer import OptimizerOptions
from ..options.optimizer_hints import optimizer_hints
from ..options.optimizer_kinds import ADAFACTOR, NOT_POSSIBLE, OPTIMIZERS, OptimizerKind, kind_of
from . import adafactor, one_rate
from .arguments import check_names, parse_arguments
from .phases import Emit
from .python_classes import load_class
from .trained import Trained

OPTION = "optimizer_type"
_FUSED = (torch.optim.Adam, torch.optim.AdamW)
_WAYS = ("fused", "foreach", "capturable", "differentiable")  # arguments that say how they compute
_OWN = ("params", "lr", "self")  # arguments that the options give


@dataclass(frozen=True)
class BuiltOptimizer:
    """`optimizer`, and what stands for it in the file's metadata, such as `torch.optim.adamw.AdamW(weight_decay=0.1)`.

    `kind` is what was asked for; `warning` is not empty when another one was taken."""

    optimizer: torch.optim.Optimizer
    description: str
    kind: OptimizerKind
    warning: str = ""

    @property
    def makes_its_rate(self) -> bool:
        """Whether it has no rate that a schedule could set."""
        return all(group["lr"] is None for group in self.optimizer.param_groups)


def check(options: OptimizerOptions) -> None:
    """Raise InputError or NotInstalledError, before anything is loaded, when the chosen optimizer cannot be built."""
    kind, args = kind_of(options.optimizer_type), _arguments(options)
    cls, _ = _class_of(kind)
    check_names(cls, args, own=[*_OWN, *kind.fixed], called=f"optimizer {kind.name}", option="optimizer_args")
    _try_values(kind, options.learning_rate, {name: value for name, value in args.items() if name not in _WAYS})


def _try_values(kind: OptimizerKind, rate: float, args: Mapping[str, object]) -> None:
    """Build the optimizer for one small weight. Raises InputError, naming the argument whose value it does not take."""

    def build(told: Mapping[str, object]) -> InputError | None:
        weight = torch.nn.Parameter(torch.zeros(2, 2))
        try:
            create(kind.name, [{"params": [weight], "lr": rate}], learning_rate=rate, args=told)
        except InputError as error:
            return error
        return None

    refused = build(args)
    if refused is None:
        return
    for name, value in args.items():
        if build({other: given for other, given in args.items() if other != name}) is None:
            raise InputError(
                f"optimizer {kind.name} does not accept {name}={_written(value)}: {refused.__cause__}",
                field="optimizer_args",
                advice=_spelling(value),
            ) from refused
    raise refused


def _written(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, (tuple, list)) else repr(value)


def _spelling(value: object) -> str:
    """What may have been meant by a value that was refused."""
    if isinstance(value, str):
        return "A number stands without quotation marks."
    if isinstance(value, (tuple, list)) and value and all(type(one) is int for one in value):
        return "A number has a point, not a comma: 0.1."
    return ""


def missing_package(options: OptimizerOptions) -> str | None:
    """The package that the chosen optimizer lacks here; None where nothing is missing, or another one stands in for it."""
    kind = kind_of(options.optimizer_type)
    if kind.full and not torch.cuda.is_available():
        kind = kind_of(kind.full)
    return kind.package if kind.package and not extras.is_there(kind.package) else None


def install_packages(options: OptimizerOptions) -> None:
    """Fetch what is missing, where the option says so. Raises NotInstalledError when that fails."""
    missing = missing_package(options) if options.install_packages else None
    if missing:
        extras.install(missing, logger.info, log.progress_lines())


def of(options: OptimizerOptions, trained: Trained, emit: Emit) -> BuiltOptimizer:
    """Build the optimizer that the options say for `trained`. Parts with a rate of 0 are not trained. Raises as `create`."""
    built = create(
        options.optimizer_type,
        trained.parameter_groups(options.text_encoder_lr, options.unet_lr, options.learning_rate),
        learning_rate=options.learning_rate,
        args=_arguments(options),
    )
    hints = [f"{message} {advice}".strip() for _, message, advice in optimizer_hints(options)]
    for message in filter(None, [built.warning, *hints]):
        emit({"type": "warning", "message": message})
    return built


def _arguments(options: OptimizerOptions) -> dict[str, object]:
    return parse_arguments(options.optimizer_args or (), option="optimizer_args")


def create(name: str, groups: list[dict[str, Any]], *, learning_rate: float, args: Mapping[str, object]) -> BuiltOptimizer:
    """Build optimizer `name` for parameter groups, each with its own "lr"; `args` as parsed from --optimizer_args.

    Raises InputError for an argument that the optimizer does not take, and for a class that there is not; NotInstalledError
    when its package is missing.
    """
    kind = kind_of(name)
    cls, warning = _class_of(kind)
    check_names(cls, args, own=[*_OWN, *kind.fixed], called=f"optimizer {kind.name}", option="optimizer_args")
    told: dict[str, object] = {**kind.added, **args}
    lr: float | None = learning_rate
    if kind == ADAFACTOR:
        told = adafactor.completed(told)
        if told[adafactor.RELATIVE]:
            lr, groups = None, [{key: value for key, value in group.items() if key != "lr"} for group in groups]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            optimizer = cls(groups, lr=lr, **told, **kind.fixed, **in_one_launch(cls, told, groups[0]["params"][0].device))
    except (TypeError, ValueError, RuntimeError, AttributeError, AssertionError) as error:
        raise InputError(f"optimizer {kind.name} does not accept these arguments: {error}", field="optimizer_args") from error
    if kind.finds_its_rate:
        one_rate.share(optimizer)
    if kind.averages:
        optimizer.train()
    return BuiltOptimizer(optimizer, optimizer_text(cls, told), kind, warning)


def in_one_launch(cls: type[Any], told: Mapping[str, object], device: torch.device) -> dict[str, bool]:
    """What lets `cls` change all weights in one kernel of a card (fused Adam and AdamW), where nobody has chosen a way.

    The numbers are the same to rounding, and a step can be left out on the device (`Updater.leaves_out`). On the CPU the usual
    way stays: its bytes are those of before.
    """
    chosen = any(name in told for name in _WAYS)
    return {"fused": True} if cls in _FUSED and device.type == "cuda" and not chosen else {}


def _class_of(kind: OptimizerKind) -> tuple[type[Any], str]:
    """The class of `kind`, or of the one that computes the same where it cannot run, with a warning.

    Raises InputError and NotInstalledError.
    """
    if kind.full and not torch.cuda.is_available():
        return _stand_in(kind, "there is no CUDA device")
    own = extras.own_folder(kind.package) if kind.package else None
    try:
        cls = load_class(kind.target, option=OPTION, folder=own)
    except ImportError as error:
        if not kind.package:
            raise InputError(
                f"{kind.target} cannot be imported: {error}.",
                field=OPTION,
                advice="Write module.Class, and see that its package is installed where this program runs.",
            ) from error
        if kind.full:
            return _stand_in(kind, f"the package {kind.package} cannot be used ({error})")
        raise extras.missing(kind.package, f"optimizer_type {kind.name}") from error
    except (RuntimeError, OSError) as error:
        if kind.full:
            return _stand_in(kind, f"the package {kind.package} cannot be used ({error})")
        raise
    why = NOT_POSSIBLE.get(cls.__name__) if cls.__module__.startswith("torch.") else None
    if why or not issubclass(cls, torch.optim.Optimizer):
        raise InputError(
            f"{kind.target} cannot be used: {why or 'it is no optimizer'}.",
            field=OPTION,
            advice=f"There are: {', '.join(one.name for one in OPTIMIZERS)}.",
        )
    return cls, ""


def _stand_in(kind: OptimizerKind, why: str) -> tuple[type[Any], str]:
    cls, _ = _class_of(kind_of(kind.full))
    return cls, (f"{kind.name} needs CUDA and bitsandbytes; {why}. Training with {kind.full}, which takes more memory.")
