"""A finished run's file becomes a LoRA of the host: copied whole into its folder, with the card the Web UI shows.

Beside `name.safetensors`: `name.json` (activation text, preferred weight, description) and `name.png` (the last sample).
Never a `name.txt`: the Web UI would show it as a description.
"""

from __future__ import annotations

import filecmp
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import SaveError
from ..foreign.json_text import read_number, read_table
from ..log import logger
from ..modelfile import LORA_SUFFIXES, copy_configuration
from ..options.trained import MODEL
from ..paths import write_atomic, write_text_atomic
from .folder import RunFolder
from .progress import Progress


def free_name(name: str, folder: Path, taken: set[str] | None = None) -> str:
    """`name`, or `name-2`, `name-3`, ... : the first that no LoRA in `folder` has and that is not in `taken`."""
    used = {taken_name.casefold() for taken_name in taken or ()}
    candidate, number = name, 1
    while candidate.casefold() in used or any((folder / f"{candidate}{suffix}").exists() for suffix in LORA_SUFFIXES):
        number += 1
        candidate = f"{name}-{number}"
    return candidate


def publish(
    source: Path, target: Path, *, overwrite: bool, card: Mapping[str, Any], preview: Path | None, shared: bool = False
) -> Path:
    """Copy `source` to `target` atomically, with card and preview; returns where it went. `shared`: where both lie on one
    drive, the copy is a second name of the same bytes, for files of gigabytes.

    Another LoRA of that name (whatever its ending) is kept unless `overwrite`; where it is kept,
    ours gets the next free number. Raises SaveError (disk full,
    source gone); nothing that was there before is lost.
    """
    if not source.is_file():
        raise SaveError(f"{source} is gone, so it could not be put into {target.parent}.", advice="Train it again.")
    others = [other for suffix in LORA_SUFFIXES if (other := target.with_suffix(suffix)) != target and other.exists()]
    is_taken = bool(others) or target.exists() and not filecmp.cmp(source, target, shallow=False)
    if is_taken and not overwrite:
        target = target.with_name(free_name(target.stem, target.parent) + target.suffix)
        others = []
    before = target.stat().st_mtime if target.exists() else 0.0
    if not (shared and _named_again(source, target)):
        with source.open("rb") as file:
            write_atomic(target, lambda out: shutil.copyfileobj(file, out, 1 << 20))
    after = target.stat().st_mtime
    if after <= before:  # the Web UI keeps hash and metadata of an older file with a newer time
        os.utime(target, (after, before + 1.0))
    for other in others:  # of the name that was to be overwritten: else <lora:name> would mean two files
        other.unlink(missing_ok=True)
    try:
        copy_configuration(source, target)
        _write_card(target.with_suffix(".json"), card)
        if preview is not None and preview.suffix.lower() == ".png" and preview.is_file():
            data = preview.read_bytes()
            write_atomic(target.with_suffix(".png"), lambda out: out.write(data))
    except (SaveError, OSError) as error:
        logger.warning("the card of %s could not be written: %s", target.name, error)
    return target


def _named_again(source: Path, target: Path) -> bool:
    """Let `target` be another name of the file `source`, atomically; whether the drive can do that.

    Whoever writes a new file to one of the two names leaves the other as it is; nothing of ours writes into a file.
    """
    temporary = target.with_name(f"{target.name[:100]}.{secrets.token_hex(4)}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(source, temporary)
        os.replace(temporary, target)
    except OSError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def publish_of(folder: RunFolder, source: Path, target: Path, progress: Progress, *, overwrite: bool) -> Path:
    """`publish` a file of a run with its card and the last sample that was drawn until it was saved."""
    step = next((saved.get("step") for path, saved in progress.files.items() if Path(path).name == source.name), None)
    drawn = [one for one in progress.samples if step is None or (one.get("step") or 0) <= step]
    sample = Path(str(drawn[-1].get("path", ""))).name if drawn else ""
    request, preview = folder.request(), folder.file(sample)
    shared = request.get("trains") == MODEL
    return publish(source, target, overwrite=overwrite, card=card_of(request), preview=preview, shared=shared)


def _write_card(path: Path, card: Mapping[str, Any]) -> None:
    """What the user wrote into an older card (notes, negative text, weight, description) stays."""
    old = read_table(path)
    kept = {key: old[key] for key in ("description", "preferred weight") if old.get(key)}
    write_text_atomic(path, json.dumps({**old, **card, **kept}, ensure_ascii=False, indent=4) + "\n")


def card_of(request: Mapping[str, Any]) -> dict[str, Any]:
    """The Web UI's card for a run, from its request: words that call the subject up, weight to begin with, kind of model."""
    told = {
        "description": str(request.get("description") or "Made with LoRA Trainer."),
        "sd version": str(request.get("sd_version") or "SD1"),
    }
    if request.get("trains") == MODEL:  # it is chosen, not written in a prompt
        return told
    return {
        **told,
        "activation text": str(request.get("activation") or ""),
        "preferred weight": read_number(dict(request), "preferred_weight") or 0.8,
    }
