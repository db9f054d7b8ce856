"""How a training goes on from a state: which one, what is another than it was, and where it begins."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..data.plan import DataPlan, StepCounts
from ..data.plan.digest import data_facts
from ..errors import InputError, InputErrors
from ..foreign.reading import UnreadableError, is_there
from ..options import TrainOptions
from ..options.optimizer_kinds import makes_its_rate
from ..options.saving import SavingOptions
from ..paths import user_path
from ..runs import states
from ..runs.state_findings import LENGTH, of_schedule, resume_findings, settings
from ..runs.states import StateInfo
from .distributed import Processes
from .loop import Loop
from .phases import Emit, phase
from .position import Position, counts_from, given
from .precision import Precision, device_name
from .state import OptimizerState, Pieces, ScalerState, Stateful, TrainedState, restore

TEN_DIGITS = 10**9  # what is drawn has ten, so that it is known beforehand how large a file is that tells of it


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where a training begins. `counts` hold for all of it, `facts` are what its own states tell.

    `session` and `started_at` are the state's where nothing differs, or one run goes on: then the files of before are this
    training's own.
    """

    info: StateInfo | None
    step: int
    position: Position
    counts: StepCounts
    facts: Mapping[str, Any]
    session: int
    started_at: float
    continues: bool

    @property
    def session_of_files(self) -> int | None:
        """By what this training knows files of before as its own; None where all are an earlier training's."""
        return self.session if self.continues else None


def find(options: SavingOptions, processes: Processes, emit: Emit) -> StateInfo | None:
    """The state to go on from; None to begin at the beginning.

    Raises InputError for a folder that is no whole state, or when the processes find different ones.
    """
    info = _find(options, emit) if options.resume else None
    step = -1 if info is None else info.step
    if processes.agree(step + 1) != step + 1:
        raise InputError(
            "the processes do not find the same training state.",
            field="resume",
            advice="Put the folder of the state where every machine sees it.",
        )
    return info


def _find(options: SavingOptions, emit: Emit) -> StateInfo | None:
    wanted = str(options.resume)
    output, name = Path(options.output_dir or "."), options.output_name or ""
    if wanted == states.LATEST and not is_there(Path(wanted) / states.MANIFEST):
        found, bad = states.newest_good(states.states_of(output, name))
        _say_damaged(bad, found, emit)
        if found is None and not bad:
            message = f"There is no state of a training {name} in {output} to go on from: it begins at the beginning."
            emit({"type": "warning", "message": message})
        if found is None and bad:
            raise InputError(f"every state of {name} in {output} is damaged.", field="resume", advice="Train without resume.")
        return found
    folder = user_path(wanted)
    if not is_there(folder / states.MANIFEST) and not states.is_of_reference(folder) and (inside := states.states_in(folder)):
        found, bad = states.newest_good(inside)
        _say_damaged(bad, found, emit)
        if found is None:
            raise InputError(f"every state in {folder} is damaged.", field="resume", advice="Train without resume.")
        return found
    try:
        return states.read_state(folder)
    except UnreadableError as error:
        earlier, _ = states.newest_good(path for path in states.states_in(folder.parent) if path != folder)
        advice = f"{error.advice} The newest whole one beside it is {earlier.path}." if earlier else error.advice
        raise InputError(f"{folder} {error}", field="resume", advice=advice.strip()) from error


def _say_damaged(sentences: list[str], taken: StateInfo | None, emit: Emit) -> None:
    for sentence in sentences:
        instead = f" Going on from {taken.path} instead." if taken else ""
        emit({"type": "warning", "message": f"{sentence}{instead}"})


def seed(given_seed: int | None, info: StateInfo | None) -> int:
    """The seed: as given, as the state had it, or drawn."""
    if given_seed is not None:
        return given_seed
    return int(info.manifest["seed"]) if info else random.SystemRandom().randrange(TEN_DIGITS, 2**32)


