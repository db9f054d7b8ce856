"""The card, handed over between the host and a training: under the host's queue lock, which is let go at once.

Held for hours it would starve the host's threads. Pictures that are asked for meanwhile wait for their turn, or are answered
with a message before they touch the card (gate.py).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from ...errors import HostError
from ...log import logger
from . import away, gate, measured

_guard = threading.Lock()


def lend(refusal: Callable[[], str], turn: gate.Turn | None = None, makes_room: Callable[[], bool] | None = None) -> None:
    """Free the card. Waits for a running generation; later ones get a `turn`, or without one the text of `refusal()`.

    `makes_room` is asked whether one that found too little memory is to be tried again.

    Raises HostError when the model cannot be taken off; generations are not refused then.
    """
    from modules import call_queue

    with call_queue.queue_lock:
        _hand_over(lambda: gate.close(refusal, turn, makes_room))


def take_turn() -> None:
    """The training has made room on the card: bring the model back, for who draws now. The caller holds the queue lock."""
    with _guard:
        if not gate.is_lent():
            measured.model_is_away()
            away.bring_back()
            gate.lend()


def end_turn() -> bool:
    """Give the card back to the training, unless a generation is at work: then False, and nothing is waited for."""
    from modules import call_queue

    if not gate.is_lent():
        return True
    if not call_queue.queue_lock.acquire(blocking=False):
        return False
    try:
        _hand_over(gate.take_back)
    finally:
        call_queue.queue_lock.release()
    return True


def reclaim() -> None:
    """The training is over: generate again. Whatever next asks for the model finds or loads it. Harmless when called twice."""
    with _guard:
        if not gate.is_lent():
            away.bring_back()
        if gate.open_again():
            logger.info("The Web UI has its card back.")


def read_anew(path: Path) -> None:
    """A checkpoint was written over: whoever draws with it next reads it from its file. Waits for a running generation."""
    from modules import call_queue

    with call_queue.queue_lock, _guard:
        away.read_anew(path)
        if gate.is_open():
            away.bring_back()


def _hand_over(close: Callable[[], None]) -> None:
    """Close the gate and take the model off the card. The caller holds the queue lock."""
    with _guard:
        close()
        try:
            away.put()
        except Exception as error:
            gate.open_again()
            raise HostError(
                f"The Web UI's model could not be taken off the card: {error}.",
                advice="Restart the Web UI, and start the training before the first picture.",
            ) from error


@contextlib.contextmanager
def model_stays_away() -> Iterator[None]:
    """Whoever asks for a model that is not loaded gets none, instead of loading it: for what only wants to know its kind."""
    from modules import sd_models

    data = getattr(sd_models, "model_data", None)
    would_load = getattr(data, "sd_model", True) is None and getattr(data, "was_loaded_at_least_once", True) is False
    if would_load:
        data.was_loaded_at_least_once = True
    try:
        yield
    finally:
        if would_load:
            data.was_loaded_at_least_once = False
