"""The card, handed over: the host's model leaves it while a worker trains, and comes back by itself afterwards.

The model is dropped wholly under the host's queue lock, and the lock is let go at once: held for hours it would starve
the host's threads. Pictures that are asked for meanwhile are answered with a message before they touch the card (gate.py).
"""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from ...errors import HostError
from ...log import logger
from . import gate

_guard = threading.Lock()


def lend(refusal: Callable[[], str]) -> None:
    """Free the card. Waits for a running generation; later ones raise with the text of `refusal()`.

    Raises HostError when the model cannot be dropped; generations are not refused then.
    """
    from modules import call_queue

    with _guard:
        gate.close(refusal)
        try:
            with call_queue.queue_lock:
                drop_model()
        except Exception as error:
            gate.open_again()
            raise HostError(
                f"The Web UI's model could not be taken off the card: {error}.",
                advice="Restart the Web UI, or switch 'Free the card while training' off in its settings.",
            ) from error


def reclaim() -> None:
    """The worker has left the card: generate again. Whatever next asks for the model loads it. Harmless when called twice."""
    from modules import sd_models

    with _guard:
        if gate.open_again():
            logger.info("The Web UI has its card back; its model is loaded by the next generation.")
        data = getattr(sd_models, "model_data", None)
        if getattr(data, "sd_model", True) is None and hasattr(data, "was_loaded_at_least_once"):
            data.was_loaded_at_least_once = False


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


def drop_model() -> None:
    """Give up the model's card memory and main memory. The caller holds the queue lock."""
    from modules import devices, sd_models

    data = sd_models.model_data
    manager = _memory_manager()
    if manager is not None:
        manager.unload_all_models()
        if hasattr(data, "forge_hash"):
            _forget_loaded_model(sd_models)
    else:
        _trash_models(sd_models)
    gc.collect()
    devices.torch_gc()


def _memory_manager() -> Any | None:
    """The module of a host that moves its models by itself and brings them back with the next picture; None in 1.10.1."""
    for name in ("backend.memory_management", "ldm_patched.modules.model_management"):
        manager = sys.modules.get(name)
        if manager is not None and hasattr(manager, "unload_all_models"):
            return manager
    return None


def _forget_loaded_model(sd_models: Any) -> None:
    """As Forge itself does before it loads another checkpoint: unloaded models stay in main memory, held by this name.

    Its next picture compares the hash of what is wanted with that of what is loaded, and loads.
    """
    data = sd_models.model_data
    nothing = getattr(sd_models, "FakeInitialModel", lambda: None)  # what it holds before its first picture
    data.sd_model = nothing()
    data.forge_hash = ""


def _trash_models(sd_models: Any) -> None:
    data = sd_models.model_data
    with getattr(data, "lock", threading.Lock()):  # a model that is being loaded at start-up is waited for
        for model in {id(model): model for model in [data.sd_model, *data.loaded_sd_models] if model is not None}.values():
            sd_models.send_model_to_trash(model)
        data.sd_model = None
        data.loaded_sd_models.clear()
        # Unset, the next reader of the model would load it in the middle of the training; reclaim unsets it.
        data.was_loaded_at_least_once = True
