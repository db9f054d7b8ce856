"""The card, lent by a running training to who makes pictures: while they are made, and a short while after the last one.

The host asks in the control file. `park`: the worker leaves the card and answers with the event `parked` of the same number.
`share`: it stays, and answers with the event `shared` and what room it measured; where that is not enough, it is asked to park.
Nobody waits under a lock: `tick` looks, asks and goes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import control
from .folder import RunFolder
from .policies import AUTOMATIC, HAND_OVER, REFUSE, SHARE
from .progress import Progress

IDLE_SECONDS = 20.0
# Bytes that stay free where both use the card: for what a process takes besides its tensors (a CUDA context is some 0.5 GB),
# and for pieces that do not fit the gaps.
_MARGIN = 1 << 30
_REFUSED = "No pictures are made while this training has the card: that is how the program is set. Pause it to make some now."


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a training and the card stand.

    is_free: others may use the card; is_asked: the worker was asked for it; shares: the worker goes on beside them; paused: by
    the user; seconds_left: until it goes on by itself, None while pictures are made, or while it is paused or has the card;
    waited: seconds since it was asked, None where it has answered; refusal: why others may not use it.
    """

    is_free: bool = False
    is_asked: bool = False
    shares: bool = False
    paused: bool = False
    seconds_left: float | None = None
    waited: float | None = None
    refusal: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For the page."""
        return {key: getattr(self, key) for key in self.__dataclass_fields__}


class Lending:
    """`wants()` says whether somebody uses the card or waits for it, `serve()` lets them have it when it is free; `leave()`
    takes what the host keeps there off it and returns False when it is in use.

    `need()` is how many bytes what is wanted will take (None: not known), `is_crowded()` whether it found too few where the
    card is shared, `policy()` one of policies.POLICIES; `margin` bytes stay free besides. Thread-safe.
    """

    def __init__(
        self,
        *,
        wants: Callable[[], bool] = lambda: False,
        serve: Callable[[], None] = lambda: None,
        leave: Callable[[], bool] = lambda: True,
        need: Callable[[], int | None] = lambda: 0,
        is_crowded: Callable[[], bool] = lambda: False,
        policy: Callable[[], str] = lambda: AUTOMATIC,
        idle_seconds: float = IDLE_SECONDS,
        margin: int = _MARGIN,
    ) -> None:
        self._wants, self._serve, self._leave = wants, serve, leave
        self._need, self._is_crowded, self._policy = need, is_crowded, policy
        self.idle_seconds = idle_seconds
        self._margin = margin
        self._lock = threading.Lock()
        self._borrowers: list[int | None] = []  # what each of them needs
        # At the last look, for who asks how things stand does not ask others:
        self._wanted = False
        self._needed: int | None = 0  # by what is wanted besides the borrowers
        self._used = float("-inf")  # when the card was last used
        self._was_wanted = False  # at the look before
        self._crowded: Path | None = None  # the run beside which pictures found too little memory

    def begin(self, need: int | None = None) -> None:
        """Somebody wants the card until `end`, for `need` bytes; it is theirs once `standing` says that it is free."""
        with self._lock:
            self._borrowers.append(need)
            self._wanted = True

    def end(self, need: int | None = None, *, used: bool = True) -> None:
        """They do not want it any more; who has not `used` it needs no further pictures waited for."""
        with self._lock:
            self._borrowers.remove(need)
            self._wanted = bool(self._borrowers)
            self._was_wanted = False
            if used:
                self._used = time.monotonic()

    def go_on_now(self) -> None:
        """Do not wait for further pictures."""
        with self._lock:
            self._used, self._was_wanted = float("-inf"), False

    def crowded(self, folder: RunFolder) -> bool:
        """Who draws found too little memory: whether that was beside this run. From now on they take turns."""
        if not control.read_control(folder.control).is_shared:
            return False
        self._crowded = folder.path
        return True

    def tick(self, folder: RunFolder, progress: Progress) -> None:
        """One look at a run whose worker lives: ask for the card, or give it back. Raises SaveError (disk full)."""
        wanted = self._look(folder)
        if self.standing(folder, progress).is_free and (wanted or self._was_wanted):  # also what began and ended since
            self._used = time.monotonic()
        self._was_wanted = wanted
        asked = control.read_control(folder.control)
        is_lent = asked.park % 2 == 1 or asked.is_shared
        if wanted and not is_lent and self._policy() != REFUSE:
            shares = self._may_share(folder, progress)
            control.ask(folder.control, share=shares, park=not shares)
        elif wanted and asked.is_shared and not self._is_well_shared(folder, progress, asked):
            control.ask(folder.control, share=False, park=True)
        elif is_lent and not wanted and self._seconds_left() <= 0 and self._leave():
            control.ask(folder.control, share=False, park=False)
        if wanted:
            self._serve()

    def standing(self, folder: RunFolder, progress: Progress) -> Standing:
        """How the run and the card stand now."""
        asked = control.read_control(folder.control)
        is_lent = asked.park % 2 == 1 or asked.is_shared
        is_away = self._has_left(progress, asked)
        shares = asked.is_shared and not is_away and self._is_well_shared(folder, progress, asked, answered=True)
        refused = progress.not_parked or {}
        refusal = str(refused.get("message", "")) if is_lent and refused.get("park") == asked.park else ""
        if not is_lent and not asked.paused and self._policy() == REFUSE:
            refusal = _REFUSED
        is_free = is_away or shares or bool(progress.finished or progress.failed)
        return Standing(
            is_free=is_free,
            is_asked=asked.is_off_the_card or is_lent,
            shares=shares,
            paused=asked.paused,
            seconds_left=self._seconds_left() if is_lent and not asked.paused and not self._wanted else None,
            waited=_age(folder.control) if (is_lent or asked.paused) and not is_free else None,
            refusal=refusal,
        )

    def _has_left(self, progress: Progress, asked: control.Control) -> bool:
        answer = progress.parked or {}
        is_late = answer.get("pauses", asked.pauses) != asked.pauses  # it was off the card, and has been told to go on since
        return asked.is_off_the_card and bool(answer) and not is_late and (answer.get("park") == asked.park or asked.paused)

    def _may_share(self, folder: RunFolder, progress: Progress) -> bool:
        """Whether to try it: a training is asked beside its steps only, by which its own peak is known."""
        policy, memory = self._policy(), progress.memory
        if policy not in (AUTOMATIC, SHARE) or memory is None or self._is_too_full(folder, progress):
            return False
        return policy == SHARE or self._fits(memory)

    def _is_well_shared(self, folder: RunFolder, progress: Progress, asked: control.Control, *, answered: bool = False) -> bool:
        """Whether the sharing that was asked for is, or (not `answered`) may become, one that both have room in."""
        if self._is_too_full(folder, progress) or self._policy() == HAND_OVER:
            return False
        answer = progress.shared or {}
        if answer.get("share") != asked.share:
            return not answered
        memory = answer.get("memory")
        return memory is not None and (self._policy() == SHARE or self._fits(memory))

    def _is_too_full(self, folder: RunFolder, progress: Progress) -> bool:
        return self._crowded == folder.path or progress.crowded is not None

    def _fits(self, memory: Mapping[str, Any]) -> bool:
        """Whether what is free holds what pictures need, besides what the training will take again as it did before."""
        needed = self._all_needed()
        if needed is None:
            return False
        own = max(0, memory["peak"] - memory["reserved"])
        return bool(memory["free"] - own >= needed + self._margin)

    def _all_needed(self) -> int | None:
        with self._lock:
            every = [*self._borrowers, self._needed]
        known = [one for one in every if one is not None]
        return max(known) if len(known) == len(every) else None

    def _look(self, folder: RunFolder) -> bool:
        """Ask who wants the card; whether somebody does."""
        wants = self._wants()
        needed = self._need() if wants else 0
        if self._is_crowded():
            self.crowded(folder)
        with self._lock:
            self._needed = needed
            self._wanted = wants or bool(self._borrowers)
            return self._wanted

    def _seconds_left(self) -> float:
        if self._policy() == REFUSE:  # chosen in the middle of pictures: there are none to wait for
            return 0.0
        with self._lock:
            return max(0.0, self._used + self.idle_seconds - time.monotonic())


def _age(path: Path) -> float:
    """Seconds since a file was written."""
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except OSError:
        return 0.0
