"""What a worker tells: one JSON object a line in `events.jsonl`, each with `type` and `time` (docs/architecture.md).

`RunReporter` is the worker's end (it also reads the control file), `ConsoleReporter` the same for the command line,
`read_events` the host's end. Lines are only ever appended.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from ..foreign.json_text import parse_json, without_nan
from ..foreign.reading import UnreadableError, open_file
from ..log import logger
from .control import Control, read_control
from .folder import RunFolder

Event = dict[str, Any]
READ_LIMIT = 1 << 20  # bytes that one call of read_events looks at
_LONGEST_LINE = 16 << 20  # bytes
_LASTING = {
    "started",
    "resumed",
    "saved",
    "state",
    "failed",
    "finished",
}  # written through to the disk: they decide what a run came to
_SECONDS_BETWEEN_LOOKS = 0.5
_HOST_GONE_SECONDS = 120.0


class Reporter(Protocol):
    """What `training.train` is handed."""

    def emit(self, event: Mapping[str, Any]) -> None: ...

    def control(self) -> Control: ...


class EventWriter:
    """Appends events to `path`; a line that an earlier writer left half-written is closed first."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab+")
        if self._file.seek(0, os.SEEK_END):
            self._file.seek(-1, os.SEEK_END)
            if self._file.read(1) != b"\n":
                self._file.write(b"\n")
                self._file.flush()

    def write(self, event: Mapping[str, Any]) -> None:
        assert "type" in event, "an event has a type"
        line = json.dumps(without_nan({"time": time.time(), **event}), ensure_ascii=False, separators=(",", ":"))
        self._file.write(line.encode("utf-8", errors="replace") + b"\n")
        self._file.flush()
        if event["type"] in _LASTING:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def read_events(path: Path, offset: int = 0, *, limit: int = READ_LIMIT) -> tuple[list[Event], int]:
    """The whole lines from byte `offset` on, and the offset to go on from.

    A half-written last line is left for the next call; a line that is no JSON object, or endless, is skipped; an offset beyond
    the end (the file was replaced) starts again at 0. A missing file has no events. Looks at `limit` bytes or one line.
    """
    try:
        with open_file(path) as file:
            size = file.seek(0, os.SEEK_END)
            offset = offset if 0 <= offset <= size else 0
            file.seek(offset)
            block = file.read(limit)
            if b"\n" not in block and len(block) == limit:
                block += file.readline(_LONGEST_LINE)  # one line longer than the limit
    except UnreadableError:
        return [], 0
    if b"\n" not in block and len(block) > _LONGEST_LINE:  # no worker writes such a line: its rest is skipped by the next calls
        return [], offset + len(block)
    whole, newline, _ = block.rpartition(b"\n")
    events: list[Event] = []
    for line in whole.split(b"\n"):
        try:
            event = parse_json(line.decode("utf-8"))
        except ValueError:
            continue
        if isinstance(event, dict) and isinstance(event.get("type"), str):
            events.append(event)
    return events, offset + len(whole) + len(newline)


