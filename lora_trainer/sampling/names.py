"""What pictures are called. A file that is there already is never replaced."""

from __future__ import annotations

import re
import time
from pathlib import Path

_SEQUENTIAL = re.compile(r"im_(\d{6,})\.png")
_IMAGES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}


class Names:
    """Gives every picture of a run its path in `folder`: im_YYYYMMDDhhmmss_NNN_SEED.png, NNN counting from 000.

    `sequential`: im_000001.png and so on, after the highest number that is there.
    """

    def __init__(self, folder: Path, *, sequential: bool = False) -> None:
        self._folder = folder
        self._sequential = sequential
        self._number = 0
        if sequential and folder.is_dir():
            found = [_SEQUENTIAL.fullmatch(path.name) for path in folder.iterdir()]
            self._number = max((int(match[1]) for match in found if match), default=0)

    def path(self, seed: int, name: str | None = None) -> Path:
        """The path of the next picture; `name` (with or without the suffix of a picture) goes before the other rules."""
        self._number += 1
        if name:
            suffix = Path(name).suffix
            stem = name.removesuffix(suffix) if suffix.lower() in _IMAGES else name
            return self._free(stem)
        if self._sequential:
            return self._folder / f"im_{self._number:06d}.png"
        return self._free(f"im_{time.strftime('%Y%m%d%H%M%S')}_{self._number - 1:03d}_{seed}")

    def _free(self, stem: str) -> Path:
        path = self._folder / f"{stem}.png"
        again = 0
        while path.exists():
            again += 1
            path = self._folder / f"{stem}_{again:03d}.png"
        return path
