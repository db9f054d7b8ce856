"""The card, lent by a running training to who makes pictures: while they are made, and a short while after the last one.

The host asks in the control file (`park`), the worker answers with the event `parked` of the same number. Nobody waits under a
lock: `tick` looks, asks and goes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import control
from .folder import RunFolder
from .progress import Progress

IDLE_SECONDS = 20.0


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a training and the card stand.

    is_free: the worker is off the card, so that others may use it; is_asked: it was asked to leave; paused: by the user;
    seconds_left: until it goes on by itself, None while pictures are made, or while it is paused or has the card;
    refusal: why it does not leave.
    """

    is_free: bool = False
    is_asked: bool = False
    paused: bool = False
    seconds_left: float | None = None
    refusal: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For the page."""
        return {key: getattr(self, key) for key in self.__dataclass_fields__}


class Lending:
    """`wants()` says whether somebody uses the card or waits for it, `serve()` lets them have it when it is free; `leave()`
    takes what the host keeps there off it and returns False when it is in use. Thread-safe."""

    def __init__(
        self,
        *,
        wants: Callable[[], bool] = lambda: False,
        serve: Callable[[], None] = lambda: None,
        leave: Callable[[], bool] = lambda: True,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._wants, self._serve, self._leave = wants, serve, leave
        self.idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._borrowers = 0
        self._wanted = False  # at the last look: who asks how things stand does not ask others
        self._used = float("-inf")  # when the card was last wanted

    def begin(self) -> None:
        """Somebody wants the card until `end`; it is theirs once `standing` says that it is free."""
        with self._lock:
            self._borrowers += 1
            self._wanted = True

    def end(self) -> None:
        """They do not want it any more."""
        with self._lock:
            self._borrowers -= 1
            self._wanted = self._borrowers > 0
            self._used = time.monotonic()

    def go_on_now(self) -> None:
        """Do not wait for further pictures."""
        with self._lock:
            self._used = float("-inf")

    def tick(self, folder: RunFolder) -> None:
        """One look at a run whose worker lives: ask for the card, or give it back. Raises SaveError (disk full)."""
        wanted = self._is_wanted()
        is_lent = control.read_control(folder.control).park % 2 == 1
        if wanted and not is_lent:
            control.ask(folder.control, park=True)
        elif is_lent and not wanted and self._seconds_left() <= 0 and self._leave():
            control.ask(folder.control, park=False)
        if wanted:
            self._serve()

    def standing(self, folder: RunFolder, progress: Progress) -> Standing:
        """How the run and the card stand now."""
        asked = control.read_control(folder.control)
        answer = progress.parked or {}
        is_lent = asked.park % 2 == 1
        is_over = bool(progress.finished or progress.failed)
        is_free = is_over or (asked.is_off_the_card and bool(answer) and (answer.get("park") == asked.park or asked.paused))
        refused = progress.not_parked or {}
        return Standing(
            is_free=is_free,
            is_asked=asked.is_off_the_card,
            paused=asked.paused,
            seconds_left=self._seconds_left() if is_lent and not asked.paused and not self._wanted else None,
            refusal=str(refused.get("message", "")) if is_lent and refused.get("park") == asked.park else "",
        )

    def _is_wanted(self) -> bool:
        wants = self._wants()
        with self._lock:
            self._wanted = wants or self._borrowers > 0
            if self._wanted:
                self._used = time.monotonic()
            return self._wanted

    def _seconds_left(self) -> float:
        with self._lock:
            return max(0.0, self._used + self.idle_seconds - time.monotonic())
