"""One picture by the Web UI itself: its model, its samplers, what its extensions have changed; with LoRA files that need not
be in its folder."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ...errors import HostError
from ...options.samplers import SAMPLERS
from . import gate, hotload


def paint(request: Mapping[str, Any], files: Mapping[str, Path], should_stop: Callable[[], bool]) -> bytes | None:
    """The PNG file of one picture (grids.book.Painter), with the text that the Web UI writes; None when it was broken off.

    Takes the host's queue lock, as every generation does. Raises HostError when the Web UI cannot draw it.
    """
    from modules import call_queue, shared

    with call_queue.queue_lock:
        if should_stop():
            return None
        shared.state.begin(job="LoRA Trainer")
        try:
            with _named(files) as names:
                return _drawn(request, names)
        except gate.CardIsTaken as error:
            raise HostError(error.detail) from error
        finally:
            was_interrupted = bool(shared.state.interrupted)
            shared.state.end()
            if was_interrupted:
                return None  # noqa: B012 - whatever became of it: the person did not want it


def _drawn(request: Mapping[str, Any], names: Mapping[str, str]) -> bytes | None:
    processing = importlib.import_module("modules.processing")
    sampler = SAMPLERS[str(request.get("sampler", "euler_a"))]
    kind = processing.StableDiffusionProcessingTxt2Img
    said: dict[str, Any] = {
        "prompt": _with(str(request["prompt"]), names),
        "negative_prompt": str(request.get("negative_prompt", "")),
        "seed": int(request.get("seed", -1)),
        "steps": int(request.get("steps", 20)),
        "cfg_scale": float(request.get("cfg_scale", 7.0)),
        "width": int(request.get("width", 512)),
        "height": int(request.get("height", 512)),
        "sampler_name": sampler.label,
        "batch_size": 1,
        "n_iter": 1,
        "do_not_save_samples": True,
        "do_not_save_grid": True,
        "override_settings": {"CLIP_stop_at_last_layers": int(request.get("clip_skip", 1))},
    }
    if "scheduler" in getattr(kind, "__dataclass_fields__", {}):
        said["scheduler"] = sampler.schedule_label
    elif sampler.schedule_label == "Karras":  # of a time when the schedule was part of the sampler's name
        said["sampler_name"] = sampler.title
    with contextlib.closing(kind(**said)) as p:
        p.is_api = True  # nobody shows a gallery for it
        processed = processing.process_images(p)
    if not processed.images:
        return None
    texts = getattr(processed, "infotexts", None) or [processed.info]
    return _png(processed.images[0], _with(str(texts[0]), {temporary: name for name, temporary in names.items()}))


def _png(image: Any, text: str) -> bytes:
    from PIL import PngImagePlugin

    info, out = PngImagePlugin.PngInfo(), io.BytesIO()
    info.add_text("parameters", text)
    image.save(out, "PNG", pnginfo=info)
    return out.getvalue()


def _with(text: str, names: Mapping[str, str]) -> str:
    """The text with other names for LoRA files: in their tags, and in the hashes that the Web UI lists."""
    for name, other in names.items():
        text = text.replace(f"<lora:{name}:", f"<lora:{other}:").replace(f"{name}: ", f"{other}: ")
    return text


@contextlib.contextmanager
def _named(files: Mapping[str, Path]) -> Iterator[dict[str, str]]:
    """The files as LoRAs of the host for a while, under names that no other file ever had: it keeps their weights by name.

    Gives {name: name for the host}. Raises HostError when its Lora extension is off.
    """
    networks = hotload.lora_extension()
    if networks is None and files:
        raise HostError("The Web UI's built-in Lora extension is off.", advice="Switch it on in Extensions.")
    given = {}
    tables = [getattr(networks, name) for name in ("available_networks", "available_network_aliases") if networks]
    for name, path in files.items():
        stat = path.stat()
        mark = hashlib.sha256(f"{path}|{stat.st_size}|{stat.st_mtime_ns}".encode()).hexdigest()[:16]
        given[name] = f"lora_trainer_{mark}"
        entry = sys.modules["network"].NetworkOnDisk(given[name], str(path))
        for table in tables:
            table[given[name]] = entry
    try:
        yield given
    finally:
        for temporary in given.values():
            for table in tables:
                table.pop(temporary, None)
            hotload.forget_facts(temporary)
