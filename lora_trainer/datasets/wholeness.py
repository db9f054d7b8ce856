"""Reads pictures to their ends in the background, so that those that are cut short are marked as soon as it is known."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from ..data.plan.files import FACTS, FactsCache, ImageFacts
from ..errors import StoreError
from ..log import logger
from .model import Picture

_AT_ONCE = 200  # pictures
_SECONDS = 0.5  # between two words about what was found


class Pictures(Protocol):
    """Whose pictures are read: a data set."""

    is_closed: bool

    def unread(self) -> list[Picture]:
        """Those that have not been read to their ends."""

    def path_of(self, picture: Picture) -> Path:
        """Where one is."""

    def take_wholeness(self, pictures: Sequence[Picture], facts: Sequence[ImageFacts]) -> None:
        """Hear what was found."""


class Wholeness:
    """One thread at most, which reads one file after the other: the thumbnails that somebody waits for come first."""

    def __init__(self, pictures: Pictures, facts: FactsCache = FACTS) -> None:
        self._pictures, self._facts = pictures, facts
        self._lock = threading.Lock()
        self._is_at_work = self._is_asked = False

    def begin(self) -> None:
        """See to it that all pictures of which the size is known are read, also those that came meanwhile."""
        with self._lock:
            self._is_asked = True
            if self._is_at_work:
                return
            self._is_at_work = True
        threading.Thread(target=self._work, name="lora-trainer data set", daemon=True).start()

    def _goes_on(self) -> bool:
        with self._lock:
            self._is_at_work = self._is_asked and not self._pictures.is_closed
            self._is_asked = False
            return self._is_at_work

    def _work(self) -> None:
        while self._goes_on():
            try:
                for pictures, facts in self._read():
                    self._pictures.take_wholeness(pictures, facts)
            except StoreError as error:  # told by the next request; of a data set that was closed nobody asks
                logger.debug("whether pictures are whole was not kept: %s", error)
            except Exception:
                logger.exception("pictures could not all be read to their ends")

    def _read(self) -> Iterator[tuple[list[Picture], list[ImageFacts]]]:
        left = self._pictures.unread()
        while left and not self._pictures.is_closed:
            some = left[:_AT_ONCE]
            paths = [str(self._pictures.path_of(one)) for one in some]
            read = self._facts.read_some(paths, time.monotonic() + _SECONDS, threads=1)
            known = [(one, fact) for one, fact in zip(some, read, strict=True) if fact is not None]
            yield [one for one, _ in known], [fact for _, fact in known]
            left = [one for one, fact in zip(some, read, strict=True) if fact is None] + left[_AT_ONCE:]
