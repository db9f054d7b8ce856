"""Where the demo base model lies. Standard library only: the host side asks too."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import BaseModelError
from ..paths import ASSETS_DIR

VARIABLE = "LORA_TRAINER_DEMO_MODEL"  # names another file, for those who train a demo model of their own
SHIPPED = ASSETS_DIR / "demo" / "demo.safetensors"
SIDE = 64  # pixels: the size that it was trained at


def model() -> Path | None:
    """Return the demo base model's file, None when it is not there."""
    path = _path()
    return path if path.is_file() else None


def is_model(path: Path) -> bool:
    """Whether `path` is the demo base model, however it is written."""
    found = model()
    return found is not None and path.is_file() and path.samefile(found)


def needed() -> Path:
    """Return the demo base model's file. Raises BaseModelError when it is not there."""
    found = model()
    if found is None:
        path = _path()
        advice = (
            f"{VARIABLE} names it; correct or unset it." if path != SHIPPED else "Get the program's files again, all of them."
        )
        raise BaseModelError(f"The demo base model is missing: there is no file {path}.", advice=advice)
    return found


def _path() -> Path:
    return Path(os.environ.get(VARIABLE) or SHIPPED).expanduser().absolute()
