"""LoRA files: reading, writing, hashes. Standard library and safetensors; torch is imported where tensors are needed.

A file is written in one fixed order (tensors by type and name, metadata by name), so that equal tensors and metadata give
equal bytes; the layout is the one that the safetensors library writes.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ..errors import LoraFileError, SaveError
from ..foreign.json_text import read_json
from ..foreign.model_header import read_model_header
from ..foreign.reading import errors_as, is_file, open_file
from ..foreign.safetensors_header import MAX_HEADER, Header
from ..foreign.tensors import TYPES, open_weights
from ..log import logger
from ..modelfile import TITLES, classify
from ..paths import write_atomic
from . import bundled
from .key_names import configured_alphas, kohya_keys

if TYPE_CHECKING:
    import torch

DOWN, UP, ALPHA = "lora_down.weight", "lora_up.weight", "alpha"
PRECISIONS = {"float": "float32", "fp16": "float16", "bf16": "bfloat16"}  # the values of save_precision

_MAX_BYTES = 32 << 30  # of a LoRA file that is read into memory; rank 512 on all layers of SDXL in float32 has 10 GB
_MAX_METADATA = 8 << 20  # bytes that we write; those of a data set of 10,000 captions have 1 MB
CUT_NOTE = "lora_trainer_left_out"  # the key that says what `fitting` left out
_MAX_CONFIG = 4 << 20  # bytes of PEFT's adapter_config.json
LEGACY_START, LEGACY_LENGTH = 0x100000, 0x10000  # of the bytes that the old hash of 8 digits is of
_OTHER_KINDS = {
    "hada_": "LoHa",
    "lokr_": "LoKr",
    "dora_scale": "DoRA",
    "oft_": "OFT",
    "lora_mid": "LoCon with Tucker factors",
}


def read_metadata(path: Path | str) -> dict[str, str]:
    """Return the metadata of a .safetensors file ({} for other files) from its header alone, without torch.

    Raises LoraFileError when the file is missing, cut short or damaged.
    """
    return read_header(path)[1]


def read_header(path: Path | str) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """Return ({tensor name: shape}, metadata) from the header alone, without torch. Shapes of a .ckpt or .pt are ().

    Raises LoraFileError when the file is missing, cut short, damaged or holds code.
    """
    header = read_whole_header(path)
    return header.shapes, header.metadata


def read_whole_header(path: Path | str) -> Header:
    """The same with the tensors' number formats and places in the file."""
    with errors_as(LoraFileError, path):
        return read_model_header(path)


def check_lora(path: Path | str) -> dict[str, str]:
    """Return the metadata of a LoRA file; raises LoraFileError when it is anything else. Reads only the header."""
    shapes, metadata = read_header(path)
    kind, _ = classify(shapes)
    if kind != "lora":
        _refuse(str(path), TITLES[kind])
    return metadata


def load(path: Path | str) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return (tensors on the CPU, metadata) of a LoRA file: .safetensors, or .ckpt/.pt (tensors only, never code).

    Other programs' names are turned into kohya's (see `key_names`), and an alpha that stands beside the tensors into a tensor.
    Keys that are not understood stay as they are. Raises LoraFileError when the file is missing, cut short, damaged, holds
    code, is no LoRA, or has NaN or infinite values.
    """
    import torch

    path = Path(path)
    check_lora(path)
    with errors_as(LoraFileError, path):
        if path.stat().st_size > _MAX_BYTES:
            raise LoraFileError(f"{path} is no LoRA file: it has more than {_MAX_BYTES >> 30} GB.")
        with open_weights(path) as weights:
            # Sorted: the library's order is random. Copied: the file may be replaced while its tensors are in use.
            tensors = {name: weights.tensor(name).clone() for name in sorted(weights.shapes)}
            metadata = dict(weights.metadata)
    if not tensors:
        _refuse(str(path), "empty")
    _check_numbers(path, tensors)
    keys, alphas = kohya_names({name: tuple(tensor.shape) for name, tensor in tensors.items()}, metadata, path)
    renamed = {keys[name]: tensor for name, tensor in tensors.items()}
    return renamed | {f"{module}.{ALPHA}": torch.tensor(alpha) for module, alpha in alphas.items()}, metadata


def _check_numbers(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Raise LoraFileError for factors that are whole numbers (quantised), and for NaN and infinity."""
    import torch

    for name, tensor in tensors.items():
        if tensor.ndim > 1 and not tensor.is_floating_point():
            kind = str(tensor.dtype).removeprefix("torch.")
            raise LoraFileError(
                f"{path} is quantised or damaged: {name} holds whole numbers ({kind}), expected floating-point numbers.",
                advice="Use the fp16, bf16 or float version of this LoRA.",
            )
    broken = [name for name, tensor in tensors.items() if not torch.isfinite(tensor.float()).all()]
    if broken:
        raise LoraFileError(
            f"{path} is spoilt: {len(broken)} of its {len(tensors)} tensors hold NaN or infinity, for example {broken[0]}.",
            advice="Use an earlier file of the same training, and a lower learning rate.",
        )


