"""Images and captions dropped into the page: streamed to disk under their own names, so that pairs stay pairs."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from starlette.requests import ClientDisconnect, Request

from ..data.plan.caption_files import ENDINGS, CaptionFiles
from ..data.plan.files import EXTENSIONS, FactsCache, Listing, list_folder
from ..errors import InputError
from ..paths import safe_name, write_text_atomic
from .answers import Refusal

try:
    from python_multipart.multipart import MultipartParser, parse_options_header
except ImportError:  # its name before version 0.0.13
    from multipart.multipart import MultipartParser, parse_options_header

IMAGES = tuple(f".{extension}" for extension in EXTENSIONS)
CAPTIONS = (".txt", ".caption")
MAX_IMAGE = 256 << 20  # bytes
MAX_CAPTION = 1 << 20
MAX_FILES = 10_000  # in one request
_PART = ".part"
_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")


@dataclass
class Received:
    """What a request brought: names saved, names refused with the reason."""

    saved: list[str] = field(default_factory=list)
    refused: list[dict[str, str]] = field(default_factory=list)


class Uploads:
    """The folders below `root`, one for each set of files; an id is the folder's name."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._facts = FactsCache()

    def new(self) -> str:
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
        (self.root / name).mkdir(parents=True)
        return name

    def folder(self, upload_id: str) -> Path:
        """Raises Refusal (404) when there is no such folder."""
        folder = self.root / upload_id
        if not _ID.fullmatch(upload_id) or not folder.is_dir():
            raise Refusal(404, f"There is no upload {upload_id!r}.", advice="Drop the files again.")
        return folder

    def check_images(self, folder: Path, received: Received) -> None:
        """Take out of `folder` what was sent as an image but cannot be read as one."""
        images = [name for name in received.saved if name.lower().endswith(IMAGES)]
        for name, facts in zip(images, self._facts.look_at(str(folder / name) for name in images), strict=True):
            if facts.problem:
                (folder / name).unlink(missing_ok=True)
                received.saved.remove(name)
                received.refused.append({"name": name, "message": f"{facts.problem} {facts.advice}".strip()})

    def summary(self, upload_id: str, received: Received) -> dict[str, Any]:
        folder = self.folder(upload_id)
        listing = list_folder(folder)
        files = [CaptionFiles(listing, end) for end in CAPTIONS]
        lonely = [name for name in listing.images if not any(one.name_for(name) for one in files)]
        return {
            "id": upload_id,
            "folder": str(folder),
            "saved": received.saved,
            "refused": received.refused,
            "images": len(listing.images),
            "captions": len(listing.images) - len(lonely),
            "without_caption": lonely,
        }

    def set_caption(self, upload_id: str, name: str, caption: str, end: str, *, keep_lines: bool = False) -> None:
        """Write an image's caption: one line, or with `keep_lines` each line for itself. Blank, it is taken away.

        It goes into the file that is the image's caption already, whatever its exact name, unless others share it.
        Raises Refusal for an unknown image or ending.
        """
        folder = self.folder(upload_id)
        listing = list_folder(folder)
        if name not in listing.images:
            raise Refusal(404, f"There is no image {name!r} in this upload.")
        if end not in ENDINGS:
            raise Refusal(400, f"A caption ends in {' or '.join(ENDINGS)}, not in {end!r}.")
        path = folder / (_own_caption(name, CaptionFiles(listing, end), listing) or f"{Path(name).stem}{end}")
        lines = [" ".join(line.split()) for line in (caption.splitlines() if keep_lines else [caption])]
        if caption.strip():
            write_text_atomic(path, "\n".join(line for line in lines if line) + "\n")
        else:
            path.unlink(missing_ok=True)

    def delete(self, upload_id: str, name: str | None = None) -> None:
        """Delete the folder, or one image of it with its captions."""
        folder = self.folder(upload_id)
        if name is None:
            shutil.rmtree(folder, ignore_errors=True)
            return
        path = folder / safe_name(name, field="name")
        if not path.is_file():
            raise Refusal(404, f"There is no {name!r} in this upload.")
        listing = list_folder(folder)
        captions = [_own_caption(name, CaptionFiles(listing, end), listing) for end in ENDINGS]
        path.unlink()
        for caption in filter(None, captions):
            (folder / caption).unlink(missing_ok=True)

    def remove_leavings(self) -> None:
        """Half-received files of an earlier program, and folders that hold nothing."""
        for part in self.root.glob(f"*/*{_PART}"):
            part.unlink(missing_ok=True)
        for folder in self.root.glob("*/"):
            if _ID.fullmatch(folder.name) and folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def _own_caption(name: str, files: CaptionFiles, listing: Listing) -> str | None:
    """The caption file of the image `name`, unless another image shares it."""
    found = files.name_for(name)
    shared = found is not None and any(files.name_for(other) == found for other in listing.images if other != name)
    return None if shared else found


