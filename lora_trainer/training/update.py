"""From gradients to new weights: one optimizer step."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from ..checkpoints.sharding import is_shard
from ..errors import NotFiniteError
from ..options import TrainOptions
from . import fused, parts, rates, schedulers
from .average import WeightAverage
from .distributed import Processes
from .fused import FusedSteps
from .memory import compile_way
from .narrow import WeightPrecision
from .optimizers import BuiltOptimizer
from .parts import Parts
from .precision import Precision
from .schedulers import AnySchedule, ScheduleSettings
from .shown import ShownWeights
from .trained import Trained

if TYPE_CHECKING:
    from torch.amp import GradScaler

_MOST_OVERFLOWS = 40  # in a row; each halves the scale, which begins at 2**16: no gradient is left that long before


@dataclass
class Updater:
    """The optimizer and what goes with it. `max_grad_norm` 0 means no limit; `max_weight_norm` None likewise.

    `with shown():` the weights are those to save and to draw with.
    `seed` and `steps` are for optimizers that draw: what they draw depends on (seed, purpose, step) alone.
    """

    trained: Trained
    optimizer: torch.optim.Optimizer
    schedule: AnySchedule
    scaler: GradScaler
    processes: Processes
    max_grad_norm: float = 1.0
    max_weight_norm: float | None = None
    rates: dict[str, float] = field(default_factory=dict)  # of the last step, by the names of the groups
    seed: int = 0
    steps: int = 0  # that were made
    weights: WeightPrecision = field(default_factory=WeightPrecision)
    average: WeightAverage | None = None  # of the weights (ema_decay)
    fused: FusedSteps | None = None  # makes the optimizer's steps within the backward pass
    parts: Parts | None = None  # makes them for some of the weights at a time
    is_whole: bool = True  # not in the middle of changing the weights
    takes_copies: bool = False  # the gradients come out of memory that the next pass uses again (CUDA graphs)
    _overflows: int = 0  # steps in a row
    _before: Mapping[str, Any] = field(default_factory=dict)  # the schedule of before the last step

    @classmethod
    def of(
        cls,
        options: TrainOptions,
        trained: Trained,
        built: BuiltOptimizer,
        precision: Precision,
        processes: Processes,
        *,
        total_steps: int,
        seed: int,
    ) -> Updater:
        """What the options say for the optimizer that was built. Raises InputError for a schedule that there is not."""
        weights = WeightPrecision.of(options.training, precision.dtype, trained.parameters(), seed)
        own, scaler, most = options.optimizer, precision.scaler(), options.network.scale_weight_norms
        is_alone = not (own.fused_backward_pass or scaler.is_enabled() or most)
        return cls(
            trained=trained,
            optimizer=built.optimizer,
            schedule=schedulers.create(built.optimizer, ScheduleSettings.of(options.optimizer), total_steps=total_steps),
            scaler=scaler,
            processes=processes,
            max_grad_norm=own.max_grad_norm,
            max_weight_norm=most,
            seed=seed,
            weights=weights,
            average=WeightAverage.of(options.training, trained),
            fused=fused.of(own, built.optimizer, processes, weights),
            parts=parts.of(built, weights, processes, own.max_grad_norm, is_alone=is_alone),
            takes_copies=options.training.torch_compile and compile_way(options.training).has_graphs,
        )

    def __post_init__(self) -> None:
        self.shown = ShownWeights(self.optimizer, self.weights, self.average)
        # Whether each process has a part of the weights alone (checkpoints.sharding).
        self.is_sharded = any(is_shard(parameter) for parameter in self.parameters)

    @property
    def parameters(self) -> list[torch.nn.Parameter]:
        """What is trained."""
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]

    @property
    def remembered(self) -> list[MutableMapping[Any, Any]]:
        """What holds tensors from one step to the next, besides weights and optimizer."""
        return [self.average.weights] if self.average else []

    @property
    def leaves_out(self) -> bool:
        """Whether the device by itself can leave a step out, so that nobody has to look at its numbers before it is made.

        The fused optimizers of PyTorch can (their `found_inf`, made for fp16's scaler); what comes after a step cannot.
        """
        alone = self.processes.world_size == 1 and not (self.fused or self.average or self.max_weight_norm)
        return alone and not self.scaler.is_enabled() and getattr(self.optimizer, "_step_supports_amp_scaling", False)

    def start(self) -> int:
        """Begin a step; returns its number, from 1."""
        self.trained.start_step(self.steps + 1)
        if self.average:
            self.average.begin()
        self.is_whole = self.fused is None
        if self.fused:
            self.fused.step = self.steps + 1
        return self.steps + 1

    def backward(self, loss: torch.Tensor) -> None:
        """Add the gradients of `loss` to those that are there; none when nothing that is trained took part in it.

        That happens where every module of the network was left out (module_dropout), or has no effect (an alpha of 0).
        """
        scaled = self.scaler.scale(loss)
        if not scaled.requires_grad:
            return
        fresh = [parameter for parameter in self.parameters if parameter.grad is None] if self.takes_copies else ()
        scaled.backward()
        for parameter in fresh:
            if parameter.grad is not None:
                parameter.grad = parameter.grad.clone()

    def clear(self) -> None:
        """Forget the gradients that are there."""
        self.optimizer.zero_grad(set_to_none=True)

    def gather(self) -> torch.Tensor | None:
        """Add up the gradients of all processes and limit their length. The weights stay as they are.

        Returns the length before it was limited (a tensor on the device), or None with fp16, where an endless one is no
        mistake: such a step changes nothing.
        """
        if self.fused:
            return self.fused.take_norm()
        if self.parts:
            return self.parts.gather(self.parameters)
        self.weights.widen(self.parameters)
        if not self.is_sharded:  # else the backward pass has added them up
            self.processes.add_up_gradients(self.parameters)
        if self._has_gradients():
            self.scaler.unscale_(self.optimizer)
        limit = self.max_grad_norm if self.max_grad_norm > 0 else float("inf")
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, limit)
        norm = norm.full_tensor() if is_shard(norm) else norm  # type: ignore[attr-defined]
        return None if self.scaler.is_enabled() else norm

    def step(self, unless: torch.Tensor | None = None) -> None:
        """Change the weights by the gathered gradients, and clear them; not where `unless` is 1.0 (see `leaves_out`).

        The schedule goes on, but not where the gradients overflowed in fp16: that step changed nothing, and is made good by a
        smaller scale. Raises NotFiniteError when they overflow at every scale. A step without any gradient changes nothing.
        """
        self.rates = rates.before_step(self.optimizer)
        self.is_whole, self._before = False, self.schedule.state_dict()
        overflowed = self._has_gradients() and self._change_weights(unless)
        if not overflowed:
            self.rates = rates.after_step(self.optimizer, self.rates)
        self.clear()
        self.steps += 1
        self._overflows = self._overflows + 1 if overflowed else 0
        if self._overflows > _MOST_OVERFLOWS:
            raise NotFiniteError(f"The gradients were too large for fp16 in each of the last {self._overflows} steps.")
        if not overflowed:
            self.schedule.step()
        if self.max_weight_norm:
            self.trained.apply_max_norm(self.max_weight_norm)
        if not (self.fused or self.parts):
            self.weights.narrow(self.parameters, self.steps)
        self.trained.end_step()
        if self.average:
            self.average.update()
        self.is_whole = True

    def take_back(self) -> None:
        """The last step was left out by the device: let everything be as before it, and without gradients."""
        self.clear()
        self.steps -= 1
        self.schedule.load_state_dict(dict(self._before))

    def state_dict(self) -> dict[str, Any]:
        """For the training state, which tells the steps by itself; optimizer, schedule and scaler are pieces of their own."""
        average = {"average": self.average.state_dict()} if self.average else {}
        return {"overflows": self._overflows, **average}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self._overflows = int(state["overflows"])
        if self.average and "average" in state:
            self.average.load_state_dict(state["average"])

    def _has_gradients(self) -> bool:
        return any(parameter.grad is not None for parameter in self.parameters)

    def _change_weights(self, unless: torch.Tensor | None) -> bool:
        """Make the optimizer's step; whether the scaler left it out, because gradients overflowed."""
        if unless is not None:
            told = {"found_inf": unless, "grad_scale": None}  # as fp16's scaler tells it
            self.optimizer.__dict__.update(told)
            try:
                self._make_step()
            finally:
                for name in told:
                    delattr(self.optimizer, name)
            return False
        if not self.scaler.is_enabled():
            self._make_step()
            return False
        before = self.scaler.get_scale()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return self.scaler.get_scale() < before

    def _make_step(self) -> None:
        if self.parts:
            self.parts.step(self.steps + 1)
        else:
            self.optimizer.step()