def kohya_names(
    shapes: Mapping[str, tuple[int, ...]], metadata: Mapping[str, str], path: Path
) -> tuple[dict[str, str], dict[str, float]]:
    """Return ({the file's key: kohya's key}, {module: alpha} from the metadata and from PEFT's adapter_config.json beside it).

    Raises LoraFileError when two keys are one and the same.
    """
    keys = kohya_keys(shapes, metadata)
    first: dict[str, str] = {}
    for key, ours in keys.items():
        if first.setdefault(ours, key) != key:
            raise LoraFileError(
                f"{path} has one tensor under two names: {first[ours]} and {key}.",
                advice="It was saved for two programs at once: save it for one of them.",
            )
    config, beside = None, path.with_name("adapter_config.json")
    if any(".lora_A." in key for key in shapes) and is_file(beside):
        with errors_as(LoraFileError, beside):
            config = read_json(beside, limit=_MAX_CONFIG)
        config = config if isinstance(config, dict) else None
    with errors_as(LoraFileError, path):
        return keys, configured_alphas(keys, shapes, metadata, config)


def group_keys(keys: Mapping[str, Any], where: str = "the LoRA") -> dict[str, dict[str, Any]]:
    """Sort kohya's keys by module: {module: {"lora_down.weight": ..., "lora_up.weight": ..., "alpha": ...}}.

    `alpha` may be missing (old files). Raises LoraFileError for keys of another kind and for halves of a pair.
    """
    grouped: dict[str, dict[str, Any]] = {}
    for key, value in keys.items():
        name, _, suffix = key.partition(".")
        if suffix not in (DOWN, UP, ALPHA) or not name.startswith("lora_"):
            _refuse_key(where, key, keys)
        grouped.setdefault(name, {})[suffix] = value
    for name, parts in grouped.items():
        _check_pair(name, parts, where)
    if not grouped:
        _refuse(where, "empty")
    return grouped


def _check_pair(name: str, parts: Mapping[str, Any], where: str) -> None:
    """Raise LoraFileError when a module's tensors (or shapes alone, which say nothing) are no pair of factors and one alpha."""
    for half in (DOWN, UP):
        if half not in parts:
            raise LoraFileError(f"{where} is incomplete: {name}.{half} is missing.", advice="Use another copy of the file.")
    down, up, alpha = (getattr(parts.get(part), "shape", None) for part in (DOWN, UP, ALPHA))
    if alpha is not None and math.prod(alpha) != 1:
        raise LoraFileError(f"{where} is damaged: the alpha of {name} has the shape {list(alpha)}, expected one number.")
    if down is None or up is None:
        return
    if len(down) not in (2, 4) or len(up) not in (2, 4) or math.prod(up[2:]) != 1:
        raise LoraFileError(
            f"{where} is damaged: {name} has lora_down {list(down)} and lora_up {list(up)}, which are no pair.",
            advice="Use another copy of the file.",
        )
    if down[0] != up[1]:
        raise LoraFileError(f"{where} is damaged: {name} has rank {down[0]} in lora_down and {up[1]} in lora_up.")
    if 0 in down or 0 in up:
        raise LoraFileError(f"{where} is damaged: {name}.{DOWN} is empty, of shape {list(down)}.")


def other_kind(key: str) -> str | None:
    """The kind of network, other than a plain LoRA, that has such a key: "LoHa", ...; None when nothing tells."""
    return next((kind for mark, kind in _OTHER_KINDS.items() if mark in key), None)


def _refuse_key(where: str, key: str, keys: Iterable[str]) -> None:
    if kind := other_kind(key):
        advice = "Use a plain LoRA file, or train on with network_module=lycoris.kohya."
        raise LoraFileError(f"{where} is {kind} ({key}), not a plain LoRA.", advice=advice)
    if names := bundled.names_in(keys):
        raise LoraFileError(
            f"{where} holds embeddings beside the LoRA ({', '.join(names)}), which would be lost.",
            advice="Save the LoRA without them (save_embedding beside; OneTrainer: bundle_additional_embeddings off).",
        )
    if re.search(r"lora_[AB]\.|[._]lora\.(down|up)|lora_linear_layer", key):
        raise LoraFileError(
            f"{where} has a key in the style of diffusers or PEFT that is no layer of Stable Diffusion 1, 2 or XL: {key}.",
            advice="Use a LoRA for Stable Diffusion; convert_lora writes kohya's names.",
        )
    title, _ = classify(dict.fromkeys(keys, ()))
    if title not in ("lora", "unknown"):
        _refuse(where, TITLES[title])
    raise LoraFileError(f"{where} has a key that belongs to no LoRA: {key}.", advice="Use a LoRA for Stable Diffusion.")


