"""Putting new contents in place of many small files: all of them, or none.

Everything is first written under temporary names beside the files, where a full disk or a folder that cannot be written shows,
then flushed, then renamed. No file is ever written into: a program that reads one, or a run that keeps a hard link to it, has
the old contents or the new.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

from ..errors import SaveError
from .model import Stamp

_EACH = 64  # files that are flushed one by one; for more the whole disk is, once
_THREADS = 8
Result = TypeVar("Result")
Contents = bytes | None  # None: no file


class Target(NamedTuple):
    path: Path
    before: Contents
    after: Contents


def part_of(path: Path, step: int, place: int) -> Path:
    """The temporary name of a file of a step, hidden from every list."""
    return path.with_name(f".lora-trainer-{step}-{place}.part")


def write_all(targets: list[Target], step: int) -> list[Stamp | None]:
    """Give each file its contents `after`; returns the stamps (None where there is no file now).

    Raises SaveError, and then every file is as it was before.
    """
    parts = [part_of(target.path, step, place) for place, target in enumerate(targets)]
    there: list[Target] = []  # what has its new contents
    try:
        stamps = _each(lambda place: _write(parts[place], targets[place]), targets)
        _flush([part for part, target in zip(parts, targets, strict=True) if target.after is not None])

        def put(place: int) -> None:
            _put(parts[place], targets[place])
            there.append(targets[place])

        _each(put, targets)
    except OSError as error:
        _remove(parts)
        if there:
            _put_back(there, step, error)
        raise _refused(error) from error
    except BaseException:
        _remove(parts)
        raise
    return stamps


def _each(work: Callable[[int], Result], targets: list[Target]) -> list[Result]:
    """`work` for the place of each target, by several threads: a rename waits for the disk, not for the processor.

    Raises the first error, when nothing is at work any more.
    """
    if len(targets) <= _EACH:
        return [work(place) for place in range(len(targets))]
    failed = threading.Event()

    def guarded(place: int) -> Result:
        if failed.is_set():
            raise _Skipped
        try:
            return work(place)
        except BaseException:
            failed.set()
            raise

    with ThreadPoolExecutor(_THREADS) as pool:
        jobs = [pool.submit(guarded, place) for place in range(len(targets))]
    errors = [error for job in jobs if (error := job.exception()) is not None]
    for error in sorted(errors, key=lambda error: isinstance(error, _Skipped)):
        raise error
    return [job.result() for job in jobs]


class _Skipped(Exception):
    """Not begun, because another failed."""


def clean(folder: Path, step: int) -> None:
    """Take away what a program that was ended left under temporary names of a step."""
    _remove(folder.glob(f".lora-trainer-{step}-*.part"))


def _remove(parts: Iterable[Path]) -> None:
    for part in parts:
        with contextlib.suppress(OSError):
            part.unlink()


def _write(part: Path, target: Target) -> Stamp | None:
    if target.after is None:
        return None
    with part.open("wb") as file:
        file.write(target.after)
        file.flush()
        stat = os.fstat(file.fileno())
    if target.before is not None:
        with contextlib.suppress(OSError):
            shutil.copymode(target.path, part)
    return Stamp(stat.st_size, stat.st_mtime_ns)


def _flush(parts: list[Path]) -> None:
    if len(parts) > _EACH and hasattr(os, "sync"):
        os.sync()  # twenty thousand flushes one by one take minutes
        return
    for part in parts:
        with part.open("rb+") as file:
            os.fsync(file.fileno())


def _put(part: Path, target: Target) -> None:
    if target.after is None:
        target.path.unlink(missing_ok=True)
    else:
        os.replace(part, target.path)


def _put_back(targets: list[Target], step: int, cause: OSError) -> None:
    """Undo what was renamed already. Raises SaveError that names the files for which that fails, too."""
    for place, target in enumerate(targets):
        try:
            part = part_of(target.path, step, place)
            back = Target(target.path, None, target.before)
            if target.before is not None:
                _write(part, back)
            _put(part, back)
        except OSError as error:
            raise SaveError(
                f"{target.path} could not be written ({cause.strerror or cause}), and what was changed could not be put back.",
                advice=f"{error.strerror or error}. Open the data set again when the disk can be written: it is put back then.",
            ) from error


def _refused(error: OSError) -> SaveError:
    name = error.filename2 or error.filename
    folder = Path(os.fsdecode(name)).parent if name is not None else "the folder"
    return SaveError(
        f"The captions in {folder} could not be written: {error.strerror or error}. Nothing was changed.",
        advice="Free some disk space, or see whether the folder may be written.",
    )
