"""Where several processes meet before they exchange numbers, so that none of them waits in a library that gives up."""

from __future__ import annotations

import time
from typing import Any

from ..errors import TrainingError

_SOON, _LATE = 0.0005, 0.1  # seconds between two looks: at first, and after a while
_LEFT_STANDING = 64  # signs that are not taken down yet: others may be on their way to them


class Meeting:
    """The main process puts up a sign in `store` before each exchange, and the others begin theirs when they see it.

    So they wait for it here, however long it draws samples, saves or uploads, and not within the exchange, which NCCL and gloo
    end after some minutes, and the training with it. `patience` seconds end the waiting; None: it is endless. (When the main
    process ends, its launcher ends the others, and the store is gone.)
    """

    def __init__(self, store: Any, is_main: bool, patience: float | None = None) -> None:
        self._store, self._is_main, self._patience = store, is_main, patience
        self._number = 0

    def come(self) -> None:
        """To be called by all processes before each exchange. Raises TrainingError where the main one does not come in time."""
        self._number += 1
        if self._is_main:
            self._store.set(_sign(self._number), "1")
            if self._number > _LEFT_STANDING:
                self._store.delete_key(_sign(self._number - _LEFT_STANDING))
            return
        began, pause = time.monotonic(), _SOON
        while not self._store.check([_sign(self._number)]):
            if self._patience is not None and time.monotonic() - began > self._patience:
                raise TrainingError(
                    f"the main process did not go on within {self._patience / 60:g} minutes.",
                    advice="Raise ddp_timeout, or leave it out to wait as long as it takes.",
                )
            time.sleep(pause)
            pause = min(_LATE, pause * 1.5)


def _sign(number: int) -> str:
    return f"meeting/{number}"
