"""The pinned requirements (requirements/*.txt): the one place where versions stand."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path

from ..paths import ROOT_DIR

REQUIREMENTS_DIR = ROOT_DIR / "requirements"


def read(name: str) -> list[str]:
    """The requirements in requirements/`name`.txt, without comments."""
    lines = (REQUIREMENTS_DIR / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def fingerprint(parts: Iterable[str]) -> str:
    """Twelve hex digits that change when any of `parts` does."""
    return hashlib.sha256("\n".join(parts).encode("utf-8")).hexdigest()[:12]


def remove_half_installed(site_packages: Path) -> list[str]:
    """Forget packages whose installation was cut off, so that pip installs them again; return their names.

    pip writes a package's RECORD last. Without it the package may lack files, and pip would take it for complete.
    """
    broken = [info for info in site_packages.glob("*.dist-info") if not (info / "RECORD").is_file()]
    for folder in [*broken, *site_packages.glob("~*")]:
        shutil.rmtree(folder, ignore_errors=True)
    return sorted(folder.name for folder in broken)
