"""Which blocks of the UNet are computed twice so that a step fits the memory (gradient_checkpointing_blocks).

What a step computes does not depend on it: each block's numbers are made again from the same inputs, in the same order. So the
choice may follow the memory that there is, and change on the way, and the trained bytes stay the same (a compiler may round
otherwise, which is why a state remembers the choice).
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import torch

from ..data.dataset import Batch
from ..errors import InputError, is_out_of_memory
from ..log import logger
from ..models import Model, checkpointing
from ..models.compiling import compiled
from ..models.main_memory import free_card
from ..options.training import TrainingOptions
from . import compile_trial
from .memory import compile_way
from .phases import Emit, phase
from .rehearsal.card import TIGHT, Room, room
from .rehearsal.meter import held, wait, working_memory
from .trainee import Trainee
from .update import Updater

ALL, AUTO = "all", "auto"
_TRIES = 4


@dataclass(frozen=True)
class Cost:
    """Of computing a block twice in a step: `saved` bytes are not kept meanwhile, its forward pass takes `seconds`."""

    saved: int
    seconds: float


def cheapest(costs: Mapping[str, Cost], lacking: int) -> Iterator[tuple[str, ...]]:
    """The sets of blocks that save `lacking` bytes or more, the one that is computed again in the least time first; nothing
    where all of them do not save so much."""
    sets = [names for count in range(len(costs) + 1) for names in combinations(costs, count)]
    enough = [names for names in sets if sum(costs[name].saved for name in names) >= lacking]
    return iter(sorted(enough, key=lambda names: (sum(costs[name].seconds for name in names), len(names))))


@dataclass
class Recomputing:
    """The blocks of `model` that are computed twice. `is_auto` says that they follow the memory; `is_decided`, that they did.

    `names` is None for all of them. `working` are the bytes that the gradients took when that was chosen, None where they did
    not fit. `compiles` is whether compiling was found to pay, None where nobody has tried.
    """

    options: TrainingOptions
    model: Model
    names: tuple[str, ...] | None = None
    is_decided: bool = False
    working: int | None = None
    compiles: bool | None = None
    _is_compiled: bool = field(default=False, repr=False)

    @classmethod
    def of(cls, options: TrainingOptions, model: Model) -> Recomputing:
        """Let the model compute what the options say twice, and be compiled where they say so.

        Raises InputError for a block that the model does not have.
        """
        wanted = options.gradient_checkpointing_blocks
        made = cls(options, model, is_decided=wanted != AUTO)
        made.set(None if wanted in (ALL, AUTO) else known(wanted, model))
        return made

    @property
    def is_auto(self) -> bool:
        """Whether the memory decides."""
        return self.options.gradient_checkpointing and self.options.gradient_checkpointing_blocks == AUTO

    def set(self, names: Collection[str] | None) -> None:
        """Compute these blocks twice from now on, None: all."""
        model, options = self.model, self.options
        self.names = None if names is None else tuple(names)
        twice, offload = options.gradient_checkpointing, options.cpu_offload_checkpointing
        if twice:
            checkpointing.checkpoint_gradients(model.unet, model.text_encoders, offload=offload, only=self.names)
        model.compute_with(None)  # what was compiled computes what was chosen before
        if options.torch_compile and self.compiles is not False:
            model.compute_with(compiled(model.unet, compile_way(options), anew=self._is_compiled))
            self._is_compiled = True

    def all_of_them(self) -> bool:
        """The memory is full: compute all blocks twice. False where that is so already, or not for the memory to decide."""
        if not self.is_auto or self.names is None:
            return False
        self.set(None)
        return True

    def choose(self, trainee: Trainee, updater: Updater, batch: Batch | None, emit: Emit, where: Room | None = None) -> None:
        """Choose by measuring: the blocks that are computed again in the least time, of those with which the gradients of
        `batch`, the largest there is, fit (into `where`: what is free). All of them where nothing fits: what is to be done then
        is others' to say.

        Makes gradients of `batch` a few times and forgets them; changes nothing else.
        """
        phase(emit, "choosing what is computed twice")
        free_card()
        where = where or room(trainee.precision.device)
        measuring = None if batch is None else Measuring(self.model, trainee, updater, batch)
        self.set(None if measuring is None else measuring.choose(where))
        self.working = None if measuring is None else measuring.last
        self.is_decided = True
        logger.info("%s", self.told)

    def try_compiling(
        self, trainee: Trainee, updater: Updater, batch: Batch | None, emit: Emit, *, batches: int, shapes: int
    ) -> None:
        """Compile the UNet where that pays for so many `batches` of so many `shapes` (compile_trial); the main process
        decides."""
        phase(emit, "trying whether compiling pays")
        model, found = self.model, None
        if batch is not None and model.compiled is not None:
            measuring = Measuring(model, trainee, updater, batch)
            found = compile_trial.times(model, model.compiled, measuring.gradients)
        pays = found is not None and found.pays(batches, shapes)
        self.let_compile(bool(updater.processes.agree(int(pays))))
        logger.info(
            "%s It is %s.", found.told if found else "The UNet was not compiled.", "kept" if self.compiles else "left out"
        )

    def let_compile(self, compiles: bool) -> None:
        """Compile the UNet, or not, whatever was tried."""
        self.compiles = compiles
        if not compiles:
            self.model.compute_with(None)

    @property
    def told(self) -> str:
        """What is computed twice, for people."""
        if self.names is None:
            return "All blocks of the UNet are computed twice."
        chosen = {*self.names, *checkpointing.must_be_twice(self.model.unet)}
        twice = [name for name in checkpointing.blocks(self.model.unet) if name in chosen]
        return f"Blocks of the UNet that are computed twice: {', '.join(twice) or 'none'}."

    def state_dict(self) -> dict[str, Any]:
        """What was chosen, for the training state."""
        twice = {"twice": None if self.names is None else list(self.names)} if self.is_auto and self.is_decided else {}
        return twice if self.compiles is None else {**twice, "compiles": self.compiles}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with what was chosen before."""
        if self.is_auto and "twice" in state:
            names = state["twice"]
            self.set(None if names is None else [name for name in names if name in checkpointing.blocks(self.model.unet)])
            self.is_decided = True
        if self.options.torch_compile_when_faster and "compiles" in state:
            self.let_compile(bool(state["compiles"]))