def _refuse(where: str, what: str) -> None:
    raise LoraFileError(f"{where} is not a LoRA file: it is {what}.", advice="Choose a LoRA file (kohya's format).")


# ---- writing ---------------------------------------------------------------------------------------------------------
def save(
    path: Path | str,
    tensors: Mapping[str, torch.Tensor],
    metadata: Mapping[str, str] | None = None,
    dtype: torch.dtype | str | None = None,
) -> dict[str, str]:
    """Write a LoRA file atomically and return the metadata that it got: the given one and both hashes.

    `dtype` (a torch dtype, or float, fp16, bf16) converts every floating tensor; None keeps them. A path that ends in .ckpt or
    .pt is written by torch.save, without metadata. Raises SaveError when a tensor holds NaN or infinity (before or after the
    conversion) and when the file cannot be written; what was there before stays.
    """
    import torch

    path = Path(path)
    if isinstance(dtype, str):
        dtype = getattr(torch, PRECISIONS[dtype])
    converted = {name: _convert(name, tensor, dtype, path) for name, tensor in tensors.items()}
    if path.suffix.lower() != ".safetensors":
        write_atomic(path, lambda file: write_pickle(converted, file))
        return {}
    entries = layout({name: (tensor.dtype, tensor.shape) for name, tensor in converted.items()})
    blocks = [bytes_of(converted[name]) for name in entries]
    metadata = fitting(metadata or {})
    metadata.update(_hashes(entries, blocks, metadata))
    write_atomic(path, lambda file: _write(file, header(entries, metadata), blocks))
    return metadata


def _convert(name: str, tensor: torch.Tensor, dtype: torch.dtype | None, path: Path) -> torch.Tensor:
    import torch

    result = tensor.detach().to("cpu")
    if not result.is_floating_point():
        return result.contiguous()
    if not torch.isfinite(result).all():
        raise SaveError(f"{path} was not written: {name} holds NaN or infinity.", advice="Lower the learning rate.")
    result = result.to(dtype or result.dtype).contiguous()
    if not torch.isfinite(result).all():
        raise SaveError(
            f"{path} was not written: {name} has values up to {tensor.abs().max().item():.3g}, too large for {dtype}.",
            advice="Save with save_precision=float or bf16.",
        )
    return result


def write_pickle(content: Mapping[str, Any], file: BinaryIO) -> None:
    """torch.save. Raises OSError where the disk is full, which torch hides behind an error of its zip writer."""
    import torch

    try:
        torch.save(content, file)
    except RuntimeError as error:
        behind: BaseException | None = error
        while behind is not None and not isinstance(behind, OSError):
            behind = behind.__context__
        if behind is None:
            raise
        raise OSError(behind.errno, behind.strerror) from error


def layout(tensors: Mapping[str, tuple[torch.dtype, Iterable[int]]]) -> dict[str, dict[str, Any]]:
    """Return the header's entries, in file order, of tensors given by (dtype, shape)."""
    import torch

    def place(item: tuple[str, tuple[torch.dtype, Iterable[int]]]) -> tuple[int, str]:
        return list(TYPES).index(str(item[1][0]).removeprefix("torch.")), item[0]

    entries: dict[str, dict[str, Any]] = {}
    offset = 0
    for name, (dtype, given) in sorted(tensors.items(), key=place):
        shape = list(given)
        end = offset + math.prod(shape) * torch.empty(0, dtype=dtype).element_size()
        entries[name] = {"dtype": TYPES[str(dtype).removeprefix("torch.")], "shape": shape, "data_offsets": [offset, end]}
        offset = end
    return entries


def bytes_of(tensor: torch.Tensor) -> memoryview:
    """The bytes of a contiguous tensor on the CPU, as they stand in a file."""
    import torch

    return memoryview(tensor.reshape(-1).view(torch.uint8).numpy())


