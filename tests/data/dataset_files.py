"""Small data sets on disk for the tests of this folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lora_trainer.options.dataset_config import DatasetSpec, DataSpec, SubsetSpec


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """A smooth coloured picture that is different for every seed and not symmetrical."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    waves = [np.sin((3 + seed % 5 + i) * x + (2 + i) * y + seed) for i in range(3)]
    return Image.fromarray((127.5 + 127.5 * np.stack(waves, -1)).astype(np.uint8))


def make_images(folder: Path, sizes: dict[str, tuple[int, int]], captions: str | None = None) -> Path:
    """Write pictures of these sizes; `captions` is the text of a .txt file for each."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (name, size) in enumerate(sizes.items()):
        picture(*size, seed=seed).save(folder / name)
        if captions is not None:
            (folder / name).with_suffix(".txt").write_text(captions, encoding="utf-8")
    return folder


def one_dataset(*subsets: dict[str, Any], **settings: Any) -> DataSpec:
    """A specification with one data set; each subset is given by its fields."""
    settings.setdefault("resolution", (64, 64))
    return DataSpec(datasets=(DatasetSpec(subsets=tuple(SubsetSpec(**subset) for subset in subsets), **settings),))
