"""Learning-rate schedules that are classes: those of torch.optim.lr_scheduler, and for the local user of any package.

A scheduler changes the groups of the optimizer it is given step by step. Here it is given a stand-in with the same rates, and
what it makes of them is copied. So it is a function of the number of steps like every other schedule: to go on from step n, a
new one is stepped n times, which takes microseconds each.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch

from ..errors import InputError
from ..options.schedule_names import OF_TORCH, TORCH_SCHEDULES
from .arguments import check_names
from .python_classes import load_class

OPTION, ARGUMENTS = "lr_scheduler_type", "lr_scheduler_args"
_SCHEDULED = ("lr", "betas", "momentum")  # what schedulers change
# Classes there that are made of functions, of other schedules, or follow a loss.
UNUSABLE = {"SequentialLR", "ChainedScheduler", "LambdaLR", "MultiplicativeLR", "ReduceLROnPlateau", "LRScheduler"}


class _StandIn(torch.optim.Optimizer):
    """An optimizer with the groups of another one, and one number each to change."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        groups = [
            {**{key: value for key, value in group.items() if key != "params"}, "params": [torch.zeros(1)]}
            for group in optimizer.param_groups
        ]
        super().__init__(groups, dict(optimizer.defaults))

    def step(self, closure: Any = None) -> None:
        """Change nothing."""


class ClassSchedule:
    """The rates of an optimizer's groups as a scheduler class sets them. `steps` counts the steps made."""

    def __init__(self, optimizer: torch.optim.Optimizer, name: str, args: Mapping[str, object]) -> None:
        """The groups' rates as they are now are the base rates. Raises InputError for arguments that the class refuses."""
        self._optimizer = optimizer
        self._name, self._args = name, args
        self._base = [{key: group[key] for key in _SCHEDULED if key in group} for group in optimizer.param_groups]
        self._go_to(0)

    def step(self) -> None:
        """Count a step, and set the rates of the next one. Raises InputError where the class has no rate for it."""
        self.steps += 1
        self._advance()
        self._set()

    def state_dict(self) -> dict[str, int]:
        """What has to be known to go on elsewhere."""
        return {"steps": self.steps}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on from there: the rates are those of the next step."""
        self._go_to(state["steps"])

    def _go_to(self, steps: int) -> None:
        for group, base in zip(self._optimizer.param_groups, self._base, strict=True):
            group.update(base)
        self._shadow = _StandIn(self._optimizer)
        self._scheduler = _make(self._name, self._args, self._shadow)
        self.steps = steps
        for _ in range(steps):
            self._advance()
        self._set()

    def _advance(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the optimizer has to step first: the real one has
            try:
                self._scheduler.step()
            except (TypeError, ValueError, RuntimeError) as error:
                raise InputError(
                    f"lr_scheduler_type {self._name} has no rate for step {self.steps + 1}: {error}",
                    field=ARGUMENTS,
                    advice="Give its arguments for the whole training (total_steps and the like count one more step).",
                ) from error

    def _set(self) -> None:
        for group, shadow in zip(self._optimizer.param_groups, self._shadow.param_groups, strict=True):
            group.update({key: _number(shadow[key]) for key in _SCHEDULED if key in group})


def check_class(name: str, args: Mapping[str, object]) -> None:
    """Raise InputError when there is no such class, or it cannot be made with these arguments."""
    _make(name, args, _StandIn(torch.optim.AdamW([torch.zeros(1)], lr=1e-4)))


def _make(name: str, args: Mapping[str, object], optimizer: torch.optim.Optimizer) -> Any:
    target = name if "." in name else TORCH_SCHEDULES + name
    is_torch, short = target.startswith(TORCH_SCHEDULES), target.rpartition(".")[2]
    known = f"There are: {', '.join(OF_TORCH)}."
    if is_torch and short in UNUSABLE:
        raise InputError(f"lr_scheduler_type {name} needs more than numbers and texts.", field=OPTION, advice=known)
    try:
        cls = load_class(target, option=OPTION)
    except ImportError as error:
        raise InputError(f"{target} cannot be imported: {error}.", field=OPTION, advice=known) from error
    check_names(cls, args, own=("self", "optimizer", "last_epoch"), called=f"the class {name}", option=ARGUMENTS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            made = cls(optimizer, **args)
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            message = f"lr_scheduler_type {name} does not accept these arguments: {error}"
            raise InputError(message, field=ARGUMENTS) from error
    if not hasattr(made, "step"):
        raise InputError(f"lr_scheduler_type {name} is no schedule: it has no step.", field=OPTION, advice=known)
    return made


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, torch.Tensor) else value
