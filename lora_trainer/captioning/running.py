"""The way of all captioning tools through the pictures: batches, progress, a clean stop, and what is told at the end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Generic, Protocol, TypeVar

from .. import log
from ..data.resize import Pixels
from ..errors import InputError
from ..log import logger
from ..options.tools.captioning import Captioning
from ..options.tools.reporting import Report
from .pictures import Found, Picture, read_ahead
from .writing import Sink

T = TypeVar("T")
_NAMED = 20  # names in one line
EXIT_STOPPED = 130


class Describer(Protocol[T]):
    """A model that looks at pictures. `batch_size` is what its file demands, or None."""

    batch_size: int | None

    def prepare(self, pixels: Pixels) -> T:
        """What the model wants of a picture, uint8 [H, W, 3]. Called by several threads."""
        ...

    def describe(self, pictures: Sequence[Picture], prepared: Sequence[T]) -> list[list[str]]:
        """The tags of each picture, or a sentence; nothing where nothing was found."""
        ...


@dataclass
class Outcome:
    """What came of a run, by the pictures' names."""

    total: int
    written: int = 0
    kept: int = 0
    empty: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)  # "name (why)"
    last: str = ""  # the picture that was looked at last

    @property
    def handled(self) -> int:
        """How many pictures were dealt with, in whatever way."""
        return self.written + self.kept + len(self.empty) + len(self.skipped)

    @property
    def is_stopped(self) -> bool:
        """Whether there are pictures that it did not come to."""
        return self.handled < self.total


class Stop:
    """Whether the run was asked to end."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    def __bool__(self) -> bool:
        return self._asked.is_set()

    def ask(self, *_: object) -> None:
        """End after the pictures at work."""
        self._asked.set()

    @contextmanager
    def by_signals(self) -> Iterator[None]:
        """Let Ctrl-C and the page's "Cancel" ask; a second Ctrl-C ends at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def interrupted(*_: object) -> None:
            if self:
                raise KeyboardInterrupt
            logger.info("Stopping after the pictures at work.")
            self.ask()

        before = {kind: signal.signal(kind, interrupted) for kind in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)


@dataclass(frozen=True, kw_only=True)
class Run(Generic[T]):
    """One run through the pictures."""

    options: Captioning
    found: Found
    sink: Sink
    describer: Describer[T]
    progress: Callable[[int, int], None] = lambda done, total: None
    stop: Stop = field(default_factory=Stop)

    def go(self) -> Outcome:
        """Describe every picture that the sink wants. Raises SaveError; what was written by then stays."""
        outcome = Outcome(total=len(self.found.pictures))
        size = self.describer.batch_size or self.options.batch_size
        batch: list[tuple[Picture, T]] = []
        threads = self.options.max_data_loader_n_workers
        for picture, one in read_ahead(self._wanted(outcome), self.describer.prepare, threads, ahead=2 * size):
            if self.stop:
                break
            if isinstance(one, InputError):
                outcome.skipped.append(f"{picture.name} ({_reason(one)})")
            else:
                batch.append((picture, one))
            if len(batch) == size:
                self._describe(batch, outcome)
                batch = []
            self.progress(outcome.handled, outcome.total)
        if batch and not self.stop:
            self._describe(batch, outcome)
        self.sink.finish()
        return outcome

    def _wanted(self, outcome: Outcome) -> Iterator[Picture]:
        for picture in self.found.pictures:
            if self.stop:
                return
            if self.sink.wants(picture):
                yield picture
            else:
                outcome.kept += 1

    def _describe(self, batch: Sequence[tuple[Picture, T]], outcome: Outcome) -> None:
        pictures, prepared = zip(*batch, strict=True)
        for picture, parts in zip(pictures, self.describer.describe(pictures, prepared), strict=True):
            outcome.last = picture.name
            if self.options.debug:
                logger.info("%s: %s", picture.name, ", ".join(parts))
            if not parts:
                outcome.empty.append(picture.name)
                continue
            try:
                self.sink.put(picture, parts)
                outcome.written += 1
            except InputError as error:
                outcome.skipped.append(f"{picture.name} ({_reason(error)})")


def _reason(error: InputError) -> str:
    """Why, without the file's name."""
    return error.message.removeprefix(f"{error.where}: ").removesuffix(".")


def carry_out(options: Captioning, found: Found, sink: Sink, describer: Describer[T]) -> int:
    """Run as a command does: progress lines, a clean stop, and the report. Returns the exit code."""
    stop = Stop()
    with stop.by_signals():
        tell_progress = log.progress_lines(0.3)
        run = Run(options=options, found=found, sink=sink, describer=describer, progress=tell_progress, stop=stop)
        outcome = run.go()
    told = Report()
    for level, message in report(outcome):
        told.say(level, message)
    told.write(options.report, **asdict(outcome))
    return EXIT_STOPPED if outcome.is_stopped else 0


def report(outcome: Outcome) -> list[tuple[str, str]]:
    """(info or warning, sentence): what came of a run, for a person."""
    said = [("info", f"{outcome.written} of {outcome.total} pictures have new captions.")]
    if outcome.kept:
        said.append(("info", f"Pictures whose captions were kept: {outcome.kept}."))
    if outcome.empty:
        said.append(("warning", f"Nothing was found in: {_names(outcome.empty)}."))
    if outcome.skipped:
        said.append(("warning", f"Passed over: {_names(outcome.skipped)}."))
    if outcome.is_stopped:
        advice = "What was written stays; keep the captions that are there and run it again to go on."
        said.append(("warning", f"Stopped after {outcome.last}. {advice}" if outcome.last else f"Stopped. {advice}"))
    return said


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
