"""What a training does otherwise where its processes share one model (checkpoints.sharding, serving)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from ..checkpoints.serving import Shards
from ..models.convert import Whole, all_here
from .update import Updater

Shown = Callable[[], AbstractContextManager[None]]

_SHOWN, _MODEL = "shown", "model"


def arrange(shards: Shards, updater: Updater) -> Shown:
    """Let the main process ask for what `updater` knows. Returns what all processes enter together to measure: while it holds,
    each has all weights, those to be shown."""
    states = updater.optimizer.state

    def remembered() -> Iterator:
        for parameter in updater.parameters:
            yield from states.get(parameter, {}).values()
        for mapping in updater.remembered:
            yield from mapping.values()

    @contextmanager
    def together() -> Iterator[None]:
        with updater.shown(), shards.whole_model():
            yield

    shards.remembered = remembered
    shards.contexts = {_SHOWN: updater.shown, _MODEL: together}
    return together


def for_files(shards: Shards | None, updater: Updater) -> Shown:
    """What the main process enters to save: the trained weights are those to be saved, in all processes."""
    return updater.shown if shards is None else lambda: shards.everywhere(_SHOWN)


def for_states(shards: Shards | None) -> Whole:
    """What gives it all of a tensor of which it has a part."""
    return shards.whole if shards else all_here


def for_pictures(shards: Shards | None, updater: Updater) -> Shown:
    """What it enters to draw: it has all of them, besides."""
    return updater.shown if shards is None else lambda: shards.everywhere(_MODEL)
