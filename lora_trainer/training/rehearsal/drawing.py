"""How long the sample pictures of a training take: a few steps of the largest tell."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...data.plan import DataPlan, StepCounts
from ...options import TrainOptions
from ...sampling.prompts import SamplePrompt
from ..checkpoint import SavePlan
from ..loop import Loop
from ..phases import Emit
from ..previews import Previews
from .meter import wait

_STEPS = (1, 3)


@dataclass(frozen=True)
class Drawing:
    """`seconds` is what drawing all prompts once takes, `times` how often that happens."""

    seconds: float
    times: int


def measure(
    options: TrainOptions, prompts: Sequence[SamplePrompt], loop: Loop, plan: DataPlan, folder: Path, emit: Emit
) -> Drawing | None:
    """Draw the largest of `prompts` in few steps, into `folder`; what cannot be drawn is a warning, as in the training."""
    trainee, device = loop.gradients.trainee, loop.processes.device
    saving = SavePlan.of(replace(options.saving, output_dir=str(folder)), loop.counts.epochs)
    failed = False

    def hear(event: object) -> None:
        nonlocal failed
        kind = event.get("type") if isinstance(event, dict) else ""
        failed = failed or kind == "warning"
        if isinstance(event, dict) and kind in ("warning", "phase"):
            emit(event)

    previews = Previews.of(options.sampling, prompts, trainee, loop.updater.trained, saving, plan, hear, loop.updater.shown)
    assert previews is not None, "there are prompts"
    requests = [previews.request(prompt) for prompt in prompts]
    areas = [request.width * request.height for request in requests]
    largest = max(range(len(prompts)), key=areas.__getitem__)
    timed = []
    for steps in (_STEPS[0], *_STEPS) if device.type == "cuda" else _STEPS:
        began = time.perf_counter()
        replace(previews, prompts=[replace(prompts[largest], sample_steps=steps)]).draw(0, None, lambda: False)
        wait(device)
        timed.append(time.perf_counter() - began)
    each = max(0.0, (timed[-1] - timed[-2]) / (_STEPS[1] - _STEPS[0]))
    fixed = max(0.0, timed[-2] - _STEPS[0] * each)
    once = sum((fixed + each * one.steps) * area / areas[largest] for one, area in zip(requests, areas, strict=True))
    return None if failed else Drawing(once, times(previews, loop.counts))


def times(previews: Previews, counts: StepCounts) -> int:
    """How often the training draws."""
    schedule = previews.schedule
    return schedule.times_to_come((1, counts.total_steps), (1, counts.epochs)) + schedule.at_first
