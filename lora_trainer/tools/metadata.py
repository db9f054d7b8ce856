"""`show_metadata` and `edit_metadata`: what a .safetensors file says of itself. Tensors are not touched, nor read.

python -m lora_trainer show_metadata frog.safetensors
python -m lora_trainer edit_metadata frog.safetensors --set ss_output_name=frog2 "ss_training_comment=my best" \
    --remove "ss_dataset*" --save_to frog2.safetensors
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from .. import log
from ..errors import InputError, InputErrors, LoraFileError
from ..foreign.json_text import parse_json
from ..foreign.reading import UnreadableError, errors_as, open_file
from ..log import logger
from ..networks import files
from ..options.tool_cli import parse
from ..options.tools.metadata import EditMetadata, ShowMetadata
from ..options.values import did_you_mean
from ..paths import write_atomic
from .lorafile import output_path


def show(argv: Sequence[str]) -> int:
    """Print the metadata; returns 0. Raises InputErrors and LoraFileError."""
    options = parse(ShowMetadata, "show_metadata", argv)
    assert options.model
    metadata = files.read_metadata(_safetensors(options.model))
    if options.key:
        errors = [
            InputError(f"the metadata has no {key}.", field="key", where="--key", advice=did_you_mean(key, metadata))
            for key in options.key
            if key not in metadata
        ]
        if errors:
            raise InputErrors(errors)
        metadata = {key: metadata[key] for key in options.key}
    if options.json:
        sys.stdout.write(json.dumps(_readable(metadata), ensure_ascii=False, indent=2, sort_keys=True) + "\n")
    else:
        sys.stdout.write("".join(f"{key}: {value}\n" for key, value in sorted(metadata.items())) or "no metadata\n")
    return 0


def _readable(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Lists and tables that stand in the values as JSON text, as such."""
    result: dict[str, Any] = {}
    for key, value in metadata.items():
        result[key] = value
        if value[:1] in ("{", "["):
            try:
                result[key] = parse_json(value)
            except UnreadableError:
                continue
    return result


def edit(argv: Sequence[str]) -> int:
    """Write the file with other metadata; returns 0. Raises InputError(s), LoraFileError and SaveError."""
    log.setup()
    logger.info("written: %s", run(parse(EditMetadata, "edit_metadata", argv)))
    return 0


def run(options: EditMetadata) -> Path:
    """Edit as `options` say; returns the file written."""
    assert options.model and options.save_to
    if options.save_precision:
        raise InputError(
            "tensors are not touched here.", field="save_precision", where="--save_precision", advice="Leave it out."
        )
    source = _safetensors(options.model)
    path = output_path(options.save_to, [options.model], overwrite=options.overwrite)
    if path.suffix.lower() != ".safetensors":
        raise InputError(f"{path} would have no metadata: it is no .safetensors file.", field="save_to", where="--save_to")
    metadata = edited(files.read_metadata(source), options.set or (), options.remove or ())
    rewrite(source, path, metadata)
    return path


def edited(metadata: Mapping[str, str], changes: Sequence[str], remove: Sequence[str]) -> dict[str, str]:
    """`metadata` without the keys that match `remove` (shell patterns), and with `changes`, each key=value.

    Raises InputErrors for a change without "=", and a pattern that matches nothing.
    """
    result, errors = dict(metadata), []
    for pattern in remove:
        matching = fnmatch.filter(metadata, pattern)
        if not matching:
            advice = did_you_mean(pattern, metadata)
            errors.append(InputError(f"the metadata has no {pattern}.", field="remove", where="--remove", advice=advice))
        for key in matching:
            result.pop(key, None)
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals or not key.strip():
            errors.append(InputError(f"{change!r} is not key=value.", field="set", where="--set"))
        result[key.strip()] = value
    if errors:
        raise InputErrors(errors)
    return result


def rewrite(source: Path, path: Path, metadata: Mapping[str, str]) -> None:
    """Write `source`'s tensors, byte for byte, with `metadata` to `path`.

    The old short hash, which covers some of the metadata, is brought up to date where the file has one. Raises LoraFileError
    and SaveError.
    """
    found = files.read_whole_header(source)
    with errors_as(LoraFileError, source), open_file(source) as file:
        entries, start = found.entries, found.start
        written = files.fitting(metadata)
        if "sshs_legacy_hash" in written:
            written["sshs_legacy_hash"] = _legacy_hash(file, start, entries, written)

        def write(target: BinaryIO) -> None:
            file.seek(start)
            target.write(files.header(entries, written))
            shutil.copyfileobj(file, target, 1 << 20)

        write_atomic(path, write)


def _legacy_hash(file: BinaryIO, start: int, entries: Mapping[str, Any], metadata: Mapping[str, str]) -> str:
    """64 KiB from 1 MiB on, of the file as it would be with its ss_* metadata alone."""
    own = len(files.header(entries, {key: value for key, value in metadata.items() if key.startswith("ss_")}))
    file.seek(start + max(0, files.LEGACY_START - own))
    return hashlib.sha256(file.read(files.LEGACY_LENGTH - max(0, own - files.LEGACY_START))).hexdigest()[:8]


def _safetensors(model: str) -> Path:
    if not model.lower().endswith(".safetensors"):
        raise InputError(
            f"{model} has no metadata: only .safetensors files have.",
            field="model",
            where="model",
            advice="Convert the file with convert_lora first.",
        )
    return Path(model)
