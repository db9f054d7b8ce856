"""Make the running Web UI use a LoRA file that was just written, overwritten or deleted.

The host keeps the weights of a LoRA in the layers (keyed by name and multiplier, not by content), its text conditioning
(keyed by the prompt's text), its list of files and, in some versions, the parsed file (keyed by its name). All of them
forget here. What a version does not have is passed over: attributes are asked for, never names of forks.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from ...log import logger
from . import gpu

# A tuple of networks that no prompt can ask for: the next forward restores the layer's own weights and applies anew.
_NEVER_WANTED = (("lora-trainer: applied weights are out of date", 0.0, 0.0, None),)
_CONDITIONING_CACHES = ("cached_c", "cached_uc", "cached_hr_c", "cached_hr_uc")


def lora_extension() -> ModuleType | None:
    """The built-in Lora extension's module, or None when it is disabled."""
    module = sys.modules.get("networks")
    return module if hasattr(module, "list_available_networks") else None


def forget(path: Path, *, is_lora: bool = True) -> None:
    """Forget everything that is cached of the LoRA file `path` and list the files again. Of an embedding (not `is_lora`)
    nothing but conditionings is: its folder is looked at before each generation.

    Takes the host's queue lock, so it waits for a running generation. Never call it from the event loop, nor with the
    lock held.
    """
    from modules import call_queue

    if not is_lora:
        with call_queue.queue_lock:
            _forget_conditioning()
        return
    networks = lora_extension()
    if networks is None:
        logger.warning("The Web UI's built-in Lora extension is off: %s appears when it is on again.", path.name)
        return
    with call_queue.queue_lock:
        _forget_parsed_file(networks, path)
        forget_facts(path.stem)
        networks.list_available_networks()
        _forget_applied_weights()
        _forget_conditioning()
    refresh_cards("lora")


def _forget_parsed_file(networks: ModuleType, path: Path) -> None:
    for network in [*_values(networks, "loaded_networks"), *_values(networks, "networks_in_memory")]:
        filename = getattr(getattr(network, "network_on_disk", None), "filename", None)
        if filename and _same_file(Path(filename), path):
            network.mtime = 0  # emptying the list instead would lose the embeddings bundled in the file
    cached = getattr(getattr(networks, "load_lora_state_dict", None), "cache_clear", None)
    if cached:
        cached()


def forget_facts(name: str) -> None:
    """Forget hash and metadata of the LoRA `name`: the host trusts only a newer time, of an older file it would show the old
    hash."""
    from modules import hashes

    cache = getattr(hashes, "cache", None)
    for section in ("hashes-addnet", "safetensors-metadata") if cache else ():
        cache(section).pop(f"lora/{name}", None)


def _forget_applied_weights() -> None:
    from modules import sd_models

    model = getattr(getattr(sd_models, "model_data", None), "sd_model", None)  # shared.sd_model would load one
    if model is None:
        return
    for layer in getattr(model, "network_layer_mapping", {}).values():
        if getattr(layer, "network_current_names", ()):
            layer.network_current_names = _NEVER_WANTED
    if hasattr(model, "current_lora_hash"):
        model.current_lora_hash = str(_NEVER_WANTED)
    for loader in _lora_loaders(model):
        loader.loaded_hash = str(_NEVER_WANTED)


def _lora_loaders(model: Any) -> list[Any]:
    """What merges LoRAs into the parts (UNet, text encoders) of a model of Forge, and takes names and strengths that it has
    merged for the same weights. A part is a patcher, or has one."""
    found: dict[int, Any] = {}
    for parts in [value for name, value in vars(model).items() if name.startswith("forge_objects") and value is not None]:
        for part in vars(parts).values():
            for patcher in (part, getattr(part, "patcher", None)):
                loader = getattr(patcher, "lora_loader", None)
                if hasattr(loader, "loaded_hash"):
                    found[id(loader)] = loader
    return list(found.values())


def _forget_conditioning() -> None:
    from modules import processing

    classes = [value for value in vars(processing).values() if isinstance(value, type)]
    for cls in classes:
        for name in _CONDITIONING_CACHES:
            cache = vars(cls).get(name)
            if isinstance(cache, list):
                cache[:] = [None] * len(cache)  # in place: every instance shares the list


def refresh_cards(page: str) -> None:
    """Make the stored HTML of the host's `page` ("lora", "checkpoints") of cards new, so that a browser page that is loaded
    from now on shows what it lists."""
    from modules import shared

    demo = getattr(shared, "demo", None)
    wanted = {f"{tab}_{page}_extra_refresh_internal" for tab in ("txt2img", "img2img")}
    ids = {number for number, block in getattr(demo, "blocks", {}).items() if getattr(block, "elem_id", None) in wanted}
    for call, targets in _functions(demo):
        if getattr(call, "__name__", "") == "refresh" and ids & targets:
            try:
                with _no_page_listed_anew(), gpu.model_stays_away():
                    call()
            except Exception:  # the host's own code; its cards are renewed by its button as well
                logger.exception("A page of cards of the Web UI could not be refreshed; its refresh button does it.")


@contextlib.contextmanager
def _no_page_listed_anew() -> Iterator[None]:
    """The LoRA files are listed by now, and the other pages need not be: that of the embeddings wants a loaded model, and that
    of the checkpoints empties their list for a moment, in which nothing can be drawn."""
    pages = getattr(sys.modules.get("modules.ui_extra_networks"), "extra_pages", [])
    for page in pages:
        page.refresh = lambda: None  # on the one object, over its class' own
    try:
        yield
    finally:
        for page in pages:
            vars(page).pop("refresh", None)


def _functions(demo: Any) -> Iterator[tuple[Any, set[int]]]:
    """The page's functions, each with the ids of the components whose events call it.

    gradio 3 keeps two lists side by side, of functions and of dictionaries; gradio 4 one table of functions that know
    their targets.
    """
    functions = getattr(demo, "fns", [])
    if isinstance(functions, dict):
        for function in list(functions.values()):
            yield getattr(function, "fn", None), _ids(getattr(function, "targets", []))
        return
    for dependency, function in zip(getattr(demo, "dependencies", []), functions, strict=False):
        if isinstance(dependency, dict):
            yield getattr(function, "fn", None), _ids(dependency.get("targets", []))


def _ids(targets: Iterable[Any]) -> set[int]:
    return {target[0] if isinstance(target, (list, tuple)) else target for target in targets}


def _values(module: ModuleType, name: str) -> list[Any]:
    held = getattr(module, name, [])
    return list(held.values()) if isinstance(held, dict) else list(held)


def _same_file(one: Path, other: Path) -> bool:
    return os.path.normcase(one.resolve()) == os.path.normcase(other.resolve())
