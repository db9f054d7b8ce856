"""A training state as a folder: its names, its manifest, how it is written, checked and found. No torch.

    output_dir/NAME-000002-state   NAME-step00000412-state   NAME-state     as sd-scripts names them
    output_dir/.states/NAME/step00000412-state                              the rolling ones: lists of LoRA files leave them out

`state.json` says what the state is of, and size and SHA-256 of every other file. It is written last, and the whole under
another name until all of it is on the disk: what has a state's name is whole, and what became damaged later is told from it.
What the other files hold, `training.state` says.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..foreign.json_text import read_json, read_number
from ..foreign.reading import UnreadableError, is_file, is_folder, open_file
from ..paths import as_new, unwritable

MANIFEST = "state.json"
FORMAT, VERSION = "lora-trainer state", 1
ROLLING = ".states"
SUFFIX = "-state"
LATEST = "latest"
_PLAIN = re.compile(r"\w[\w-]{0,100}\.(json|safetensors)", re.ASCII)
_OF_THE_REFERENCE = ("train_state.json", "optimizer.bin", "scheduler.bin", "random_states_0.pkl")

Write = Callable[[Path], object]


@dataclass(frozen=True, kw_only=True)
class StateInfo:
    """A state as its manifest tells it. `epoch` counts whole epochs, `batch` the batches of the next one that are trained."""

    path: Path
    step: int
    epoch: int
    batch: int
    saved_at: float
    manifest: Mapping[str, Any]

    def table(self, key: str) -> dict[str, Any]:
        """The table at `key` of the manifest; empty when there is none."""
        found = self.manifest.get(key)
        return found if isinstance(found, dict) else {}


def rolling_folder(output_dir: Path, name: str) -> Path:
    """Where the rolling states of a training of this name lie."""
    return output_dir / ROLLING / name


# ---- writing ---------------------------------------------------------------------------------------------------------
def write_state(target: Path, files: Mapping[str, Write], about: Mapping[str, Any]) -> Path:
    """Write a state to the folder `target`, which must not be there; returns it.

    `files` are functions by file name, each called with the path to write to; `about` holds at least step, epoch and batch.
    A crash leaves the whole state or none. Raises SaveError when the disk is full or the folder cannot be written.
    """
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent))
        listed = {}
        for name, write in files.items():
            assert _PLAIN.fullmatch(name) and name != MANIFEST, name
            write(temporary / name)
            listed[name] = _settle(temporary / name)
        manifest = {"format": FORMAT, "version": VERSION, "saved_at": time.time(), **about, "files": listed}
        text = json.dumps({**manifest, "digest": _digest(manifest)}, ensure_ascii=False, indent=1)
        (temporary / MANIFEST).write_bytes(text.encode("utf-8", "replace"))
        _settle(temporary / MANIFEST)
        as_new(temporary, 0o777)
        _sync_folder(temporary)
        os.rename(temporary, target)  # noqa: PTH104 - atomic, and it fails where something is
        _sync_folder(target.parent)
    except OSError as error:
        raise unwritable(f"the training state {target}", error) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    return target


def _settle(path: Path) -> dict[str, Any]:
    """Flush a file to the disk; its size and digest."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    size, digest = _measure(path)
    return {"size": size, "sha256": digest}


def _measure(path: Path) -> tuple[int, str]:
    found, size = hashlib.sha256(), 0
    with open_file(path) as file:
        while chunk := file.read(1 << 20):
            found.update(chunk)
            size += len(chunk)
    return size, found.hexdigest()


def _digest(manifest: Mapping[str, Any]) -> str:
    text = json.dumps(manifest, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _sync_folder(folder: Path) -> None:
    """Let the folder's entries reach the disk, where a system can do that."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_state(folder: Path) -> None:
    """Remove a state: at no moment does a part of one have a state's name. Raises OSError."""
    doomed = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent))
    os.replace(folder, doomed / folder.name)
    shutil.rmtree(doomed, ignore_errors=True)


def remove_halves(folder: Path, name: str) -> None:
    """Remove what a killed training of the name `name` left half-written in `folder`."""
    half = re.compile(rf"\.({re.escape(name)}(-\d{{6}}|-step\d{{8,}})?|step\d{{8,}}){SUFFIX}\.\w+\.tmp")
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if half.fullmatch(path.name):
                shutil.rmtree(path, ignore_errors=True)


