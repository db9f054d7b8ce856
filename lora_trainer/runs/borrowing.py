"""The card for pictures that are made in the host itself, in the middle of a training (the Web UI's)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..log import logger
from .supervisor import Supervisor

_LOOK_SECONDS = 0.1
LATE_SECONDS = 30.0  # a training that has not left the card by then is spoken of in the log, too


class Borrowing:
    """See worker.Borrow. Whoever calls may hold the host's queue lock: what ends the wait needs it not.

    `others()` says what else is waited for, before a training is.
    """

    def __init__(self, supervisor: Supervisor, others: Callable[[], str] = lambda: "") -> None:
        self._supervisor, self._others = supervisor, others

    @contextmanager
    def __call__(self, should_stop: Callable[[], bool], tell: Callable[[str], None], need: int | None = None) -> Iterator[str]:
        """Wait until the training has made room, and keep the card while the context lasts."""
        lending = self._supervisor.lending
        lending.begin(need)
        has_it = False
        try:
            reason = self._wait(should_stop, tell)
            has_it = not reason
            yield reason
        finally:
            lending.end(need, used=has_it)

    def crowded(self) -> bool:
        """What is drawn found too little memory: whether a training shared the card, which it leaves now."""
        run = self._supervisor.store.active()
        return run is not None and self._supervisor.lending.crowded(self._supervisor.folder(run.id))

    def _wait(self, should_stop: Callable[[], bool], tell: Callable[[str], None]) -> str:
        began, is_said = time.monotonic(), False
        while other := self._others():
            if should_stop():
                return other
            tell(other)
            time.sleep(_LOOK_SECONDS)
        while True:
            run = self._supervisor.store.active()
            if run is None:
                return ""
            standing, progress = self._supervisor.standing(run), self._supervisor.progress(run.id)[0]
            step = f"step {progress.step}" if progress.step else "before its first step"
            if standing.is_free or standing.refusal:
                if standing.shares:
                    tell(f"{run.name} trains on while you generate ({step}).")
                elif standing.is_free:
                    idle = f"{self._supervisor.lending.idle_seconds:.0f}"
                    tell(f"Training of {run.name} paused while you generate ({step}), goes on {idle} s after the last picture.")
                return "" if standing.is_free else standing.refusal
            if should_stop():
                return f"The picture was interrupted while it waited for the training of {run.name}, which has the card."
            waited = time.monotonic() - began
            doing = progress.doing or step
            tell(f"Waiting until the training of {run.name} makes room ({doing}; {waited:.0f} s).")
            if waited > LATE_SECONDS and not is_said:
                logger.warning("A picture has waited %.0f s for the training of %s: %s", waited, run.name, doing)
                is_said = True
            time.sleep(_LOOK_SECONDS)
