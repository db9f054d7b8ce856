"""What a run's events come to: step, loss (raw and smoothed), time left, samples, files. A fold over `events.jsonl`."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..foreign.json_text import read_number
from .events import Event, read_events
from .preparing import FIRST, reached

_SMOOTHING = 0.98  # weight of the past per step: the smoothed loss looks back over about 50 steps
_CURVE_POINTS = 600
_KEPT_WARNINGS = 50
_MEMORY = ("free", "reserved", "peak")
_NOT_OF_CARD: dict[str, Any] = dict.fromkeys(("parked", "not_parked", "memory", "shared", "crowded"))


@dataclass
class Curve:
    """At most 600 points for a run of any length: each point is the mean of `stride` steps, doubled when it grows full."""

    stride: int = 1
    steps: list[int] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    smoothed: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    _pending: list[float] = field(default_factory=list)

    def add(self, step: int, loss: float, smoothed: float, lr: float) -> None:
        self._pending.append(loss)
        if len(self._pending) < self.stride:
            return
        self.steps.append(step)
        self.loss.append(sum(self._pending) / len(self._pending))
        self.smoothed.append(smoothed)
        self.lr.append(lr)
        self._pending.clear()
        if len(self.steps) >= _CURVE_POINTS:
            self._halve()

    def back_to(self, step: int) -> None:
        """Forget what came after `step`."""
        kept = bisect_right(self.steps, step)
        for points in (self.steps, self.loss, self.smoothed, self.lr):
            del points[kept:]
        self._pending.clear()

    def _halve(self) -> None:
        even = len(self.steps) // 2 * 2
        self.loss = [(self.loss[i] + self.loss[i + 1]) / 2 for i in range(0, even, 2)]
        self.steps, self.smoothed, self.lr = self.steps[1:even:2], self.smoothed[1:even:2], self.lr[1:even:2]
        self.stride *= 2

    def as_dict(self) -> dict[str, list[Any]]:
        return {"steps": list(self.steps), "loss": list(self.loss), "smoothed": list(self.smoothed), "lr": list(self.lr)}


@dataclass
class ValidationCurve:
    """The losses on the images kept aside, at most 600; every second one goes when it grows full, but never the best."""

    steps: list[int] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    best: dict[str, float] | None = None  # {"step", "loss"} of the lowest that a trained network had

    def add(self, step: int, loss: float) -> None:
        if self.steps and step <= self.steps[-1]:  # a run that went on from an earlier state
            kept = [place for place, known in enumerate(self.steps) if known < step]
            self.steps, self.loss = [self.steps[i] for i in kept], [self.loss[i] for i in kept]
        self.steps.append(step)
        self.loss.append(loss)
        if step > 0 and (self.best is None or loss < self.best["loss"]):
            self.best = {"step": step, "loss": loss}
        if len(self.steps) >= _CURVE_POINTS:
            best = self.best["step"] if self.best else None
            kept = [place for place, known in enumerate(self.steps) if place % 2 or known == best]
            self.steps, self.loss = [self.steps[i] for i in kept], [self.loss[i] for i in kept]

    def as_dict(self) -> dict[str, Any]:
        return {"steps": list(self.steps), "loss": list(self.loss), "best": self.best}


@dataclass
class Progress:
    """The state of a run as told by its worker. Unknown values are None; times in seconds, memory in bytes."""

    device: str = ""
    step: int | None = None
    total_steps: int | None = None
    epoch: int | None = None
    epochs: int | None = None
    steps_per_epoch: int | None = None
    phase: dict[str, Any] | None = None
    prepared: float = 0.0  # how far it is before its first step, see preparing
    aside: dict[str, Any] | None = None  # what is done for a moment, after which the phase goes on (saving)
    loss: float | None = None
    smoothed_loss: float | None = None
    lrs: dict[str, float] = field(default_factory=dict)
    seconds_per_step: float | None = None
    told_left: float | None = None
    samples_per_second: float | None = None
    peak_memory: int | None = None
    last_time: float | None = None
    seconds_before: float = 0.0  # that workers before this one were at work
    samples: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, Event] = field(default_factory=dict)  # by path, in the order of saving
    warnings: list[str] = field(default_factory=list)  # of the last worker, each once
    failed: Event | None = None
    finished: Event | None = None
    parked: Event | None = None  # the worker waits off the card (training.parking)
    not_parked: Event | None = None  # it was asked to, and cannot
    memory: dict[str, int] | None = None  # of the card, as it was measured last: free, reserved and peak (training.card)
    shared: Event | None = None  # the worker's answer to who wants to use the card beside it
    crowded: Event | None = None  # the card was too full for both
    live: Event | None = None  # the newest file with the weights as they were, by this worker
    state: Event | None = None  # the newest state that was written: what a resumed run goes on from
    curve: Curve = field(default_factory=Curve)
    validation: ValidationCurve = field(default_factory=ValidationCurve)
    _weight: float = 0.0
    _first_step: tuple[int, float] | None = None
    _began: float | None = None  # when this worker did

    @property
    def lr(self) -> float | None:
        return next(iter(self.lrs.values()), None)

    @property
    def seconds_left(self) -> float | None:
        """As the worker told, who knows when samples will be drawn; else by the pace of the last steps.

        None before the first step, when the total is unknown, and at the end.
        """
        if self.finished or self.failed or self.step is None:
            return None
        if self.told_left is not None:
            return max(0.0, self.told_left)
        if not self.total_steps or self.seconds_per_step is None:
            return None
        return max(0.0, (self.total_steps - self.step) * self.seconds_per_step)

    @property
    def doing(self) -> str:
        """What the worker does besides making steps ("drawing samples 2/4"), "" while it makes them."""
        now = self.now
        if not now or now["name"] == "training":
            return ""
        count = f" {now['done']}/{now['total']}" if now["total"] else ""
        return f"{now['name']}{count}"

    @property
    def now(self) -> dict[str, Any] | None:
        """The phase that is shown; None while steps are made."""
        return self.aside or self.phase

    def since(self, started: float | None) -> Progress:
        """The same for a worker that was started at that time: the last words of one before it are not its own.

        It tells `started` only when it has loaded what it needs, and until then nothing but theirs is known.
        """
        word = self.finished or self.failed
        if word is None or started is None or (_number(word.get("time")) or 0.0) >= started:
            return self
        return replace(self, finished=None, failed=None, live=None, **_NOT_OF_CARD)

    def fold(self, event: Event) -> None:
        kind, now = event["type"], _number(event.get("time"))
        if kind == "started":
            self.seconds_before += max(0.0, (self.last_time or 0.0) - (self._began or self.last_time or 0.0))
            self._began = now
        self.last_time = now or self.last_time
        if kind == "step":
            self._fold_step(event)
        elif kind == "phase":
            counts = {key: _whole(event.get(key)) for key in ("done", "total")}
            told: dict[str, Any] = {"name": str(event.get("name", "")), **counts}
            if (share := _number(event.get("share"))) is not None:
                told["share"] = share
            self.aside = told if event.get("aside") and told["name"] else None
            if told["name"] == FIRST:  # the worker finds again what still holds; the log keeps the rest
                self.warnings = []
            if not event.get("aside"):
                self.phase, self.prepared = told, reached(self.prepared, told)
                self.told_left = _number(event.get("seconds_left", self.told_left))
        elif kind == "started":
            self.device = str(event.get("device") or "")
            self.failed = self.finished = self.told_left = self.live = None  # of a worker before this one
            self.parked = self.not_parked = self.memory = self.shared = self.crowded = None
            for name in ("total_steps", "epochs", "steps_per_epoch"):
                setattr(self, name, _whole(event.get(name)))
        elif kind == "resumed":
            self._back_to(_whole(event.get("step")) or 0)
        elif kind in ("parked", "unparked"):
            self.parked = event if kind == "parked" else None
        elif kind == "not_parked":
            self.not_parked = event
        elif kind == "shared":
            self.shared = {**event, "memory": _memory(event)}
        elif kind == "crowded":
            self.crowded = event
        elif kind == "live":
            self.live = event
        elif kind == "state":
            self.state = event
        elif kind == "saved":
            path = str(event.get("path", ""))
            self.files.pop(path, None)
            self.files[path] = event
        elif kind == "validation":
            step, loss = _whole(event.get("step")), _number(event.get("loss"))
            if step is not None and loss is not None:
                self.validation.add(step, loss)
        elif kind == "sample":
            self.samples.append(event)
        elif kind == "warning":
            message = str(event.get("message", ""))
            self.warnings = [*(one for one in self.warnings if one != message), message][-_KEPT_WARNINGS:]
        elif kind == "failed":
            self.failed, self.phase, self.aside = event, None, None
        elif kind == "finished":
            self.finished, self.phase, self.aside = event, None, None

    def _back_to(self, step: int) -> None:
        """A worker goes on from the state after `step`: what an earlier one did beyond it is done again."""
        self.step = step
        self.curve.back_to(step)
        self.samples = [sample for sample in self.samples if (_whole(sample.get("step")) or 0) <= step]
        self.loss = self.curve.loss[-1] if self.curve.loss else None
        self.smoothed_loss = self.curve.smoothed[-1] if self.curve.smoothed else None
        self._first_step = None
        if self.smoothed_loss is None:
            self._weight = 0.0

    def _fold_step(self, event: Event) -> None:
        self.phase = self.aside = None
        self.step = _whole(event.get("step"))
        self.epoch = _whole(event.get("epoch", self.epoch))
        self.lrs = _rates(event.get("lr")) or self.lrs
        self.samples_per_second = _number(event.get("samples_per_second"))
        self.seconds_per_step = self._pace(event)
        self.told_left = _number(event.get("seconds_left"))
        memory = _number(event.get("peak_memory"))
        self.peak_memory = int(memory) if memory is not None else self.peak_memory
        self.memory = _memory(event) if "memory" in event else self.memory
        self.loss = _number(event.get("loss"))
        if self.loss is None or self.step is None:
            return  # not a number: said by the failure that follows
        kept = _SMOOTHING * self._weight
        self.smoothed_loss = (kept * (self.smoothed_loss or 0.0) + (1 - _SMOOTHING) * self.loss) / (kept + 1 - _SMOOTHING)
        self._weight = kept + 1 - _SMOOTHING
        self.curve.add(self.step, self.loss, self.smoothed_loss, self.lr or 0.0)

    def _pace(self, event: Event) -> float | None:
        """Seconds per step as told, else by the clock since the first step."""
        told = _number(event.get("seconds_per_step"))
        if told is not None or self.step is None or self.last_time is None:
            return told
        self._first_step = self._first_step or (self.step, self.last_time)
        steps = self.step - self._first_step[0]
        return (self.last_time - self._first_step[1]) / steps if steps > 0 else None


def _memory(event: Event) -> dict[str, int] | None:
    """What was measured of the card, where all of it was."""
    told = event.get("memory")
    found = {name: _whole(told.get(name)) for name in _MEMORY} if isinstance(told, Mapping) else {}
    whole = {name: number for name, number in found.items() if number is not None}
    return whole if len(whole) == len(_MEMORY) else None


def _whole(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _number(value: Any) -> float | None:
    return read_number({"": value}, "")


def _rates(lr: Any) -> dict[str, float]:
    """Learning rates by name; the event may hold one number, a list or a mapping."""
    if isinstance(lr, Mapping):
        return {str(name): float(value) for name, value in lr.items() if _number(value) is not None}
    if isinstance(lr, list):
        return {str(index): float(value) for index, value in enumerate(lr) if _number(value) is not None}
    return {} if _number(lr) is None else {"lr": float(lr)}


class ProgressBook:
    """Progress of many runs, each read on from where the last look ended. Thread-safe; the least used are forgotten."""

    def __init__(self, kept: int = 256) -> None:  # more than a list of runs shows, which would else be read anew each time
        self._kept = kept
        self._lock = threading.Lock()
        self._pages: OrderedDict[Path, tuple[Progress, int]] = OrderedDict()

    def look(self, events: Path) -> tuple[Progress, int]:
        """The progress by now, and the offset in the file that it stands for."""
        with self._lock:
            progress, offset = self._pages.pop(events, (Progress(), 0))
            while True:
                new, end = read_events(events, offset)
                if end < offset:  # replaced by a shorter file
                    progress = Progress()
                for event in new:
                    progress.fold(event)
                if end == offset:
                    break
                offset = end
            self._pages[events] = (progress, offset)
            while len(self._pages) > self._kept:
                self._pages.popitem(last=False)
            return progress, offset

    def forget(self, events: Path) -> None:
        with self._lock:
            self._pages.pop(events, None)
