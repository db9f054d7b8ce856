"""What a .ckpt or .pt file (torch.save) holds, from the operations of its pickle alone. Nothing is unpickled, nothing unpacked.

The bounds are far above what real files have: 2,500 tensors of an SDXL checkpoint are a pickle of 300 KB and 80,000 operations.
"""

from __future__ import annotations

import itertools
import os
import pickletools
import re
import struct
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

from .reading import UnreadableError, open_file, size_of
from .safetensors_header import DOWNLOAD_AGAIN

MAX_PICKLE = 32 << 20  # bytes
MAX_OPERATIONS = 2_000_000
_MAX_DIRECTORY = 16 << 20  # bytes of a zip file's table of contents
_LONG_NUMBER = re.compile(rb"\d{1000}")
_LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # 0x1950a86a20f9469cfc6c, pickled
# What the pickle of a checkpoint calls. Anything else could run code when it is loaded (torch's weights_only, which has the
# last word, refuses it too). Lightning's callback in Stability's own early files and the ParameterDict in the first embeddings
# are replaced by classes that do nothing (`tensors`).
_SAFE_GLOBALS = re.compile(
    r"collections (OrderedDict|Counter)|torch \w+Storage|torch\.storage \w+"
    r"|torch (Size|Tensor|device|u?int\d+|b?float\d\w*|complex\d+|q\w*int\w+|per_\w+_affine|bool)"
    r"|torch\._utils _rebuild_\w+|torch\._tensor _rebuild_from_type_v2|torch\.nn\.parameter Parameter"
    r"|torch\.serialization _get_layout|_codecs encode|(__builtin__|builtins) set"
    r"|pytorch_lightning\.callbacks\.model_checkpoint ModelCheckpoint|torch\.nn\.modules\.container ParameterDict"
)


def is_pickled(start: bytes) -> bool:
    """Whether a file that begins so (9 bytes or more) was made by torch.save, whatever its name says."""
    return start.startswith(b"PK\x03\x04") or (start[:1] == b"\x80" and start[8:9] != b"{")


def read_pickle_names(path: Path | str) -> list[str]:
    """Return all texts in the pickle of a torch.save file, among them the tensors' names.

    Raises UnreadableError when the file is cut short, when its pickle names anything that could run code, and when it would
    unpack to more than it is.
    """
    with open_file(path) as file:
        magic = file.read(4)
        if not magic:
            raise UnreadableError("is empty: it has 0 bytes.", DOWNLOAD_AGAIN)
        file.seek(0)
        if magic.startswith(b"PK"):
            pickled = _zipped_pickle(file)
        elif magic[:1] == b"\x80":  # before torch 1.6: several pickles, then the tensors' bytes
            pickled = file.read(MAX_PICKLE)
        else:
            message = "is not a checkpoint: it is neither a zip file nor a pickle (a web page, perhaps?)."
            raise UnreadableError(message, DOWNLOAD_AGAIN)
    return _texts(pickled)


def _zipped_pickle(file: BinaryIO) -> bytes:
    _check_directory(file)
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            inner = next((entry for entry in entries if entry.filename.endswith("data.pkl")), None)
            if inner is None:
                message = "is a zip file, but not one that torch.save made: it holds no data.pkl."
                raise UnreadableError(message, DOWNLOAD_AGAIN)
            if sum(entry.file_size for entry in entries) > size_of(file):
                message = "is a zip file whose contents are packed: torch.save packs nothing. It was not unpacked."
                raise UnreadableError(message, "Use a .safetensors version of this model.")
            if inner.file_size > MAX_PICKLE:
                raise UnreadableError(f"is damaged: its data.pkl has {inner.file_size:,} bytes.", DOWNLOAD_AGAIN)
            return archive.read(inner)
    except UnreadableError:
        raise
    except Exception as error:  # zipfile raises BadZipFile and many others for broken input
        # The directory of a zip file is at its end, so that a file cut short has none.
        message = f"is cut short or damaged: its zip directory cannot be read ({_reason(error)})."
        raise UnreadableError(message, DOWNLOAD_AGAIN) from error