# ---- reading ---------------------------------------------------------------------------------------------------------
def read_manifest(folder: Path) -> StateInfo:
    """What the state in `folder` is of, from its manifest alone. Raises UnreadableError."""
    if not is_file(folder / MANIFEST):
        raise UnreadableError(_what_it_is(folder), "Name the folder of a state: its name ends with -state.")
    found = read_json(folder / MANIFEST)
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise UnreadableError(f"is no training state of this program ({MANIFEST} holds something else).")
    if found.get("version") != VERSION:
        raise UnreadableError("is a training state of another version of this program.", "Go on with that version.")
    digest = found.pop("digest", None)
    step, epoch, batch, saved_at = (read_number(found, key) for key in ("step", "epoch", "batch", "saved_at"))
    if digest != _digest(found) or step is None or epoch is None or batch is None or saved_at is None:
        raise UnreadableError(f"is damaged: its {MANIFEST} is not what was written.")
    return StateInfo(path=folder, step=int(step), epoch=int(epoch), batch=int(batch), saved_at=saved_at, manifest=found)


def read_state(folder: Path) -> StateInfo:
    """The same after every file was compared with the manifest. Raises UnreadableError for a state cut short or damaged."""
    info = read_manifest(folder)
    for name, written in info.table("files").items():
        if not _PLAIN.fullmatch(name) or not isinstance(written, dict):
            raise UnreadableError(f"is damaged: its {MANIFEST} names the file {name!r}.")
        if not is_file(folder / name):
            raise UnreadableError(f"is incomplete: {name} is missing.")
        size, digest = _measure(folder / name)
        if size != written.get("size"):
            raise UnreadableError(f"is cut short: {name} has {size:,} bytes, expected {written.get('size')}.")
        if digest != written.get("sha256"):
            raise UnreadableError(f"is damaged: {name} is not what was written.")
    return info


def is_of_reference(folder: Path) -> bool:
    """Whether this is a state of sd-scripts (accelerate's folder)."""
    return any(is_file(folder / name) for name in _OF_THE_REFERENCE)


def _what_it_is(folder: Path) -> str:
    if is_of_reference(folder):
        return (
            "is a state of sd-scripts (accelerate), whose files can hold code and lack the place in the data: "
            "it is not read. Go on from its LoRA file with network_weights instead."
        )
    if not is_folder(folder):
        return "is no folder that is there."
    return f"is no training state: there is no {MANIFEST} in it."


# ---- finding ---------------------------------------------------------------------------------------------------------
def states_in(folder: Path, name: str | None = None) -> list[Path]:
    """The folders in `folder` that are named as states (of a training `name`, if given), the newest first."""
    form = re.compile((re.escape(name) if name else ".*") + rf"(-\d{{6}}|-step\d{{8,}})?{SUFFIX}")
    try:
        named = [path for path in folder.iterdir() if form.fullmatch(path.name) and not path.name.startswith(".")]
    except OSError:
        return []
    return sorted((path for path in named if is_folder(path) and not is_of_reference(path)), key=_moment, reverse=True)


def states_of(output_dir: Path, name: str) -> list[Path]:
    """All states of the training `name`: the rolling ones and those beside its LoRA, the newest first."""
    found = [*states_in(rolling_folder(output_dir, name)), *states_in(output_dir, name)]
    return sorted(found, key=_moment, reverse=True)


def newest_good(folders: Iterable[Path]) -> tuple[StateInfo | None, list[str]]:
    """The first of `folders` that is whole, and a sentence for each before it that is not."""
    bad: list[str] = []
    for folder in folders:
        try:
            return read_state(folder), bad
        except UnreadableError as error:
            bad.append(f"{folder} {error}")
    return None, bad


def _moment(folder: Path) -> tuple[float, int]:
    """When a state was saved, and after which step."""
    try:
        info = read_manifest(folder)
        return info.saved_at, info.step
    except UnreadableError:
        with contextlib.suppress(OSError):
            return folder.stat().st_mtime, 0
        return 0.0, 0
