"""The tensors of a model file, one at a time. The only module of this room that needs torch, which is imported when asked."""

from __future__ import annotations

import contextlib
import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from .model_header import SAFETENSORS, read_model_header
from .pickles import read_pickle_names
from .reading import UnreadableError, open_file, shown
from .safetensors_header import DOWNLOAD_AGAIN, Header

if TYPE_CHECKING:
    import torch

# torch's name -> safetensors' name, in the order in which tensors stand in a file that we write: wide types first.
TYPES = {
    "int64": "I64", "float64": "F64", "float32": "F32", "int32": "I32", "bfloat16": "BF16", "float16": "F16",
    "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
}  # fmt: skip
_NESTING = 6  # {"state_dict": {"state_dict": ...}}


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The tensors of an open file: `shapes` by name, and `tensor(name)`, in the file's dtype: a view of the memory-mapped file,
    or, where it is not mapped, read at that moment.

    Copy what is to be kept: a view ends with the file. `dtypes` are in safetensors' words; `metadata` is that of such a file.
    """

    path: Path
    shapes: Mapping[str, tuple[int, ...]]
    tensor: Callable[[str], torch.Tensor]
    dtypes: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)


@contextlib.contextmanager
def open_weights(path: Path, mapped: bool = True) -> Iterator[Weights]:
    """Open a .safetensors or torch.save file, told apart by what is in it. Raises UnreadableError for one that is damaged or
    holds more than plain tensors, here or when a tensor is asked for.

    Without `mapped` it is read piece by piece: on a network drive, mapping a file can be slow, or fail while it is read.
    """
    header = read_model_header(path)
    if not header.start:  # a pickle
        tensors = read_pickle(path, mapped)
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        dtypes = {name: TYPES.get(_plain(tensor.dtype), str(tensor.dtype)) for name, tensor in tensors.items()}
        yield Weights(path=path, shapes=shapes, tensor=tensors.__getitem__, dtypes=dtypes)
        return
    with _safetensors(path) if mapped else open_file(path) as file:
        one = _tensor if mapped else _read_tensor
        yield Weights(
            path=path,
            shapes=header.shapes,
            tensor=lambda name: one(file, name, header),
            dtypes=header.dtypes,
            metadata=header.metadata,
        )


@contextlib.contextmanager
def _safetensors(path: Path) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    try:
        opened = safe_open(str(path), framework="pt", device="cpu")
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise UnreadableError(f"is damaged: {_last_line(error)}.", DOWNLOAD_AGAIN) from error
    with opened as file:
        yield file


def _tensor(file: Any, name: str, header: Header) -> torch.Tensor:
    try:
        return file.get_tensor(name)
    except Exception as error:  # the library raises SafetensorError, and others for formats that torch lacks
        about = f"{name} ({header.dtypes.get(name)}, {list(header.shapes.get(name, ()))})"
        raise UnreadableError(f"is damaged: {about} cannot be read: {_last_line(error)}.", DOWNLOAD_AGAIN) from error


def _read_tensor(file: BinaryIO, name: str, header: Header) -> torch.Tensor:
    """The tensor's bytes, read into memory of its own."""
    import torch

    known = {word: kind for kind, word in TYPES.items()}
    kind = getattr(torch, known.get(header.dtypes[name], ""), None)
    begin, end = header.entries[name]["data_offsets"]
    data = bytearray(end - begin)
    try:
        file.seek(header.start + begin)
        whole = kind is not None and file.readinto(data) == len(data)  # type: ignore[attr-defined]
    except OSError as error:
        raise UnreadableError(
            f"cannot be read: {error.strerror or error}.", "Check the drive and the connection to it."
        ) from error
    if not whole:
        about = f"{name} ({header.dtypes[name]}, {list(header.shapes[name])})"
        raise UnreadableError(f"is damaged: {about} cannot be read: there is no such number format here.", DOWNLOAD_AGAIN)
    numbers = torch.frombuffer(data, dtype=kind) if data else torch.empty(0, dtype=kind)
    return numbers.reshape(header.shapes[name])


def read_pickle(path: Path, mapped: bool = True) -> dict[str, torch.Tensor]:
    """Return the tensors of a torch.save file, `mapped` into memory where the format allows it. Raises UnreadableError."""
    return _tensors_of(_unpickled(path, mapped), path)


