"""Folders, safe names and atomic writes. Standard library only; used by the host and by the worker."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit
from urllib.request import url2pathname

from .errors import InputError, SaveError

PACKAGE_DIR = Path(__file__).resolve().parent
ROOT_DIR = PACKAGE_DIR.parent
ASSETS_DIR = PACKAGE_DIR / "assets"

_WINDOWS_RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{stem}{digit}" for stem in ("COM", "LPT") for digit in "123456789")}
_AROUND = " \t\r\n\f\v\u00a0\u200b\u200e\u200f\u202a\u202b\u202c\ufeff"  # white space and marks that cannot be seen
_QUOTES = {('"', '"'), ("'", "'"), ("\u201c", "\u201d"), ("\u2018", "\u2019")}
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f]')


def safe_name(name: str, *, field: str = "") -> str:
    """Return `name` when it is a file name that every system accepts and that stays in its folder.

    Raises InputError for path separators, `..`, Windows' reserved names (CON, NUL, ...), control characters, the
    characters `<>:"|?*` (a `:` or `>` could not be written in `<lora:name:1>` either), and empty or over-long names.
    """

    def refuse(why: str) -> InputError:
        advice = "Use letters, digits, spaces, '-' and '_'."
        return InputError(f"the name “{printable(name)}” {why}.", field=field, advice=advice)

    if not name.strip():
        raise refuse("is empty")
    if name in {".", ".."} or _FORBIDDEN.search(name):
        raise refuse("contains a character that a file name cannot have")
    if name != name.strip() or name.endswith("."):
        raise refuse("begins or ends with a space, or ends with a dot")
    if name.split(".")[0].rstrip().upper() in _WINDOWS_RESERVED:
        raise refuse("is reserved by Windows")
    if len(name.encode("utf-8")) > 200:
        raise refuse("is longer than 200 bytes")
    return name


def printable(text: str) -> str:
    """The text as people typed it; what cannot be seen, or turns what follows round, is a mark."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def typed_path(text: str) -> str:
    """The path that a person means who typed or pasted `text`: without white space, marks and quotation marks around it.

    Windows' "Copy as path" puts quotation marks around a path and its properties dialog an invisible mark before it; browsers
    and desktops copy `file:///home/me/cats`.
    """
    path = text.strip(_AROUND)
    if len(path) > 1 and (path[0], path[-1]) in _QUOTES:
        path = path[1:-1].strip(_AROUND)
    if path.lower().startswith("file://"):
        path = url2pathname(urlsplit(path).path)
    return path


def user_path(text: str | Path) -> Path:
    """The path that a person means (see typed_path), with `~` as the home folder; left as it is where there is no such user."""
    path = Path(typed_path(str(text)))
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def is_hidden(path: Path, below: Path) -> bool:
    """Whether `path`, or a folder between it and `below`, has a name that begins with a dot: lists leave it out."""
    return any(part.startswith(".") for part in path.relative_to(below).parts)


def free_path(path: Path) -> Path:
    """`path`, or the first of `name-2`, `name-3`, ... (before the ending) that is not there."""
    candidate, number = path, 1
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate


def seen_from(path: Path) -> str:
    """Return " in FOLDER" for a relative `path`, for messages: nobody knows by heart where a program was started. Else ""."""
    return "" if path.is_absolute() else f" in {Path.cwd()}"


def write_atomic(path: Path, write: Callable[[BinaryIO], object], *, lasting: bool = True) -> None:
    """Let `write` fill a temporary file beside `path`, flush it to disk, then put it in place of `path`.

    A crash leaves the old file or the new one, never half of one. Raises SaveError when the disk is full or the folder
    cannot be written; the temporary file is removed then. The mode is that of a newly created file (0o666 less umask).
    Not `lasting`: for many small files that know when they are damaged; the system flushes them in its time.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=path.name[:100] + ".", suffix=".tmp", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            if lasting:
                os.fsync(file.fileno())
        as_new(temporary, 0o666)
        os.replace(temporary, path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text_atomic(path: Path, text: str) -> None:
    """Write UTF-8 `text` to `path` atomically (see write_atomic)."""
    write_atomic(path, lambda file: file.write(text.encode("utf-8")))


def as_new(path: Path, mode: int) -> None:
    """Give a temporary file or folder the rights of one that was made in the ordinary way: `mode` less umask."""
    if os.name == "posix":
        umask = os.umask(0)
        os.umask(umask)
        path.chmod(mode & ~umask)


def unwritable(what: Path | str, error: OSError) -> SaveError:
    """The error for what could not be written and left everything as it was."""
    return SaveError(
        f"{what} could not be written: {error.strerror or error}.",
        advice="Free some disk space or choose another output folder; nothing that was saved before is lost.",
    )
