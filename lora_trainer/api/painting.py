"""Who draws single pictures for a grid: the host where it does so itself, else the process behind the Generate page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import HostError
from ..grids.book import FAILED, Painter
from ..grids.grid import Candidate
from ..hosts.base import Host
from ..runs.generation import Generation

_TRIES = 5  # where a training that begins takes the card


def painter(host: Host, generation: Generation, ask: Callable[..., str]) -> Painter:
    """`ask(request, files=)` puts a request to `generation` and returns its id."""
    return host.painter() or _by_generation(generation, ask)


def _by_generation(generation: Generation, ask: Callable[..., str]) -> Painter:
    def paint(request: Mapping[str, Any], files: Mapping[str, Path], should_stop: Callable[[], bool]) -> bytes | None:
        for _ in range(_TRIES):
            request_id = ask(request, files=files)
            *_, status = generation.follow(request_id, should_stop)
            if status["state"] == FAILED:
                raise HostError(status["message"], advice=status["advice"])
            path = generation.file(request_id, "0.png")
            if path is not None:
                return path.read_bytes()
            if should_stop():
                return None
        raise HostError("The picture was broken off again and again.", advice="See what else uses the card, then go on.")

    return paint


def file_now(one: Candidate, saved: Mapping[str, Any]) -> str | None:
    """The name of the run's file that was compared, which may be another since: a final file that was trained further has the
    one of its step. None for other LoRAs, and for one that is gone. `saved` is the step of each file that is there."""
    if one.step is None:
        return None
    if saved.get(one.path.name) == one.step:
        return one.path.name
    return next((name for name, step in saved.items() if step == one.step), None)
