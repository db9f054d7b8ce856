"""A checkpoint that was written: the host lists it, keeps it chosen where it was, and reads it anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import away, gpu, hotload


def changed(path: Path) -> None:
    """List the checkpoints anew, now that the file `path` is new, or another than it was. Waits for a running generation.

    The host's name of a checkpoint that it has loaded ends in the hash of its bytes. That of one which was written over means
    nothing any more, and the host would choose the first of its list instead: so the name without it is put in its place.
    """
    from modules import sd_models, shared

    options = getattr(getattr(shared, "opts", None), "data", {})
    was = away.is_of(_known(sd_models).get(options.get("sd_model_checkpoint")), path)
    sd_models.list_models()
    now = _known(sd_models)
    if was and options.get("sd_model_checkpoint") not in now:
        named = next((info for info in now.values() if away.is_of(info, path)), None)
        options["sd_model_checkpoint"] = getattr(named, "title", options["sd_model_checkpoint"])
    gpu.read_anew(path)
    hotload.refresh_cards("checkpoints")


def _known(sd_models: Any) -> dict[str, Any]:
    """The host's checkpoints by every name that it understands."""
    found: dict[str, Any] = getattr(sd_models, "checkpoint_aliases", {})
    return found