def fitting(metadata: Mapping[str, str]) -> dict[str, str]:
    """`metadata`, or what of it every program can read: safetensors refuses a header of 100 MB, and whoever lists files reads
    it all. Beyond 8 MB the longest values are left out; `CUT_NOTE` then says which."""
    kept = {key: str(value) for key, value in metadata.items() if key != CUT_NOTE}
    sizes = {key: len(json.dumps(key + value, ensure_ascii=False).encode("utf-8", "replace")) for key, value in kept.items()}
    left_out = []
    for key in sorted(kept, key=lambda key: -sizes[key]):
        if sum(sizes[name] for name in kept) <= _MAX_METADATA:
            break
        left_out.append(f"{key} ({sizes[key]:,} bytes)")
        del kept[key]
    if not left_out:
        return dict(metadata)
    listed = ", ".join(left_out[:50]) + (f" and {len(left_out) - 50} more" if len(left_out) > 50 else "")
    logger.warning("the metadata would be too large to be read by every program: left out %s", listed[:1000])
    return {**kept, CUT_NOTE: f"Left out because the metadata would be too large: {listed[:10_000]}"}


def header(entries: Mapping[str, Any], metadata: Mapping[str, str]) -> bytes:
    """The length and the JSON header of a .safetensors file, filled with spaces to a multiple of 8 bytes.

    Pass metadata through `fitting` first. Raises SaveError for a header that no program would read.
    """
    table: dict[str, Any] = {}
    if metadata:
        table["__metadata__"] = {key: str(metadata[key]) for key in sorted(metadata)}
    table.update(entries)
    text = json.dumps(table, ensure_ascii=False, separators=(",", ":"))
    data = text.encode("utf-8", "replace")  # a path may hold bytes that are no text
    data += b" " * (-len(data) % 8)
    if len(data) > MAX_HEADER:
        message = f"the file would have a header of {len(data):,} bytes, of which programs read {MAX_HEADER:,} at most."
        raise SaveError(message, advice="Split it: it has too many tensors.")
    return len(data).to_bytes(8, "little") + data


def _write(file: BinaryIO, header: bytes, blocks: Iterable[memoryview]) -> None:
    file.write(header)
    for block in blocks:
        file.write(block)


# ---- hashes ----------------------------------------------------------------------------------------------------------
def _hashes(entries: Mapping[str, Any], blocks: Iterable[memoryview], metadata: Mapping[str, str]) -> dict[str, str]:
    """The two hashes of a LoRA: over the tensors, and the old one over 64 KiB of the file with its ss_* metadata alone."""
    full, legacy = hashlib.sha256(), hashlib.sha256()
    position = len(header(entries, {key: value for key, value in metadata.items() if key.startswith("ss_")}))
    for block in blocks:
        full.update(block)
        first, last = (min(max(edge - position, 0), block.nbytes) for edge in (LEGACY_START, LEGACY_START + LEGACY_LENGTH))
        legacy.update(block[first:last])
        position += block.nbytes
    return {"sshs_model_hash": full.hexdigest(), "sshs_legacy_hash": legacy.hexdigest()[:8]}


def tensor_hash(path: Path | str) -> str:
    """SHA-256 of the tensors of a .safetensors file (everything behind its header): `sshs_model_hash`, AutoV3."""
    start = read_whole_header(path).start
    digest = hashlib.sha256()
    with errors_as(LoraFileError, path), open_file(path) as file:
        file.seek(start)
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def webui_hash(path: Path | str) -> str:
    """The 12 digits that the Web UI shows for this file: `sshs_model_hash` of its metadata, else of its tensors."""
    return (read_metadata(path).get("sshs_model_hash") or tensor_hash(path))[:12]


def file_hashes(path: Path | str) -> tuple[str, str]:
    """(old hash of 8 digits, SHA-256) of a whole file: ss_sd_model_hash and ss_new_sd_model_hash. Reads all of it."""
    digest, legacy = hashlib.sha256(), hashlib.sha256()
    with errors_as(LoraFileError, path), open_file(path) as file:
        position = 0
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            first, last = (max(edge - position, 0) for edge in (LEGACY_START, LEGACY_START + LEGACY_LENGTH))
            legacy.update(chunk[first:last])
            position += len(chunk)
    return legacy.hexdigest()[:8], digest.hexdigest()


def short_hash(path: Path | str) -> str:
    """The old hash of 8 digits alone, ss_sd_model_hash: of 64 KiB, so that many files are soon compared."""
    with errors_as(LoraFileError, path), open_file(path) as file:
        file.seek(LEGACY_START)
        return hashlib.sha256(file.read(LEGACY_LENGTH)).hexdigest()[:8]


def ranks(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """{module name: rank} from the shapes in a header (see `read_header`)."""
    return {key.partition(".")[0]: math.prod(shape[:1]) for key, shape in shapes.items() if key.endswith(DOWN)}
