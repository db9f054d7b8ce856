"""The card, handed over: the host's model leaves it while a worker trains, and comes back by itself afterwards.

The model is dropped wholly under the host's queue lock, and the lock is let go at once: held for hours it would starve
the host's threads. Generations that are asked for meanwhile are answered with a message before they touch the card.
"""

from __future__ import annotations

import gc
import importlib
import sys
import threading
from collections.abc import Callable
from typing import Any

from ...errors import HostError
from ...log import logger

_MARK = "lora_trainer_original"
_guard = threading.Lock()


def lend(refusal: Callable[[], str]) -> None:
    """Free the card. Waits for a running generation; later ones raise with the text of `refusal()`.

    Raises HostError when the model cannot be dropped; generations are not refused then.
    """
    from modules import call_queue

    with _guard:
        refuse_generations(refusal)
        try:
            with call_queue.queue_lock:
                drop_model()
        except Exception as error:
            accept_generations()
            raise HostError(
                f"The Web UI's model could not be taken off the card: {error}.",
                advice="Restart the Web UI, or switch 'Free the card while training' off in its settings.",
            ) from error


def reclaim() -> None:
    """The worker has left the card: generate again. Whatever next asks for the model loads it. Harmless when called twice."""
    from modules import sd_models

    with _guard:
        accept_generations()
        data = getattr(sd_models, "model_data", None)
        if getattr(data, "sd_model", True) is None and hasattr(data, "was_loaded_at_least_once"):
            data.was_loaded_at_least_once = False


def drop_model() -> None:
    """Give up the model's card memory and main memory. The caller holds the queue lock."""
    from modules import devices, sd_models

    for name in ("backend.memory_management", "ldm_patched.modules.model_management"):
        manager = sys.modules.get(name)  # hosts with a memory manager of their own bring the model back by themselves
        if manager is not None and hasattr(manager, "unload_all_models"):
            manager.unload_all_models()
            devices.torch_gc()
            return
    data = sd_models.model_data
    with getattr(data, "lock", threading.Lock()):  # a model that is being loaded at start-up is waited for
        for model in {id(model): model for model in [data.sd_model, *data.loaded_sd_models] if model is not None}.values():
            sd_models.send_model_to_trash(model)
        data.sd_model = None
        data.loaded_sd_models.clear()
        # Unset, the next reader of the model would load it in the middle of the training; reclaim unsets it.
        data.was_loaded_at_least_once = True
    gc.collect()
    devices.torch_gc()


def refuse_generations(refusal: Callable[[], str]) -> None:
    """Replace `process_images` wherever the host has imported it. Calling it again only changes the text."""
    processing = importlib.import_module("modules.processing")
    original = getattr(processing.process_images, _MARK, processing.process_images)

    def process_images(p: Any) -> Any:
        raise RuntimeError(refusal())

    setattr(process_images, _MARK, original)
    _replace(lambda function: function is original or getattr(function, _MARK, None) is original, process_images)


def accept_generations() -> None:
    """Put the host's own `process_images` back everywhere."""
    processing = importlib.import_module("modules.processing")
    original = getattr(processing.process_images, _MARK, None)
    if original is not None:
        _replace(lambda function: getattr(function, _MARK, None) is original, original)
        logger.info("The Web UI has its card back; its model is loaded by the next generation.")


def _replace(fits: Callable[[Any], bool], function: Callable[[Any], Any]) -> None:
    for module in list(sys.modules.values()):
        found = getattr(module, "__dict__", {}).get("process_images")
        if found is not None and fits(found):
            module.process_images = function  # type: ignore[attr-defined]
