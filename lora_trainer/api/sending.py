"""Files as answers, read in threads of our own: the Web UI's are all taken while many generations wait."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse

from .answers import HEADERS, missing
from .service import Service

_CHUNK = 1 << 20  # bytes; what is not larger is read at once
_KINDS = {
    ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp", ".bmp": "image/bmp",
    ".avif": "image/avif", ".txt": "text/plain", ".toml": "text/plain",
}  # fmt: skip


async def file_answer(service: Service, path: Path) -> Response:
    """A file as what it is; anything but a picture or text as a download. Raises Refusal (404) when it has
    gone. Nothing is ever run by the browser that is not ours."""
    kind = _KINDS.get(path.suffix.lower())
    headers = {"Cache-Control": "private, no-cache", **HEADERS}
    if kind is None:
        headers["Content-Disposition"] = attachment(path.name)
    try:
        file, size = await service.look(_opened, path)
    except OSError as error:
        raise missing(f"file {path.name!r} any more") from error
    headers["Content-Length"] = str(size)
    return StreamingResponse(_parts(service, file, size), media_type=kind or "application/octet-stream", headers=headers)


def _opened(path: Path) -> tuple[BinaryIO, int]:
    if not path.is_file():  # opening a pipe would wait for its other end
        raise FileNotFoundError(path)
    file = path.open("rb")
    return file, path.stat().st_size


async def _parts(service: Service, file: BinaryIO, size: int) -> AsyncIterator[bytes]:
    """The first `size` bytes: a log may grow meanwhile."""
    with file:
        while size > 0:
            part = await service.look(file.read, min(_CHUNK, size))
            if not part:
                return
            size -= len(part)
            yield part


def attachment(name: str) -> str:
    """A Content-Disposition that makes the browser save the file under `name` (RFC 6266)."""
    return f"attachment; filename*=utf-8''{quote(name, safe='')}"
