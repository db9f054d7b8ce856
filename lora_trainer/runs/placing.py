"""Which of a run's saved files lies in the LoRA folder under its name, and how another one takes its place.

`placed.json` in the run's folder notes what was put there last: {"path", "file", "stamp", "chosen"}, and with a word beside
the LoRA {"word", "word_stamp"}: where that was put among the embeddings. What a person has put
there since, whatever its name, is theirs: it is not ours to replace, unless it is one of the saved files byte for byte.
"""

from __future__ import annotations

import filecmp
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, SaveError, StoreError
from ..foreign.json_text import read_table
from ..modelfile import LORA_SUFFIXES
from ..paths import write_atomic, write_text_atomic
from . import result
from .events import EventWriter
from .folder import WORD, RunFolder
from .progress import Progress


@dataclass(frozen=True, kw_only=True)
class InUse:
    """What lies in the LoRA folder under a run's name. `path` is None before anything was put there; `file` is the saved file
    that it is, "" where it is none of them; `chosen`: a person has put it there, not the end of the training."""

    path: Path | None = None
    file: str = ""
    is_there: bool = False
    chosen: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For the page."""
        name = self.path.stem if self.path else None
        return {"name": name, "file": self.file or None, "there": self.is_there, "chosen": self.chosen}


def in_use(folder: RunFolder, known: str = "") -> InUse:
    """How it stands now. `known` is where the result is known to lie where nothing is noted (an older program's run)."""
    note = read_table(folder.placed)
    path = Path(str(note.get("path") or known)) if note.get("path") or known else None
    if path is None:
        return InUse()
    stamp = _stamp(path)
    if stamp is None:
        return InUse(path=path)
    noted = str(note.get("file") or "")
    file = noted if stamp == note.get("stamp") else _same_as(folder, path, noted)
    return InUse(path=path, file=file, is_there=True, chosen=bool(note.get("chosen")) and bool(file))


def use(
    folder: RunFolder, run: str, name: str, progress: Progress, *, overwrite: bool = False, as_result: bool = False
) -> Path:
    """Put a saved file of the run called `run` into the LoRA folder, under its own name or the run's (`as_result`).

    There it takes the place of the run's file that lies there. Somebody else's LoRA of that name is kept unless `overwrite`.
    Raises InputError for a file that was not saved, StoreError where it is not known which folder that is, SaveError.
    """
    source = folder.file(name)
    if source is None or source.suffix not in LORA_SUFFIXES:
        raise InputError(f"{run} has no saved file {name!r}.", field="file")
    asked = folder.request().get("target")
    if not asked:
        raise StoreError(f"{folder.path / 'request.json'} is damaged.", advice="Copy the file by hand.")
    target = Path(str(asked))
    if not as_result:
        return result.publish_of(folder, source, target.with_name(name), progress, overwrite=overwrite)
    return _put(folder, source, target, progress, in_use(folder), overwrite=overwrite, chosen=True)


def put_final(folder: RunFolder, progress: Progress) -> tuple[Path, str] | None:
    """Put the file of an ended training into the LoRA folder: (where it went, what is to be said of it).

    None where it saved nothing, or its folder does not know where to. Raises SaveError.
    """
    request, saved = folder.request(), (progress.finished or {}).get("path")
    if not saved or not request.get("target"):
        return None
    source, now = folder.path / str(saved), in_use(folder)  # an absolute path stays as it is
    message = _kept(folder, now) if now.chosen and now.file != source.name else ""
    target, overwrite = Path(str(request["target"])), bool(request.get("overwrite"))
    return _put(folder, source, target, progress, now, overwrite=overwrite, chosen=False), message


def keep_final(folder: RunFolder, progress: Progress, known: str) -> None:
    """Before another worker goes on: the final file of the one before stays, under the name of its step, as all saved ones.

    `known` is where an older program has put the run's result. Raises SaveError.
    """
    now, told = in_use(folder, known), progress.finished or {}
    final, step, file = folder.path / str(told.get("path") or "-"), told.get("step"), now.file
    if isinstance(step, int) and final.parent == folder.output and final.is_file():
        kept = final.with_name(f"{final.stem}-step{step:08d}{final.suffix}")
        if not kept.exists():  # else the same was saved at that step, too
            _rename_saved(folder, final, kept, {"step": step, "epoch": progress.epoch})
        file = kept.name if file == final.name else file
    if now.path is not None and file:
        _note(folder, now.path, file, chosen=now.chosen)


def _rename_saved(folder: RunFolder, path: Path, new: Path, known: Mapping[str, Any]) -> None:
    """Rename a saved file of a run whose worker has ended, and tell of it as a worker would."""
    try:
        path.rename(new)
        writer = EventWriter(folder.events)
        writer.write({"type": "saved", "path": str(new), **known, "final": False})
        writer.close()
    except OSError as error:
        raise SaveError(f"{path} could not be renamed to {new.name}: {error.strerror or error}.") from error


def _put(
    folder: RunFolder, source: Path, target: Path, progress: Progress, now: InUse, *, overwrite: bool, chosen: bool
) -> Path:
    """Let `source` lie where the run's file lies; else at `target`, or beside it where somebody else's does."""
    word = _put_word(folder, source, overwrite=overwrite)
    if now.path is not None and now.file:
        target, overwrite = now.path, True
    path = result.publish_of(folder, source, target.with_suffix(source.suffix), progress, overwrite=overwrite)
    _note(folder, path, source.name, chosen=chosen, word=word)
    return path


def word_of(folder: RunFolder) -> str:
    """Where the word lies that was saved beside the run's LoRA, among the embeddings; "" for none."""
    word = str(read_table(folder.placed).get("word") or "")
    return word if word and Path(word).is_file() else ""


def _put_word(folder: RunFolder, source: Path, *, overwrite: bool) -> Path | None:
    """Put the word that lies beside the LoRA `source` into the host's folder of embeddings; where it went, None for none."""
    request, note = folder.request(), read_table(folder.placed)
    beside, target = source.with_stem(f"{source.stem}{WORD}"), request.get("word_target")
    if not target or not beside.is_file():
        return None
    if note.get("word"):
        last = Path(str(note["word"]))
        target, overwrite = (last, True) if _stamp(last) == note.get("word_stamp") else (target, overwrite)
    to = Path(str(target)).with_suffix(source.suffix)
    return result.publish(beside, to, overwrite=overwrite, card=result.card_of(request), preview=None)


def _kept(folder: RunFolder, now: InUse) -> str:
    """See that what a person chose is among the saved files, from which older ones may have been removed; what to say."""
    assert now.path is not None
    saved = folder.output / now.file
    if not saved.is_file():
        with now.path.open("rb") as file:
            write_atomic(saved, lambda out: shutil.copyfileobj(file, out, 1 << 20))
    return (
        f"{now.path.stem} is now what this training came to. {now.file}, which was in use until now, is still among its files."
    )


def _same_as(folder: RunFolder, path: Path, noted: str = "") -> str:
    """The saved file that is the same byte for byte, of several the `noted` one; "" for none."""
    for saved in sorted(reversed(folder.saved_loras()), key=lambda one: one.name != noted):
        try:
            if filecmp.cmp(saved, path, shallow=False):
                return saved.name
        except OSError:
            continue
    return ""


def _note(folder: RunFolder, path: Path, file: str, *, chosen: bool, word: Path | None = None) -> None:
    note: dict[str, Any] = {"path": str(path), "file": file, "stamp": _stamp(path), "chosen": chosen}
    if word is not None:
        note |= {"word": str(word), "word_stamp": _stamp(word)}
    write_text_atomic(folder.placed, json.dumps(note) + "\n")


def _stamp(path: Path) -> list[int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns]
