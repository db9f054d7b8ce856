"""Folders of pictures for the tests of the data set page, quick to make however many there are."""

from __future__ import annotations

import os
from pathlib import Path

from .frogs import frog, png

CAPTIONS = (
    "sls frog, on a leaf, green",
    "sls frog, pond, green",
    "sls frog, pond, rain, close-up",
    "a frog sits. It looks at the sky.",
)


def folder_of_links(folder: Path, count: int, captions: tuple[str, ...] = CAPTIONS) -> Path:
    """`count` pictures frog_00000.png, ..., each a hard link to one of three, with captions in turn ("" for none)."""
    sources = folder.with_name(f"{folder.name}-sources")
    for made in (folder, sources):
        made.mkdir(parents=True)
    for index, size in enumerate(((48, 48), (48, 72), (72, 48))):
        (sources / f"{index}.png").write_bytes(png(frog(index, *size)))
    for index, text in enumerate(captions):
        (sources / f"{index}.txt").write_text(text, encoding="utf-8")
    for index in range(count):
        name = f"frog_{index:05}"
        os.link(sources / f"{index % 3}.png", folder / f"{name}.png")
        if captions[index % len(captions)]:
            os.link(sources / f"{index % len(captions)}.txt", folder / f"{name}.txt")
    return folder