def start(
    options: TrainOptions,
    info: StateInfo | None,
    plan: DataPlan,
    counts: StepCounts,
    computed: Precision,
    processes: Processes,
    emit: Emit,
    *,
    of_run: bool = False,
) -> Start:
    """Where the training begins; says what is another than when `info` was saved, and raises InputErrors for what cannot be.

    `of_run`: the same run goes on, whatever is another: what it wrote before stays its own.
    """
    accumulation = options.training.gradient_accumulation_steps
    facts = {
        "seed": plan.seed,
        "settings": settings(options),
        "data": _digest(options.saving, info, plan, emit) if processes.is_main else None,
        "machine": machine(computed, processes),
    }
    continues = info is not None and (_same(info, options, facts, emit, of_run=of_run) or of_run)
    known = info.table("session") if info is not None and continues else {}
    session = int(known.get("id", random.SystemRandom().randrange(TEN_DIGITS, 2**32)))
    started_at = float(known.get("started_at", time.time()))
    if info is not None and not of_run and _is_further(info, options) and (note := _of_rate(options, counts.total_steps)):
        emit({"type": "warning", "message": f"Going on from {info.path.name}: {note}"})
    asked = given(options.saving, counts, accumulation)
    step, position = asked or ((info.step, Position(info.epoch, info.batch)) if info else (0, Position()))
    counts, position = counts_from(counts, options.training, step, position, accumulation)
    if step > counts.total_steps:
        raise InputError(
            f"the state is of step {step}, but the training has only {counts.total_steps} steps.",
            field="max_train_steps",
            advice="Give more max_train_steps (or max_train_epochs) to go on.",
        )
    return Start(
        info=info,
        step=step,
        position=position,
        counts=counts,
        facts={**facts, "session": {"id": session, "started_at": started_at}},
        session=session,
        started_at=started_at,
        continues=continues and asked is None,
    )


def pieces(loop: Loop) -> dict[str, Stateful]:
    """What has to be in a state, by name, in the order in which it is restored: whatever remembers something across steps."""
    updater = loop.updater
    return {
        "network": TrainedState(updater.trained),
        "optimizer": OptimizerState(updater.optimizer),
        "schedule": updater.schedule,
        "scaler": ScalerState(updater.scaler),
        "updater": updater,
        "gradients": loop.gradients,
        "loop": loop,
    }


def go_on(begin: Start, all_pieces: Pieces, loop: Loop, emit: Emit) -> None:
    """Let a training that is ready to begin do so at `begin`. Raises InputError when the state does not fit it."""
    if begin.info is not None:
        restore(begin.info, all_pieces)
    loop.updater.steps, loop.position = begin.step, begin.position
    if begin.info is not None:
        told = {"step": begin.step, "epoch": begin.position.epoch, "path": str(begin.info.path)}
        emit({"type": "resumed", **told})


def machine(computed: Precision, processes: Processes) -> dict[str, Any]:
    """What the last digits of the numbers depend on."""
    return {
        "torch": str(torch.__version__),
        "device": device_name(computed.device),
        "precision": str(computed.dtype).removeprefix("torch."),
        "processes": processes.world_size,
    }


def _digest(options: SavingOptions, info: StateInfo | None, plan: DataPlan, emit: Emit) -> dict[str, Any] | None:
    """The fingerprint of the data, where a state is written or read: all images are read for it."""
    if not (info or options.save_state or options.save_state_on_train_end or options.save_state_every_n_minutes):
        return None
    phase(emit, "comparing the images" if info else "noting which images are trained")
    return data_facts(plan)


def _is_further(info: StateInfo, options: TrainOptions) -> bool:
    """Whether a training that had ended is to make further steps."""
    reached = {"max_train_steps": info.step, "max_train_epochs": info.epoch}
    old, new = info.table("settings"), settings(options)
    return any(old.get(name) == reached[name] != new[name] for name in LENGTH)


def _of_rate(options: TrainOptions, total_steps: int) -> str:
    chosen = options.optimizer
    own = chosen.lr_scheduler_type or makes_its_rate(chosen.optimizer_type, chosen.optimizer_args)
    return "" if own else of_schedule(chosen.lr_scheduler, total_steps)


def _same(info: StateInfo, options: TrainOptions, facts: Mapping[str, Any], emit: Emit, *, of_run: bool) -> bool:
    findings = resume_findings(info, options, data=facts["data"], machine=facts["machine"])
    errors = [InputError(one.message, field=one.field or "resume") for one in findings if one.level == "error"]
    if errors:
        raise InputErrors(errors)
    is_longer = of_run or _is_further(info, options)  # a run's length changes by the page
    for one in findings:
        if is_longer and one.field in LENGTH:
            continue  # it is given more steps: that is wanted, and no surprise
        emit({"type": "warning", "message": f"Going on from {info.path.name}: {one.message}"})
    return not findings