def known(text: str, model: Model) -> tuple[str, ...]:
    """The blocks that `text` names. Raises InputError where the model lacks one."""
    there = checkpointing.blocks(model.unet)
    wanted = [name.strip() for name in text.split(",")]
    if lacking := [name for name in wanted if name not in there]:
        raise InputError(
            f"gradient_checkpointing_blocks names {', '.join(lacking)}, which the UNet of this model does not have.",
            field="gradient_checkpointing_blocks",
            advice=f"There are: {', '.join(there)}.",
        )
    return tuple(name for name in there if name in wanted)


@dataclass
class Measuring:
    """What the gradients of `batch` take, by measuring them. `counted` says by which blocks, once `count` was called; `last` is
    what was measured last."""

    model: Model
    trainee: Trainee
    updater: Updater
    batch: Batch
    counted: dict[str, Cost] = field(default_factory=dict)
    last: int | None = None

    def __post_init__(self) -> None:
        self.device = self.trainee.precision.device
        self.trainee = replace(self.trainee, pictures=None, _early={})

    def choose(self, room: Room) -> tuple[str, ...] | None:
        """See Recomputing.choose; None: all blocks."""
        model, before = self.model, self.model.compiled
        model.compute_with(None)  # what is compiled needs less, and compiling takes minutes
        try:
            return self._choose(int(TIGHT * room.free) - held(self.device) - to_come(self.updater))
        finally:
            model.compute_with(before)

    def _choose(self, there: int) -> tuple[str, ...] | None:
        self._let(None)
        least = self.working()
        if least is None:
            return None
        lacking = self.count() - there  # at the best: whatever is at work in the backward pass takes the place of what was kept
        for _ in range(_TRIES):
            names = next(cheapest(self.counted, lacking), None)
            if names is None or len(names) == len(self.counted):
                return None
            self._let(names)
            working = self.working()
            if working is not None and working <= there:
                return names
            if working is not None:
                lacking += working - there
            else:  # at the worst nothing does
                lacking = max(lacking + 1, least + sum(cost.saved for cost in self.counted.values()) - there)
        return None

    def working(self) -> int | None:
        """The bytes that the gradients take at the most beyond what stays; None when they do not fit."""
        self.last = None
        try:
            self.last = working_memory(self.device, self._gradients)
            return self.last
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        finally:
            self._forget()
        free_card()
        return None

    def gradients(self) -> None:
        """Make the gradients, and forget them."""
        try:
            self._gradients()
        finally:
            self._forget()

    def count(self) -> int:
        """Fill `counted`, by forward passes that keep nothing; returns what all blocks keep that are not computed twice."""
        kept = {}
        for names in (None, ()):
            self._let(names)
            watch = _Watch(self.device)
            lasting = [*self.updater.parameters]
            self._start()
            lasting += [copy for part in self.updater.trained.modules() for copy in getattr(part, "copies", None) or ()]
            kept[names] = checkpointing.kept_by_blocks(self.model.unet, self._loss, lasting, watch)
            self._forget()
        all_of_it, none = kept[()], kept[None]
        self.counted = {name: Cost(max(0, all_of_it[name] - none[name]), watch.seconds[name]) for name in all_of_it}
        return sum(all_of_it.values())

    def _let(self, names: Collection[str] | None) -> None:
        checkpointing.compute_twice(self.model.unet, names)

    def _loss(self) -> torch.Tensor:
        samples = len(self.batch["captions"])
        return self.trainee.batch_loss(self.batch, step=self.updater.steps + 1, offset=0, samples=samples)

    def _gradients(self) -> None:
        self._start()
        self.updater.backward(self._loss())

    def _start(self) -> None:
        self.updater.trained.start_step(self.updater.steps + 1)

    def _forget(self) -> None:
        self.updater.clear()
        self.updater.trained.end_step()


class _Watch:
    """Adds up the seconds of each block."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._name, self._began = device, "", 0.0
        self.seconds: dict[str, float] = {}

    def __call__(self, name: str) -> None:
        wait(self._device)
        now = time.perf_counter()
        if self._name:
            self.seconds[self._name] = self.seconds.get(self._name, 0.0) + now - self._began
        self._name, self._began = name, now


def to_come(updater: Updater) -> int:
    """The bytes that the optimizer will remember and does not yet: two numbers of 32 bits for each weight."""
    return 0 if updater.optimizer.state else 2 * 4 * sum(parameter.numel() for parameter in updater.parameters)
