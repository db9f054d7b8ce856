"""Learning-rate schedules: each is a function step -> factor, a pure function of the number of optimizer steps made.

Because of that, stopping and going on elsewhere needs nothing but the step number, also for the classes of PyTorch
(`torch_schedules`). Names, defaults and values are those of kohya-ss's options (which are those of the transformers library).
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

from ..errors import InputError
from ..options.optimizer import OptimizerOptions
from ..options.optimizer_kinds import makes_its_rate
from ..options.schedule_names import ADAFACTOR_RATE
from .arguments import parse_arguments
from .torch_schedules import ClassSchedule, check_class

Factor = Callable[[int], float]
LAST_RATE = 1e-7  # where the polynomial schedule ends


@dataclass(frozen=True, kw_only=True)
class ScheduleSettings:
    """The options of the schedule. Warm-up and decay are numbers of steps, or below 1 a part of all steps."""

    name: str = "constant"
    type_name: str = ""  # a class of PyTorch or of another package, in place of the name
    warmup: int | float = 0
    decay: int | float = 0
    num_cycles: int = 1
    power: float = 1.0
    timescale: int | None = None
    min_lr_ratio: float | None = None
    args: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def of(cls, options: OptimizerOptions) -> ScheduleSettings:
        """What the options say. Raises InputError for lr_scheduler_args that cannot be read."""
        return cls(
            name=options.lr_scheduler,
            type_name=options.lr_scheduler_type,
            warmup=options.lr_warmup_steps,
            decay=options.lr_decay_steps,
            num_cycles=options.lr_scheduler_num_cycles,
            power=options.lr_scheduler_power,
            timescale=options.lr_scheduler_timescale,
            min_lr_ratio=options.lr_scheduler_min_lr_ratio,
            args=parse_arguments(options.lr_scheduler_args or (), option="lr_scheduler_args", plain=_TEXTS),
        )


@dataclass(frozen=True, kw_only=True)
class _Span:
    """What every schedule is told: steps in all, steps of warm-up and (for one) of decay, and the base rate."""

    total: int
    warmup: int
    decay: int
    rate: float

    @property
    def main(self) -> int:
        """Steps after the warm-up, at least 1."""
        return max(1, self.total - self.warmup)


def factor(settings: ScheduleSettings, *, total_steps: int, rate: float) -> Factor:
    """Return the function from the number of steps made (0 before the first) to the factor of the rate `rate`.

    Raises InputError for an unknown name, for an argument that the schedule has not, and for a warm-up without effect.
    """
    make = _schedule(settings.name)
    span = _Span(
        total=total_steps, warmup=_steps(settings.warmup, total_steps), decay=_steps(settings.decay, total_steps), rate=rate
    )
    if settings.name in _WITHOUT_WARMUP and span.warmup:
        raise InputError(
            f"lr_scheduler {settings.name!r} has no warm-up.",
            field="lr_warmup_steps",
            advice="Use lr_scheduler constant_with_warmup, or lr_warmup_steps 0.",
        )
    given: dict[str, object] = {
        "power": settings.power,
        "timescale": settings.timescale,
        "min_lr_ratio": settings.min_lr_ratio,
    }
    _, names, share = _SCHEDULES[settings.name]
    given["num_cycles"] = settings.num_cycles * share
    arguments = {name: given[name] for name in names if name in given and (name != "num_cycles" or share)}
    for name, value in settings.args.items():
        if name not in names or not isinstance(value, str if name in _TEXTS else (int, float)):
            expected = "text" if name in _TEXTS else "number"
            found = f"{name}={value!r} is not a {expected}" if name in names else f"there is no {name!r}"
            raise InputError(
                f"{found} among the arguments of lr_scheduler {settings.name!r}, which has: {', '.join(names) or 'none'}.",
                field="lr_scheduler_args",
            )
    return make(span, **{**arguments, **settings.args})


class Schedule:
    """The rates of an optimizer's groups: each group's base rate times one factor, which depends on `steps` alone.

    `steps` counts the steps that were made by the schedule; it is all that has to be known to go on elsewhere.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, factor: Factor) -> None:
        """The groups' rates as they are now are the base rates; they are set for the first step."""
        self._optimizer = optimizer
        self._factor = factor
        self._base = [group["lr"] for group in optimizer.param_groups]
        self.steps = 0
        self._set()

    def step(self) -> None:
        """Count a step, and set the rates of the next one."""
        self.steps += 1
        self._set()

    def state_dict(self) -> dict[str, int]:
        """For the training state."""
        return {"steps": self.steps}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on from what `state_dict` gave; the base rates and the total are as they are given now."""
        self.steps = int(state["steps"])
        self._set()

    def _set(self) -> None:
        factor = self._factor(self.steps)
        for group, rate in zip(self._optimizer.param_groups, self._base, strict=True):
            if rate is not None:  # the optimizer makes its rate by itself
                group["lr"] = rate * factor


AnySchedule = Schedule | ClassSchedule


def check(options: OptimizerOptions, *, total_steps: int) -> None:
    """Raise InputError for a schedule that cannot be made, before anything is loaded."""
    settings = ScheduleSettings.of(options)
    if makes_its_rate(options.optimizer_type, options.optimizer_args):
        return
    if settings.type_name:
        _refuse_warmup_of_class(settings, total_steps)
        check_class(settings.type_name, settings.args)
        return
    factor(settings, total_steps=total_steps, rate=1e-4)


def create(optimizer: torch.optim.Optimizer, settings: ScheduleSettings, *, total_steps: int) -> AnySchedule:
    """Return the schedule of `optimizer`. One that makes its rate by itself is left alone.

    Schedules that end at a rate (polynomial, min_lr) take it from the optimizer's own rate. Raises as `factor` does.
    """
    rates = [group["lr"] for group in optimizer.param_groups if group["lr"] is not None]
    if not rates:
        return Schedule(optimizer, _constant(_Span(total=total_steps, warmup=0, decay=0, rate=0.0)))
    if settings.type_name:
        _refuse_warmup_of_class(settings, total_steps)
        return ClassSchedule(optimizer, settings.type_name, settings.args)
    return Schedule(optimizer, factor(settings, total_steps=total_steps, rate=optimizer.defaults["lr"] or max(rates)))


def _refuse_warmup_of_class(settings: ScheduleSettings, total: int) -> None:
    if _steps(settings.warmup, total):
        raise InputError(
            f"lr_scheduler_type {settings.type_name} has no warm-up, but lr_warmup_steps is {settings.warmup}.",
            field="lr_warmup_steps",
            advice="Use lr_warmup_steps 0, or a lr_scheduler with a warm-up.",
        )


def _steps(given: int | float, total: int) -> int:
    return int(given * total) if isinstance(given, float) and given < 1 else int(given)


def _schedule(name: str) -> Callable[..., Factor]:
    if name in _SCHEDULES:
        return _SCHEDULES[name][0]
    if name == "adafactor" or re.fullmatch(ADAFACTOR_RATE, name):
        raise InputError(
            f"lr_scheduler {name!r} is the schedule that the optimizer AdaFactor makes by itself.",
            field="lr_scheduler",
            advice="Use optimizer_type AdaFactor with relative_step=True, or another schedule.",
        )
    near = difflib.get_close_matches(name.lower(), _SCHEDULES, n=1)
    raise InputError(
        f"lr_scheduler {name!r} is unknown.",
        field="lr_scheduler",
        advice=(f"Did you mean {near[0]!r}? " if near else "") + f"There are: {', '.join(_SCHEDULES)}.",
    )


# --- one function per schedule ---


def _warmed(span: _Span, then: Factor) -> Factor:
    """Rise from 0 in a straight line during the warm-up, then follow `then`."""
    return lambda step: step / max(1, span.warmup) if step < span.warmup else then(step)


def _constant(span: _Span) -> Factor:
    return lambda step: 1.0


def _constant_with_warmup(span: _Span) -> Factor:
    return _warmed(span, lambda step: 1.0)


def _linear(span: _Span) -> Factor:
    return _warmed(span, lambda step: max(0.0, (span.total - step) / span.main))


def _cosine(span: _Span, num_cycles: float = 0.5) -> Factor:
    """SGDR without restarts (Loshchilov and Hutter 2016); half a wave unless `num_cycles` says otherwise."""
    return _warmed(span, lambda step: max(0.0, _wave(num_cycles * 2.0 * (step - span.warmup) / span.main)))


def _cosine_with_restarts(span: _Span, num_cycles: int = 1) -> Factor:
    """SGDR (Loshchilov and Hutter 2016) with cycles of equal length."""

    def then(step: int) -> float:
        progress = (step - span.warmup) / span.main
        return 0.0 if progress >= 1.0 else max(0.0, _wave((num_cycles * progress) % 1.0))

    return _warmed(span, then)


def _cosine_with_min_lr(
    span: _Span, num_cycles: float = 0.5, min_lr_ratio: float | None = None, min_lr: float | None = None
) -> Factor:
    """The cosine between the base rate and `min_lr_ratio` of it (or the rate `min_lr`)."""
    ratio = min_lr_ratio if min_lr is None else min_lr / (span.rate or 1.0)
    if ratio is None:
        raise InputError(
            "lr_scheduler 'cosine_with_min_lr' needs the rate it ends at.",
            field="lr_scheduler_min_lr_ratio",
            advice="Set lr_scheduler_min_lr_ratio, for example 0.1.",
        )
    wave = _cosine(span, num_cycles)
    return _warmed(span, lambda step: max(0.0, wave(step) * (1.0 - ratio) + ratio))


def _polynomial(span: _Span, power: float = 1.0, lr_end: float = LAST_RATE) -> Factor:
    """A power of what is left of the way; ends at the rate `lr_end` (a lower rate than that stays as it is)."""
    if span.rate <= lr_end:
        return _constant_with_warmup(span)

    def then(step: int) -> float:
        if step > span.total:
            return lr_end / span.rate
        rest = 1.0 - (step - span.warmup) / (span.total - span.warmup)
        return ((span.rate - lr_end) * rest**power + lr_end) / span.rate

    return _warmed(span, then)


def _inverse_sqrt(span: _Span, timescale: int | None = None) -> Factor:
    """("Scaling Vision Transformers", Zhai et al. 2021.) The timescale is the warm-up, or 10,000 without one."""
    scale = timescale or span.warmup or 10_000
    return _warmed(span, lambda step: 1.0 / math.sqrt((step + scale - span.warmup) / scale))


def _warmup_stable_decay(span: _Span, num_cycles: float = 0.5, min_lr_ratio: float | None = None) -> Factor:
    """("MiniCPM", Hu et al. 2024.) Constant between the warm-up and a cosine decay over the last `decay` steps."""
    least = min_lr_ratio or 0.0
    decay_begins = span.total - span.decay

    def then(step: int) -> float:
        if step < decay_begins:
            return 1.0
        if step >= span.total:
            return least
        return max(0.0, _wave(num_cycles * 2.0 * (step - decay_begins) / max(1, span.decay)) * (1.0 - least) + least)

    return _warmed(span, then)


def _piecewise_constant(span: _Span, step_rules: str = "") -> Factor:
    """`1:10,0.1:20,0.01`: factor 1 before step 10, 0.1 before step 20, 0.01 from then on (diffusers' syntax)."""
    *ranges, last = step_rules.split(",")
    try:
        rules = [(int(until), float(value)) for value, _, until in (one.partition(":") for one in ranges)]
        rest = float(last)
    except ValueError:
        rules, rest = [], math.nan
    if not all(math.isfinite(value) and value >= 0 for value in (rest, *(value for _, value in rules))):
        raise InputError(
            f"step_rules is {step_rules!r}; expected factor:step pairs and a last factor for piecewise_constant.",
            field="lr_scheduler_args",
            advice="For example step_rules=1:100,0.1:200,0.01.",
        )
    rules.sort()
    return lambda step: next((value for until, value in rules if step < until), rest)


def _wave(half_turns: float) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * half_turns))


# name -> (function, names of its arguments, how much of --lr_scheduler_num_cycles is its num_cycles: 0, not the option's)
_SCHEDULES: dict[str, tuple[Callable[..., Factor], tuple[str, ...], float]] = {
    "constant": (_constant, (), 0),
    "constant_with_warmup": (_constant_with_warmup, (), 0),
    "linear": (_linear, (), 0),
    "cosine": (_cosine, ("num_cycles",), 0),
    "cosine_with_restarts": (_cosine_with_restarts, ("num_cycles",), 1),
    "polynomial": (_polynomial, ("power", "lr_end"), 0),
    "inverse_sqrt": (_inverse_sqrt, ("timescale",), 0),
    "cosine_with_min_lr": (_cosine_with_min_lr, ("num_cycles", "min_lr_ratio", "min_lr"), 0.5),
    "warmup_stable_decay": (_warmup_stable_decay, ("num_cycles", "min_lr_ratio"), 0.5),
    "piecewise_constant": (_piecewise_constant, ("step_rules",), 0),
}
_TEXTS = ("step_rules",)  # arguments that are texts, and need no quotation marks
_WITHOUT_WARMUP = ("constant", "piecewise_constant")
