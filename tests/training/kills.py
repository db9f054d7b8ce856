"""Trainings in processes of their own that are killed with SIGKILL, wherever they are, and go on. POSIX alone.

    killer = Killer(folder, {"max_train_steps": 8, ...})          # options of the training
    killer.undisturbed()                                          # what a run that is never killed comes to
    killer.killed(random.Random(1), kills=2)                      # the same with two kills; AssertionError where it differs

A fork server has the program loaded, so that starting a training takes no seconds.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lora_trainer.options.resolve import train_options
from lora_trainer.runs.events import Event, read_events

from .killing import assert_same_file
from .pairs import Teller

_PATIENCE = 300.0  # seconds; a step of these trainings takes a fraction of one


@dataclass
class Outcome:
    """What a training came to: its file, and what it told of its steps."""

    path: Path
    steps: dict[int, tuple[float, float, float]]
    seconds: float  # from the first step to the end
    resumed_at: int | None = None  # the step after which it went on the last time


@dataclass
class Killer:
    """Trains the same in `folder` again and again. A state is saved after every step."""

    folder: Path
    options: dict[str, Any]
    whole: Outcome | None = None
    _runs: int = 0
    kills: int = 0
    unfinished_states: int = field(default=0)  # how many kills left one half-written

    def undisturbed(self) -> Outcome:
        """The training without a kill and without a state."""
        out = self.folder / "whole"
        process = self._start(out, "whole", resume=False, saves=False)
        process.join(_PATIENCE)
        assert process.exitcode == 0
        self.whole = self._outcome(out, ["whole"])
        return self.whole

    def killed(self, draw: random.Random, kills: int = 1, *, while_saving: bool = False) -> Outcome:
        """The training with `kills` kills at drawn moments, each while a state is half-written when `while_saving`."""
        assert self.whole is not None
        self._runs += 1
        out, tellings = self.folder / f"run {self._runs}", []
        for number in range(kills + 1):
            tellings.append(f"{self._runs} {number}")
            process = self._start(out, tellings[-1], resume=number > 0, saves=True)
            if number == kills:
                process.join(_PATIENCE)
                assert process.exitcode == 0
                break
            self._wait_for_step(tellings[-1], process)
            if while_saving:
                self._wait_for_half(out, process)
            else:
                time.sleep(draw.uniform(0.0, 1.5 * self.whole.seconds / (kills - number)))
            process.kill()
            process.join()
            self.kills += process.exitcode == -9
            self.unfinished_states += any(out.glob(".*.tmp"))
        outcome = self._outcome(out, tellings)
        assert_same_file(self.whole.path, outcome.path)
        assert outcome.steps == self.whole.steps
        assert not list(out.glob("*.tmp")), "what was half-written is still there"
        return outcome

    def _start(self, out: Path, telling: str, *, resume: bool, saves: bool):
        chosen = {**self.options, "output_dir": str(out), "save_every_n_steps": 1, "save_last_n_steps": 1}
        chosen |= {"save_state": True} if saves else {}
        chosen |= {"resume": "latest"} if resume else {}
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.training.kills", "lora_trainer.training.train"])
        process = context.Process(target=_train, args=(chosen, self._events(telling)))
        process.start()
        return process

    def _events(self, telling: str) -> Path:
        return self.folder / f"{telling}.jsonl"

    def _wait_for_step(self, telling: str, process) -> None:
        end = time.monotonic() + _PATIENCE
        while not any(event["type"] == "step" for event in read_events(self._events(telling))[0]):
            assert process.is_alive() or process.exitcode == 0, "the training failed"
            assert time.monotonic() < end, "no step was made"
            time.sleep(0.005)

    @staticmethod
    def _wait_for_half(out: Path, process) -> None:
        while process.is_alive() and not any(out.glob(".*.tmp/*")):
            time.sleep(0)

    def _outcome(self, out: Path, tellings: list[str]) -> Outcome:
        steps: dict[int, Event] = {}
        resumed_at = None
        for telling in tellings:
            for event in read_events(self._events(telling))[0]:
                if event["type"] == "step":
                    steps[event["step"]] = event
                if event["type"] == "resumed":
                    resumed_at = event["step"]
        told = {step: (event["loss"], event["loss_average"], event["lr"]) for step, event in sorted(steps.items())}
        times = [event["time"] for event in steps.values()]
        return Outcome(out / "x.safetensors", told, max(times) - min(times), resumed_at)


def _train(chosen: dict[str, Any], events: Path) -> None:
    from lora_trainer.training.train import train

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    train(train_options(chosen), reporter=Teller(events))