class RunReporter:
    """The worker's end of a run folder. Making one says "I am this run's worker": a second living one is refused.

    `control()` may be asked at every step: it looks at the control file's time twice a second at most.
    Raises StoreError when another living process works on the folder.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = RunFolder(Path(folder))
        self.folder.claim_worker()
        self._events = EventWriter(self.folder.events)
        self._asked = self._control = Control()  # by the host, and what comes of it
        self._is_ending = False
        self._control_stamp: tuple[int, int] | None = None
        self._next_look = 0.0
        self._log = ConsoleReporter(seconds=30.0)  # the worker's output is the run's log
        self._stops_with_host = self.folder.request().get("when_host_ends") == "stop"

    def emit(self, event: Mapping[str, Any]) -> None:
        self._events.write(event)
        if event["type"] != "failed":  # logged where it happens, with its traceback
            self._log.emit(event)

    def control(self) -> Control:
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + _SECONDS_BETWEEN_LOOKS
            self._look()
        return self._control

    def _look(self) -> None:
        self.folder.beat()
        try:
            stat = self.folder.control.stat()
            stamp = (stat.st_mtime_ns, stat.st_ino)
        except OSError:
            stamp = None
        if stamp is not None and stamp != self._control_stamp:
            self._control_stamp = stamp
            self._asked = read_control(self.folder.control)
        if not (self._asked.stop or self._is_ending):
            self._is_ending = self._must_end()
        self._control = replace(self._asked, stop=self._asked.stop or self._is_ending)
        if (self._control.park % 2 or self._control.is_shared) and self._host_is_gone():
            # Nobody will give the card back; a host that only slept finds its request as it was.
            self._control = replace(
                self._control,
                park=self._control.park + self._control.park % 2,
                share=self._control.share + self._control.is_shared,
            )

    def _must_end(self) -> bool:
        """Whether to stop without being asked to, which is said."""
        if self.folder.is_deleted():
            why = f"{self.folder.path} was deleted: stopping. What was trained is saved there anew."
        elif self._stops_with_host and self._host_is_gone():
            why = "The program that started this run has been gone for two minutes: stopping."
        else:
            return False
        self.emit({"type": "warning", "message": why})
        return True

    def _host_is_gone(self) -> bool:
        try:
            return time.time() - self.folder.host_heartbeat.stat().st_mtime > _HOST_GONE_SECONDS
        except OSError:
            return False

    def close(self) -> None:
        self._events.close()


class ConsoleReporter:
    """The same for the command line: events become log lines, steps a line every `seconds`; nothing controls it."""

    def __init__(self, *, seconds: float = 5.0) -> None:
        self._seconds = seconds
        self._last_line = -math.inf
        self._phase = self._said = ""
        self._total: int | None = None
        self._device = ""

    def control(self) -> Control:
        return Control()

    def close(self) -> None:
        """Nothing is held open."""

    def emit(self, event: Mapping[str, Any]) -> None:
        now = time.monotonic()
        kind = event["type"]
        if kind == "started":
            self._total, self._device = event.get("total_steps"), str(event.get("device") or "")
        due = now - self._last_line >= self._seconds
        last = event.get("step") == self._total or (event.get("total") and event.get("done") == event.get("total"))
        if kind == "step" and not (due or last):
            return
        if kind == "phase" and (event.get("aside") or (event.get("name") == self._phase and not (due or last))):
            return
        text = _say(event, self._total, self._device)
        is_news = not (kind == "phase" and text == self._said)  # a phase is told again with another time left
        self._last_line = now
        self._phase = str(event.get("name", "")) if kind == "phase" else ""
        self._said = text
        if text and is_news:
            (logger.error if kind == "failed" else logger.warning if kind == "warning" else logger.info)("%s", text)


def _say(event: Mapping[str, Any], total: int | None, device: str) -> str:
    """One line for a person, or "" when the event is not worth one."""
    kind = event["type"]
    if kind == "started":
        steps, epochs = event.get("total_steps", "?"), event.get("epochs", "?")
        return f"training on {event.get('device', '?')}: {steps} steps, {epochs} epochs"
    if kind == "phase":
        count = f" {event.get('done', 0)}/{event['total']}" if event.get("total") else ""
        return f"{event.get('name', '')}{count}"
    if kind == "step":
        loss = event.get("loss")
        parts = [f"step {event.get('step')}/{total or '?'}", f"loss {loss:.4f}" if isinstance(loss, float) else "loss ?"]
        if isinstance(event.get("samples_per_second"), (int, float)):
            parts.append(f"{event['samples_per_second']:.2f} samples/s")
        return ", ".join(parts)
    if kind == "validation":
        loss = event.get("loss")
        return f"step {event.get('step')}: validation loss {loss:.4f}" if isinstance(loss, float) else ""
    if kind == "saved":
        return f"saved {event.get('path')}"
    if kind in ("parked", "unparked"):
        waiting = "waiting" if device.lower().startswith("cpu") else "waiting off the card"  # without a card, none is spoken of
        return waiting if kind == "parked" else "going on"
    if kind == "crowded":
        return f"step {event.get('step')}: {event.get('message', '')}"
    if kind == "state":
        return f"saved the training state {event.get('path')}"
    if kind == "resumed":
        return f"going on after step {event.get('step')} from {event.get('path')}"
    if kind == "sample":
        return f"sample {event.get('path')}"
    if kind == "finished":
        word = "stopped" if event.get("reason") == "stopped" else "finished"
        return f"{word} at step {event.get('step', '?')}: {event.get('path') or 'nothing saved'}"
    return f"{event.get('message', '')} {event.get('advice', '')}".strip()