def clean_name(sent: str) -> str:
    """The name a file is kept under: its own, in Unicode's composed form, without what a file name cannot have.

    A dropped folder sends `folder/sub/1.png`: the sub-folders become part of the name (`sub_1.png`), for image and caption
    alike. Raises InputError when nothing usable is left.
    """
    parts = [part for part in PurePosixPath(unicodedata.normalize("NFC", sent).replace("\\", "/")).parts if part not in "/.."]
    name = "_".join(parts[1:] if len(parts) > 1 else parts)
    name = re.sub(r'[<>:"|?*\x00-\x1f]', "_", name).strip().rstrip(".").lstrip(".")
    stem, dot, ending = name.rpartition(".")
    if len(name.encode("utf-8")) > 180:
        name = stem.encode("utf-8")[: 170 - len(ending)].decode("utf-8", errors="ignore") + dot + ending
    try:
        return safe_name(name)
    except InputError:
        return safe_name(f"_{name}")


class _Receiver:
    """Writes the files of one multipart body into `folder`, each under a temporary name until it is whole."""

    def __init__(self, folder: Path, boundary: bytes) -> None:
        self.folder = folder
        self.received = Received()
        self._headers: dict[str, bytes] = {}
        self._header_name = b""
        self._header_value = b""
        self._name = ""
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
        self._name, self._size = "", 0
        if sent is None:
            return  # a field, not a file
        self._files += 1
        if self._files > MAX_FILES:
            raise Refusal(413, f"More than {MAX_FILES:,} files were sent.", advice="Send them in several drops.")
        shown = sent.decode("utf-8", errors="replace").replace("%22", '"')
        try:
            name = clean_name(shown)
        except InputError as error:
            self.received.refused.append({"name": shown, "message": str(error)})
            return
        ending = Path(name).suffix.lower()
        if ending not in (*IMAGES, *CAPTIONS):
            kinds = ", ".join((*IMAGES, *CAPTIONS))
            self.received.refused.append({"name": shown, "message": f"Only images and captions are taken ({kinds})."})
            return
        self._name, self._limit = name, MAX_CAPTION if ending in CAPTIONS else MAX_IMAGE
        self._file = (self.folder / f"{name}{_PART}").open("wb")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._file is None:
            return
        self._size += end - start
        if self._size > self._limit:
            self._drop()
            self.received.refused.append({"name": self._name, "message": f"It is larger than {self._limit >> 20} MB."})
            return
        self._file.write(data[start:end])

    def _end(self) -> None:
        if self._file is None:
            return
        self._file.close()
        self._file = None
        os.replace(self.folder / f"{self._name}{_PART}", self.folder / self._name)
        if self._name not in self.received.saved:
            self.received.saved.append(self._name)

    def _drop(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
            (self.folder / f"{self._name}{_PART}").unlink(missing_ok=True)

    close = _drop


async def receive(request: Request, folder: Path, run: Callable[..., Any]) -> Received:
    """Stream the files of a multipart request into `folder`; `await run(function, *arguments)` keeps the disk off the loop.

    A request that breaks off leaves the files that came whole. Raises Refusal: 400 not multipart or broken off, 413, 507.
    """
    _, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary")
    if not boundary:
        raise Refusal(400, "The upload has no boundary, so it cannot be taken apart.")
    receiver = _Receiver(folder, boundary)
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
    return receiver.received
