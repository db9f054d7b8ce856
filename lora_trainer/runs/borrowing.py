"""The card for pictures that are made in the host itself, in the middle of a training (the Web UI's)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .supervisor import Supervisor

_LOOK_SECONDS = 0.1


@contextmanager
def borrowed(supervisor: Supervisor, should_stop: Callable[[], bool], tell: Callable[[str], None]) -> Iterator[str]:
    """Wait until the training has left the card, and keep it away while the context lasts (see worker.Borrow).

    Gives "", or why the card cannot be had. Whoever calls may hold the host's queue lock: what ends the wait needs it not.
    """
    supervisor.lending.begin()
    try:
        yield _wait(supervisor, should_stop, tell)
    finally:
        supervisor.lending.end()


def _wait(supervisor: Supervisor, should_stop: Callable[[], bool], tell: Callable[[str], None]) -> str:
    while True:
        run = supervisor.store.active()
        if run is None:
            return ""
        standing = supervisor.standing(run)
        if standing.is_free or standing.refusal:
            return "" if standing.is_free else standing.refusal
        if should_stop():
            return f"{run.name} is being trained on this card, and it was not waited until it left it."
        doing = (supervisor.progress(run.id)[0].phase or {}).get("name")
        tell(f"Waiting until the training of {run.name} leaves the card{f' ({doing})' if doing else ''}.")
        time.sleep(_LOOK_SECONDS)
