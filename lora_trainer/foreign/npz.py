"""Arrays of numbers in a .npz file (numpy.savez). Nothing is unpickled, nor unpacked when it is too large."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .reading import UnreadableError, open_file

if TYPE_CHECKING:
    import numpy as np

LIMIT = 256 << 20  # bytes of one array
_MOST_MEMBERS = 1000
_KINDS = "fiu"  # numbers: floating-point, integers


def read_arrays(path: Path | str, names: Collection[str], *, limit: int = LIMIT) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of `names` that the file has. Raises UnreadableError for a damaged file, and for other than numbers."""
    with open_file(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                members = {info.filename: info for info in archive.infolist()}
                if len(members) > _MOST_MEMBERS:
                    raise UnreadableError("is no file of arrays: it holds too many.")
                wanted = {name: members[f"{name}.npy"] for name in names if f"{name}.npy" in members}
                if any(info.file_size > limit for info in wanted.values()):
                    raise UnreadableError(f"holds an array of more than {limit:,} bytes.")
                return {name: _array(archive.read(info)) for name, info in wanted.items()}
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise UnreadableError(f"is damaged: {str(error).rstrip('.')}.") from error


def _array(data: bytes) -> np.ndarray[Any, Any]:
    """One .npy file. numpy's own reader would make room for what the header promises before it looks."""
    import numpy as np

    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, by_columns, dtype = header(file)
    except Exception as error:  # numpy hands the header to Python's parser, which raises all kinds of errors
        raise UnreadableError("is damaged: it holds an array whose header cannot be read.") from error
    if dtype.hasobject or dtype.kind not in _KINDS:
        raise UnreadableError("holds more than numbers, which could run code; it was not loaded.")
    rest = data[file.tell() :]
    if any(side < 0 for side in shape) or math.prod(shape) * dtype.itemsize != len(rest):
        raise UnreadableError("is damaged: it holds an array of another size than its header says.")
    flat = np.frombuffer(rest, dtype=dtype)
    return flat.reshape(shape[::-1]).T if by_columns else flat.reshape(shape)