def _check_directory(file: BinaryIO) -> None:
    """Refuse a table of contents that would take minutes and gigabytes; one that is not found is zipfile's to complain of."""
    size = size_of(file)
    file.seek(max(0, size - 65_600))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        return
    length = struct.unpack_from("<L", tail, at + 12)[0]
    if length == 0xFFFFFFFF or tail[at - 20 : at - 16] == b"PK\x06\x07":  # zip64: the record has the true length
        wide = tail.rfind(b"PK\x06\x06", 0, at)
        length = struct.unpack_from("<Q", tail, wide + 40)[0] if 0 <= wide <= len(tail) - 56 else length
    file.seek(0, os.SEEK_SET)
    if length > _MAX_DIRECTORY:
        raise UnreadableError(f"is no checkpoint: its zip directory has {length:,} bytes.", DOWNLOAD_AGAIN)


def _texts(pickled: bytes) -> list[str]:
    """Walk through the operations of a pickle, collect its texts, and refuse names that are not those of tensors."""
    if _LONG_NUMBER.search(pickled):
        raise UnreadableError("is damaged: its pickle holds a number of a thousand digits.", DOWNLOAD_AGAIN)
    # torch.save before 1.6 wrote five pickles: magic number, version, system, the object, list of storages.
    pickles = 5 if pickled.startswith(_LEGACY_MAGIC) else 1
    texts: list[str] = []
    position, left = 0, MAX_OPERATIONS
    try:
        for _ in range(pickles):
            names = _Names()
            end = 0
            for operation, argument, offset in itertools.islice(pickletools.genops(pickled[position:]), left + 1):
                left -= 1
                end = offset or 0
                if isinstance(argument, str) and operation.name not in ("GLOBAL", "INST"):
                    texts.append(argument)
                names.look(operation.name, argument)
            if left < 0:
                raise UnreadableError(f"is no checkpoint: its pickle has more than {MAX_OPERATIONS:,} operations.")
            position += end + 1
    except UnreadableError:
        raise
    except Exception as error:  # pickletools raises ValueError and others for broken input
        message = f"is cut short or damaged: its pickle cannot be read to the end ({_reason(error)})."
        raise UnreadableError(message, DOWNLOAD_AGAIN) from error
    return texts


class _Names:
    """Finds what a pickle calls: named by GLOBAL and INST themselves, for STACK_GLOBAL by the two texts pushed before it."""

    def __init__(self) -> None:
        self._top: list[str] = []  # the texts on top of the stack
        self._memo: dict[int, str] = {}
        self._count = 0

    def look(self, operation: str, argument: Any) -> None:
        """Follow one operation. Raises UnreadableError when it names what could run code."""
        if operation in ("GLOBAL", "INST"):
            _check_global(str(argument))
            self._top = []
        elif operation == "STACK_GLOBAL":
            _check_global(" ".join(self._top[-2:]))
            self._top = []
        elif isinstance(argument, str):
            self._top.append(argument)
        elif operation in ("MEMOIZE", "BINPUT", "LONG_BINPUT"):
            place = self._count if operation == "MEMOIZE" else argument
            self._count += 1
            if self._top:
                self._memo[place] = self._top[-1]
            else:
                self._memo.pop(place, None)
        elif operation in ("BINGET", "LONG_BINGET") and argument in self._memo:
            self._top.append(self._memo[argument])
        else:
            self._top = []


def _check_global(name: str) -> None:
    if not _SAFE_GLOBALS.fullmatch(name):
        called = name.replace(" ", ".")[:100] or "something unnamed"
        raise UnreadableError(
            f"holds more than tensors: its pickle calls {called}, which can run code. It was not loaded.",
            "Use a .safetensors version of this model.",
        )


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
