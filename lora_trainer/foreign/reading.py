"""Opening and reading files that others made: regular files alone, never more bytes than a limit, every failure one error."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import LoraTrainerError

TEXT_LIMIT = 16 << 20  # bytes of a text that a person or a program wrote: settings, prompts, cards
_SHOWN = 300  # characters of a path in a message
_KINDS = (
    (stat.S_ISDIR, "is a folder, but a file is expected."),
    (stat.S_ISFIFO, "is a pipe, not a file: it is not opened."),
    (stat.S_ISSOCK, "is a socket, not a file: it is not opened."),
    (stat.S_ISCHR, "is a device, not a file: it is not opened."),
    (stat.S_ISBLK, "is a device, not a file: it is not opened."),
)


class UnreadableError(ValueError):
    """A file cannot be used. The message goes behind the file's name ("is cut short: ..."); `advice` says what to do.

    `line` and `column` are the place that is wrong, where there is one.
    """

    def __init__(self, message: str, advice: str = "", *, line: int | None = None, column: int | None = None) -> None:
        self.advice = advice
        self.line = line
        self.column = column
        super().__init__(message)


@contextlib.contextmanager
def errors_as(kind: type[LoraTrainerError], path: Path | str, **named: Any) -> Iterator[None]:
    """Turn an UnreadableError inside into a `kind` (made with `named`, too) whose message begins with the file's name."""
    try:
        yield
    except UnreadableError as error:
        raise kind(f"{shown(path)} {error}", advice=error.advice, **named) from error


def shown(path: Path | str) -> str:
    """`path` as a message can have it: text that every terminal and every answer can hold, of a length to read."""
    text = str(path).encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]}...{text[-_SHOWN // 2 :]}"


def is_file(path: Path | str) -> bool:
    """Whether a regular file is there; never raises, whatever `path` is (of 5,000 characters, with a NUL, not allowed)."""
    try:
        return stat.S_ISREG(Path(path).stat().st_mode)
    except (OSError, ValueError):
        return False


def is_folder(path: Path | str) -> bool:
    """The same for a folder."""
    try:
        return stat.S_ISDIR(Path(path).stat().st_mode)
    except (OSError, ValueError):
        return False


def is_there(path: Path | str) -> bool:
    """Whether anything is there that can be looked at; a link to nothing is not."""
    try:
        Path(path).stat()
    except (OSError, ValueError):
        return False
    return True


@contextlib.contextmanager
def open_file(path: Path | str) -> Iterator[BinaryIO]:
    """Open a regular file for reading. Raises UnreadableError for all else, without waiting for a writer of a pipe."""
    try:
        _check_kind(Path(path).stat().st_mode)  # before it is opened: to open a device can do something
        flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
        file = os.fdopen(os.open(path, flags), "rb")
    except (OSError, ValueError) as error:
        if isinstance(error, UnreadableError):
            raise
        raise _no_access(path, error) from error
    with file:
        _check_kind(os.fstat(file.fileno()).st_mode)
        try:
            yield file
        except OSError as error:
            raise _no_access(path, error) from error


def size_of(file: BinaryIO) -> int:
    """The size of an open file in bytes."""
    return os.fstat(file.fileno()).st_size


def read_bytes(path: Path | str, *, limit: int = TEXT_LIMIT) -> bytes:
    """The whole file. Raises UnreadableError when it has more than `limit` bytes or cannot be read."""
    with open_file(path) as file:
        if size_of(file) <= limit:
            data = file.read(limit + 1)
            if len(data) <= limit:
                return data
        raise UnreadableError(f"is too large: it has more than the {limit:,} bytes that are read of such a file.")


def read_text(path: Path | str, *, limit: int = TEXT_LIMIT) -> str:
    """The whole file as text in UTF-8, without its byte order mark. Raises UnreadableError, with the line where it is none."""
    data = read_bytes(path, limit=limit)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        message = f"is not a UTF-8 text file (byte {error.start}, in line {line})."
        raise UnreadableError(message, "Save it again with the encoding UTF-8.", line=line) from error


def _check_kind(mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise UnreadableError(next((words for is_so, words in _KINDS if is_so(mode)), "is no file."), "Choose a file.")


def _no_access(path: Path | str, error: OSError | ValueError) -> UnreadableError:
    if isinstance(error, FileNotFoundError):
        with contextlib.suppress(OSError, ValueError):
            if Path(path).is_symlink():
                return UnreadableError(f"is a link to {shown(Path(path).readlink())}, which does not exist.", "Mend the link.")
        return UnreadableError("does not exist.", "Check the path for typing errors.")
    if isinstance(error, OSError):
        return UnreadableError(f"cannot be read: {error.strerror or error}.", "Check the path and its permissions.")
    return UnreadableError("is no path: it holds characters that no file name has.", "Check the path for typing errors.")
