"""The header of a .safetensors file, checked as strictly as the library does that reads the tensors.

8 bytes little-endian give the length of the JSON that follows: {name: {"dtype", "shape", "data_offsets": [begin, end]}} and
`__metadata__`, a table of texts (https://github.com/huggingface/safetensors#format). The tensors lie behind it, without gaps.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .json_text import parse_json
from .reading import UnreadableError, open_file, size_of

MAX_HEADER = 100_000_000  # bytes; the limit of the format
DOWNLOAD_AGAIN = "Download or copy the file again."
# Bits of one number of each type.
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64, "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip
_MAX_DIMENSIONS = 16


@dataclass(frozen=True)
class Header:
    """What a model file says of itself. `dtypes` are in safetensors' words; of a pickle there are neither dtypes nor metadata,
    and shapes are (). `start` is the place of the first tensor's first byte; `entries` are the tensors' as they stand there."""

    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    start: int = 0
    entries: dict[str, Any] = field(default_factory=dict)


def read_safetensors_header(path: Path | str, *, alone: bool = False) -> Header:
    """Read and check the header, and that the file holds exactly the bytes that it promises. Raises UnreadableError.

    `alone`: the file may end behind its header, as the page sends it.
    """
    with open_file(path) as file:
        size = size_of(file)
        start = file.read(8)
        if len(start) < 8:
            raise UnreadableError(f"is {'empty' if not start else 'cut short'}: it has {size} bytes.", DOWNLOAD_AGAIN)
        length = struct.unpack("<Q", start)[0]
        if start.startswith(b"GGUF"):
            advice = "Choose the .safetensors file that it was made from."
            raise UnreadableError("is a GGUF file: its numbers are quantised, and such files are not read here.", advice)
        if start.startswith((b"version ", b"<!DOCTYP", b"<html")) or length > MAX_HEADER:
            message = "is not a .safetensors file: it does not begin with a header (a web page, perhaps?)."
            raise UnreadableError(message, DOWNLOAD_AGAIN)
        if 8 + length > size:
            message = f"is cut short: its header has {length} bytes, the whole file {size}."
            raise UnreadableError(message, DOWNLOAD_AGAIN)
        data = file.read(length)
    try:
        content = parse_json(data.decode("utf-8"), depth=8, strict=True)
    except UnicodeDecodeError as error:
        raise UnreadableError("is damaged: its header is no text.", DOWNLOAD_AGAIN) from error
    except ValueError as error:
        message = f"is damaged: its header is no list of tensors ({str(error).rstrip('.')})."
        raise UnreadableError(message, DOWNLOAD_AGAIN) from error
    is_alone = alone and size == 8 + length
    return _checked(content, 8 + length, None if is_alone else size)


def _checked(content: Any, start: int, size: int | None) -> Header:
    """`size` is the file's; None when it is not known."""
    if not isinstance(content, dict):
        raise _damaged("it is no table")
    metadata = content.pop("__metadata__", None)
    metadata = {} if metadata is None else metadata
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise UnreadableError("is damaged: its __metadata__ is no table of texts.", DOWNLOAD_AGAIN)
    spans = sorted((*_span(name, entry), name) for name, entry in content.items())
    place = 0
    for begin, end, name in spans:
        if begin != place:
            raise _damaged(f"the bytes of {name} begin at {begin}, expected {place}")
        place = end
    expected = start + place
    if size is not None and size < expected:
        message = f"is cut short: its header promises {expected:,} bytes, the file has {size:,}."
        raise UnreadableError(message, DOWNLOAD_AGAIN)
    if size is not None and size > expected:
        raise UnreadableError(f"is damaged: its header promises {expected:,} bytes, the file has {size:,}.", DOWNLOAD_AGAIN)
    return Header(
        shapes={name: tuple(entry["shape"]) for name, entry in content.items()},
        dtypes={name: entry["dtype"] for name, entry in content.items()},
        metadata=metadata,
        start=start,
        entries=content,
    )


def _span(name: str, entry: Any) -> tuple[int, int]:
    """(first byte, byte behind the last) of a tensor behind the header."""
    if not isinstance(entry, dict):
        raise _damaged(f"{name} is no table")
    shape: Any = entry.get("shape")
    offsets: Any = entry.get("data_offsets")
    dtype: Any = entry.get("dtype")
    if not _are_sizes(shape) or len(shape) > _MAX_DIMENSIONS:
        raise _damaged(f"the shape of {name} is no list of sizes")
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise _damaged(f"the data_offsets of {name} are no two places in the file")
    if not isinstance(dtype, str) or dtype not in BITS:
        raise _damaged(f"{name} has the number format {str(dtype)[:40]!r}, which is not known")
    if math.prod(shape) * BITS[dtype] != 8 * (offsets[1] - offsets[0]):
        raise _damaged(f"{name} has the shape {list(shape)} in {dtype}, which are not {offsets[1] - offsets[0]:,} bytes")
    return offsets[0], offsets[1]


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(number) is int and 0 <= number < 2**63 for number in value)


def _damaged(why: str) -> UnreadableError:
    return UnreadableError(f"is damaged: its header is no list of tensors ({why}).", DOWNLOAD_AGAIN)
