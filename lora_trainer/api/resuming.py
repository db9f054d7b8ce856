"""Going on with a run that has ended: what is another than it was, asked before; and further steps for one that is done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ..data.plan import make_plan
from ..data.plan.digest import data_facts
from ..errors import InputError, InputErrors, LoraTrainerError
from ..foreign.reading import UnreadableError
from ..options import TrainOptions, config_file
from ..options.dataset_config import data_spec
from ..options.resolve import train_options
from ..paths import write_text_atomic
from ..runs import placing, resuming, states
from ..runs.folder import RunFolder
from ..runs.state_findings import LENGTH, of_schedule, resume_findings
from ..runs.states import StateInfo
from ..runs.store import Run
from .answers import problem
from .service import Service


def look(service: Service, run: Run, steps: int | None) -> dict[str, Any]:
    """{"state": {"step", "epoch", "time"}, "problems", "replaces"}: what differs from when the newest whole state was saved,
    and what is to be known (level info).

    With an error among them the run cannot go on. `replaces` is the file that a person has put in use, whose place the new
    result takes (None for none). `steps` are those to be trained beyond the end. Reads all images once.
    Raises InputError when the run left no state.
    """
    folder = service.supervisor.folder(run.id)
    info = _newest(service, run, folder)
    told = {"step": info.step, "epoch": info.epoch, "time": info.saved_at}
    try:
        options = _options(folder, info, steps)
        is_longer = steps is not None or resuming.total_steps(folder) is not None
        found = _differences(info, options, is_longer=is_longer)
        found += _of_schedule(info, options, steps) if steps is not None else []
    except InputErrors as wrong:
        found = [problem(error) for error in wrong.errors]
    except LoraTrainerError as error:
        found = [problem(InputError(error.message, advice=error.advice))]
    now = placing.in_use(folder, run.result)
    return {"state": told, "problems": found, "replaces": now.as_dict() if now.chosen else None}


def go_on(service: Service, run: Run, steps: int | None) -> Run:
    """Queue the run to go on from its last state, to `steps` more than it had when they are given."""
    supervisor, folder = service.supervisor, service.supervisor.folder(run.id)
    if steps is None:
        return supervisor.resume(run.id)
    info = _newest(service, run, folder)
    supervisor.check_resumable(run.id)
    write_text_atomic(folder.config, config_file.to_toml(_options(folder, info, steps)))
    return supervisor.resume(run.id, info.step + steps)


def _newest(service: Service, run: Run, folder: RunFolder) -> StateInfo:
    last = resuming.needed_state(run.name, folder, service.supervisor.progress(run.id)[0])
    try:
        return states.read_state(Path(last["path"]))
    except UnreadableError as error:
        name = str(config_file.read(folder.config).values.get("output_name") or "")
        found, _ = states.newest_good(states.states_of(folder.output, name))
        if found is None:
            raise InputError(f"every state of {run.name} is damaged: {last['path']} {error}") from error
        return found


def _options(folder: RunFolder, info: StateInfo, steps: int | None) -> TrainOptions:
    options = train_options({}, config_file.read(folder.config))
    if steps is None:
        return options
    length = replace(options.training, max_train_steps=info.step + steps, max_train_epochs=None)
    return replace(options, training=length)


def _differences(info: StateInfo, options: TrainOptions, *, is_longer: bool) -> list[dict[str, str]]:
    """`is_longer`: further steps were asked for, now or before, which is no surprise."""
    seed = int(info.manifest["seed"])
    plan = make_plan(data_spec(options), seed=seed, prior_loss_weight=options.training.prior_loss_weight)
    plan.raise_errors()
    return [
        problem(InputError(one.message, field=one.field), one.level)
        for one in resume_findings(info, options, data=data_facts(plan))
        if not (is_longer and one.field in LENGTH)
    ]


def _of_schedule(info: StateInfo, options: TrainOptions, steps: int) -> list[dict[str, str]]:
    """What further steps do to the learning rate: to be known, and nothing to be asked."""
    message = of_schedule(options.optimizer.lr_scheduler, info.step + steps)
    return [problem(InputError(message, field="lr_scheduler"), "info")] if message else []
