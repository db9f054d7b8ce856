"""The host's model off the card: in main memory where there is room, else dropped wholly and read from its file again."""

from __future__ import annotations

import gc
import os
import sys
import threading
from pathlib import Path
from typing import Any

_LEFT_FREE = 2 << 30  # bytes of main memory, besides the model and what the training reads
_SIZE_OF_A_MODEL = 7 << 30  # where it cannot be asked

_kept: Any = None  # the model that lies in main memory


def put() -> None:
    """Take the models off the card. The caller holds the queue lock."""
    global _kept
    from modules import devices, sd_models

    data = sd_models.model_data
    manager = _memory_manager()
    if manager is not None:
        manager.unload_all_models()  # to main memory
        if hasattr(data, "forge_hash") and not _has_room(_SIZE_OF_A_MODEL):
            _forget_loaded_model(sd_models)
    elif data.sd_model is not None and hasattr(sd_models, "send_model_to_cpu") and _has_room(_size_of(data.sd_model)):
        _kept = data.sd_model
        _trash_models(sd_models, besides=_kept)
        sd_models.send_model_to_cpu(_kept)
    else:
        _trash_models(sd_models)
    gc.collect()
    devices.torch_gc()


def bring_back() -> None:
    """Let the model come back: from main memory now, or from its file with the next who asks. Harmless when it is here."""
    global _kept
    from modules import sd_models

    data = getattr(sd_models, "model_data", None)
    if _kept is not None and getattr(data, "sd_model", None) is _kept:
        sd_models.send_model_to_device(_kept)
    _kept = None
    if getattr(data, "sd_model", True) is None and hasattr(data, "was_loaded_at_least_once"):
        data.was_loaded_at_least_once = False


def read_anew(path: Path) -> None:
    """Forget the models that were read from the file `path`, which was written over: the host knows them by the file's name
    alone. The caller holds the queue lock."""
    global _kept
    from modules import sd_models

    for info in [info for info in getattr(sd_models, "checkpoints_loaded", ()) if is_of(info, path)]:
        sd_models.checkpoints_loaded.pop(info, None)
    data = getattr(sd_models, "model_data", None)
    models = [getattr(data, "sd_model", None), *getattr(data, "loaded_sd_models", ())]
    stale = {id(model) for model in models if is_of(getattr(model, "sd_checkpoint_info", None), path)}
    if not stale:
        return
    if hasattr(data, "forge_hash"):
        _forget_loaded_model(sd_models)
        return
    _kept = None if id(_kept) in stale else _kept
    with getattr(data, "lock", threading.Lock()):
        for model in {id(model): model for model in models if id(model) in stale}.values():
            sd_models.send_model_to_trash(model)
        data.loaded_sd_models[:] = [model for model in data.loaded_sd_models if id(model) not in stale]
        data.sd_model = None if id(data.sd_model) in stale else data.sd_model
        data.was_loaded_at_least_once = True  # until bring_back, which lets it be read from its file


def is_of(info: Any, path: Path) -> bool:
    """Whether the host's description of a checkpoint is that of the file `path`."""
    filename = getattr(info, "filename", None)
    return bool(filename) and os.path.realpath(filename) == os.path.realpath(path)


def _has_room(size: int) -> bool:
    """Whether main memory holds the model besides a training, which reads one, too."""
    try:
        import psutil
    except ImportError:
        return False
    return bool(psutil.virtual_memory().available > 2 * size + _LEFT_FREE)


def _size_of(model: Any) -> int:
    try:
        return sum(tensor.numel() * tensor.element_size() for tensor in [*model.parameters(), *model.buffers()])
    except AttributeError:
        return _SIZE_OF_A_MODEL


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


def _trash_models(sd_models: Any, besides: Any = None) -> None:
    data = sd_models.model_data
    with getattr(data, "lock", threading.Lock()):  # a model that is being loaded at start-up is waited for
        for model in {id(model): model for model in [data.sd_model, *data.loaded_sd_models] if model is not None}.values():
            if model is not besides:
                sd_models.send_model_to_trash(model)
        data.loaded_sd_models[:] = [besides] if besides is not None else []
        data.sd_model = besides
        # Unset, the next reader of the model would load it in the middle of the training; bring_back unsets it.
        data.was_loaded_at_least_once = True
