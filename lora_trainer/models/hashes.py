"""Hashes of model files, as the metadata of a LoRA has them and the Web UI shows them. Standard library only."""

from __future__ import annotations

import hashlib
from pathlib import Path

_BLOCK = 1 << 20


def legacy_hash(path: str | Path) -> str:
    """Return the old short hash (`ss_sd_model_hash`): 8 digits of the SHA-256 of the 64 KiB from 1 MiB on.

    A file of less than 1 MiB has the hash of nothing, e3b0c442. Raises OSError.
    """
    with Path(path).open("rb") as file:
        file.seek(0x100000)
        return hashlib.sha256(file.read(0x10000)).hexdigest()[:8]


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of the whole file (`ss_new_sd_model_hash`), 64 digits. It reads the file once. Raises OSError."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
