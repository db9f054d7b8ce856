"""The files of a multipart request, streamed to disk without being held in memory."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from starlette.requests import ClientDisconnect, Request

from ..errors import InputError
from .answers import Refusal
from .upload_names import CAPTIONS, Sent, clean_name, kind_problem

try:
    from python_multipart.multipart import MultipartParser, parse_options_header
except ImportError:  # its name before version 0.0.13
    from multipart.multipart import MultipartParser, parse_options_header

MAX_IMAGE = 256 << 20  # bytes
MAX_CAPTION = 1 << 20
MAX_FILES = 10_000  # in one request
PART = ".part"


@dataclass(frozen=True)
class Wanted:
    """What an upload may bring: why a file of a name is not taken ("" when it is), how large one may be, and how many."""

    problem: Callable[[str], str]
    limit: Callable[[str], int]
    most: int


def pictures() -> Wanted:
    """Pictures and their captions."""
    return Wanted(kind_problem, lambda name: MAX_CAPTION if name.endswith(CAPTIONS) else MAX_IMAGE, MAX_FILES)


@dataclass
class Arrivals:
    """What came whole and waits for its name in the folder, and what was refused: {name as it was sent, message}."""

    whole: list[Sent] = field(default_factory=list)
    refused: list[dict[str, str]] = field(default_factory=list)

    def refuse(self, sent: str, message: str) -> None:
        self.refused.append({"name": sent, "message": message})


class _Receiver:
    """Writes the files of one multipart body into `folder`, each under a temporary name."""

    def __init__(self, folder: Path, boundary: bytes, arrivals: Arrivals, wanted: Wanted) -> None:
        self.folder = folder
        self.wanted = wanted
        self.arrivals = arrivals
        self._headers: dict[str, bytes] = {}
        self._header_name = b""
        self._header_value = b""
        self._sent: Sent | None = None
        self._limit = 0
        self._size = 0
        self._files = 0
        self._file: BinaryIO | None = None
        callbacks: dict[str, Callable[..., None]] = {
            "on_part_begin": self._begin,
            "on_header_field": self._field,
            "on_header_value": self._value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._open,
            "on_part_data": self._data,
            "on_part_end": self._end,
        }
        self.parser: Any = MultipartParser(boundary, callbacks)  # type: ignore[arg-type]

    def _begin(self) -> None:
        self._headers, self._header_name, self._header_value = {}, b"", b""

    def _field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._header_name.decode("latin-1").lower()] = self._header_value
        self._header_name, self._header_value = b"", b""

    def _open(self) -> None:
        sent = parse_options_header(self._headers.get("content-disposition", b""))[1].get(b"filename")
        self._sent, self._size = None, 0
        if sent is None:
            return  # a field, not a file
        self._files += 1
        if self._files > self.wanted.most:
            raise Refusal(413, f"More than {self.wanted.most:,} files were sent.", advice="Send them in several drops.")
        shown = sent.decode("utf-8", errors="replace").replace("%22", '"')
        try:
            name = clean_name(shown)
        except InputError as error:
            self.arrivals.refuse(shown, str(error))
            return
        problem = self.wanted.problem(name)
        if problem:
            self.arrivals.refuse(shown, problem)
            return
        # A name that nobody else has: the same file may be on its way a second time.
        self._sent = Sent(shown, name, self.folder / f".{secrets.token_hex(8)}{PART}")
        self._limit = self.wanted.limit(name)
        self._file = self._sent.file.open("wb")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._file is None or self._sent is None:
            return
        self._size += end - start
        if self._size > self._limit:
            self._drop()
            self.arrivals.refuse(self._sent.sent, f"It is larger than {self._limit >> 20} MB.")
            return
        self._file.write(data[start:end])

    def _end(self) -> None:
        if self._file is None or self._sent is None:
            return
        self._file.close()
        self._file = None
        self.arrivals.whole.append(self._sent)

    def _drop(self) -> None:
        if self._file is not None and self._sent is not None:
            self._file.close()
            self._file = None
            self._sent.file.unlink(missing_ok=True)

    close = _drop


async def receive(
    request: Request, folder: Path, run: Callable[..., Any], arrivals: Arrivals, wanted: Wanted | None = None
) -> None:
    """Stream the files of a multipart request into `folder`; `await run(function, *arguments)` keeps the disk off the loop.

    `arrivals` is filled as they come: a request that breaks off leaves the files that came whole in it. Raises Refusal: 400 not
    multipart or broken off, 413 too many files, 507 no space.
    """
    _, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary")
    if not boundary:
        raise Refusal(400, "The upload has no boundary, so it cannot be taken apart.")
    receiver = _Receiver(folder, boundary, arrivals, wanted or pictures())
    try:
        async for chunk in request.stream():
            await run(receiver.parser.write, chunk)
        receiver.parser.finalize()
    except ClientDisconnect as error:
        raise Refusal(400, "The upload was broken off.") from error
    except OSError as error:
        raise Refusal(507, f"The upload could not be written: {error.strerror}.", advice="Free some disk space.") from error
    except ValueError as error:  # the parser's own errors
        raise Refusal(400, f"The upload is not whole: {error}.") from error
    finally:
        receiver.close()