def read_pickle_beside(path: Path, key: str) -> tuple[dict[str, torch.Tensor], Any]:
    """The same with what stands under `key` beside the tensors (plain values alone), None where nothing does."""
    content = _unpickled(path, True)
    return _tensors_of(content, path), content.get(key) if isinstance(content, Mapping) else None


def _unpickled(path: Path, mapped: bool) -> Any:
    import torch

    read_pickle_names(path)
    try:
        with _stand_ins(), open_file(path) as file:
            # Mapped where the format and the name allow it: torch goes by the name, and takes .safetensors at its word.
            mapped = mapped and zipfile.is_zipfile(file) and path.suffix.lower() != SAFETENSORS
            file.seek(0)
            return torch.load(str(path) if mapped else file, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # torch raises UnpicklingError, RuntimeError and many others for what it refuses
        if isinstance(error, pickle.UnpicklingError) and "EOF" not in str(error):
            message = f"holds more than tensors, which could run code; it was not loaded. ({_last_line(error)})"
            raise UnreadableError(message, "Use a .safetensors version of this model.") from error
        raise UnreadableError(f"is cut short or damaged: {_last_line(error)}.", DOWNLOAD_AGAIN) from error


def _tensors_of(content: Any, path: Path) -> dict[str, torch.Tensor]:
    tensors = _innermost(content)
    if tensors is None:
        raise UnreadableError(f"holds a {type(content).__name__}, expected a table of tensors.", "Choose a model file.")
    _check_plain(tensors, path.stat().st_size)
    return tensors


def _innermost(content: Any) -> dict[str, torch.Tensor] | None:
    """The table with the most tensors (then: the most numbers, for an embedding's token has one, too) in `content` and the
    tables in it, such as "state_dict"; None without one."""
    import torch

    best: dict[str, torch.Tensor] | None = None
    most = (-1, 0)
    level, seen = [content], set()
    for _ in range(_NESTING):
        tables = [table for table in level if isinstance(table, Mapping) and id(table) not in seen]
        seen |= {id(table) for table in tables}
        for table in tables:
            found = {str(name): value for name, value in table.items() if isinstance(value, torch.Tensor)}
            size = len(found), sum(tensor.numel() for tensor in found.values())
            if size > most:
                best, most = found, size
        level = [value for table in tables for value in table.values()]
    return best


def _check_plain(tensors: Mapping[str, torch.Tensor], size: int) -> None:
    """Raise UnreadableError for a tensor that is not what its numbers in the file are: sparse, quantised, without numbers, or
    larger than the `size` bytes of the file."""
    import torch

    storages: dict[int, int] = {}
    for name, tensor in tensors.items():
        kind = ""
        if tensor.is_quantized:
            kind = "quantised"
        elif tensor.layout != torch.strided or tensor.is_nested:
            kind = "sparse"
        elif tensor.device.type != "cpu":
            kind = f"without numbers (device {tensor.device.type!r})"
        elif type(tensor) not in (torch.Tensor, torch.nn.Parameter) or tensor.is_complex():
            kind = f"of the kind {type(tensor).__name__}, {tensor.dtype}"
        elif tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            kind = "repeated from fewer numbers (expanded)"
        if kind:
            raise UnreadableError(
                f"holds {shown(name)}, a tensor {kind}; expected plain numbers.", "Use another copy of the file."
            )
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
    if sum(storages.values()) > size:
        raise UnreadableError("is damaged: its tensors are larger than the file.", DOWNLOAD_AGAIN)


class _Parameters(dict[str, Any]):
    """Stands for torch's ParameterDict, of which the tensors alone are wanted."""

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.update(state["_parameters"])


def _stand_ins() -> contextlib.AbstractContextManager[object]:
    """Let weights_only accept two classes that files of the first programs name, by some that only keep what is theirs: the
    callback in Stability's first checkpoints (a key beside the tensors), the table in the first textual inversion's embeddings.

    torch can be told so since 2.5; an older one refuses those files, with our message.
    """
    import torch

    if not hasattr(torch.serialization, "safe_globals"):
        return contextlib.nullcontext()
    empty = type("ModelCheckpoint", (), {"__module__": "pytorch_lightning.callbacks.model_checkpoint"})
    table = type("ParameterDict", (_Parameters,), {"__module__": "torch.nn.modules.container"})
    return torch.serialization.safe_globals([empty, table])


def _plain(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _last_line(error: Exception) -> str:
    return ((str(error).strip() or type(error).__name__).splitlines()[-1])[:300].rstrip(".")
