"""The first batches of a training as pictures on disk: what the model will see, made by the same code.

A folder with `0001-1.png` (batch, place in it), `batches.json` and `index.html`, which shows them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..paths import write_atomic, write_text_atomic
from .dataset import Sample, TrainDataset
from .masks import mask_pixels
from .plan.model import DataPlan, printable
from .plan.words import count
from .resize import Pixels

MOST_BATCHES = 16
MOST_PICTURES = 48
_HIDDEN = np.array([200, 0, 120], np.float32)  # what the mask hides is dyed
_STYLE = """body { font: 14px/1.5 system-ui, sans-serif; margin: 2rem; background: #222; color: #ddd }
figure { display: inline-block; margin: .5rem; max-width: 20rem; vertical-align: top }
img { max-width: 100% } figcaption { overflow-wrap: anywhere } small { color: #aaa } mark { padding: 0 .4em }"""


def write_gallery(
    dataset: TrainDataset, plan: DataPlan, folder: Path, *, tell: Callable[[str], Any], progress: Callable[[int, int], Any]
) -> Path:
    """Write the first batches of the first epoch into `folder`; returns the page `index.html`.

    `tell` gets a line for each batch and sample, `progress(done, total)` counts batches. At most MOST_BATCHES batches, and no
    further one when there are MOST_PICTURES pictures. Raises InputError for a file that cannot be read, and SaveError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    batches: list[dict[str, Any]] = []
    most, pictures = min(MOST_BATCHES, len(dataset)), 0
    for number in range(most):
        samples = dataset.samples((0, number))
        batch = _batch(plan, number, samples)
        tell(f"batch {number + 1} of {len(dataset)}: {batch['width']}x{batch['height']}, {len(samples)} pictures")
        for sample, told in zip(samples, batch["samples"], strict=True):
            _save(folder / told["file"], shown(dataset.picture(sample), sample, plan))
            tell(in_words(told))
        batches.append(batch)
        pictures += len(samples)
        progress(number + 1, most)
        if pictures >= MOST_PICTURES:
            break
    found = {"batches": batches, "of": len(dataset)}
    write_text_atomic(folder / "batches.json", json.dumps(found, ensure_ascii=False, indent=1) + "\n")
    page = folder / "index.html"
    write_text_atomic(page, _page(found))
    return page


def shown(pixels: Pixels, sample: Sample, plan: DataPlan) -> Pixels:
    """A sample's picture, dyed where its mask hides it."""
    if not sample.image.mask:
        return pixels
    mask = mask_pixels(plan, sample.image, sample.cut)
    mask = mask[:, ::-1] if sample.flipped else mask
    learned = mask[..., None].astype(np.float32) / 255
    hidden = 0.4 * pixels.astype(np.float32) + 0.6 * _HIDDEN
    return np.rint(learned * pixels + (1 - learned) * hidden).astype(np.uint8)


def _batch(plan: DataPlan, number: int, samples: list[Sample]) -> dict[str, Any]:
    width, height = samples[0].image.bucket
    told = [_sample(plan, f"{number + 1:04d}-{place}.png", sample) for place, sample in enumerate(samples, 1)]
    return {"number": number + 1, "width": width, "height": height, "samples": told}


def _sample(plan: DataPlan, file: str, sample: Sample) -> dict[str, Any]:
    image = sample.image
    return {
        "file": file,
        "image": printable(Path(image.path).name),
        "folder": printable(plan.subsets[image.subset].name),
        "size": list(image.size),
        "resized": list(sample.cut.resized),
        "left": sample.cut.left,
        "top": sample.cut.top,
        "flipped": sample.flipped,
        "mask": printable(Path(image.mask).name) if image.mask else "",
        "caption": sample.caption,
        "is_reg": image.is_reg,
        "repeats": image.repeats,
        "loss_weight": sample.loss_weight,
    }


def in_words(told: dict[str, Any]) -> str:
    """One sample of `batches.json` in a line."""
    words = [
        f"{told['folder']}/{told['image']}",
        "x".join(map(str, told["size"])),
        f"resized to {'x'.join(map(str, told['resized']))}",
        f"cut at {told['left']}, {told['top']}",
        "mirrored" if told["flipped"] else "",
        f"mask {told['mask']}" if told["mask"] else "",
        "regularisation" if told["is_reg"] else "",
        f"loss weight {told['loss_weight']:g}",
        f"{count(told['repeats'], 'time', 'times')} an epoch",
        f"caption: {told['caption']!r}",
    ]
    return ", ".join(word for word in words if word)


def _save(path: Path, pixels: Pixels) -> None:
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    write_atomic(path, lambda file: picture.save(file, "PNG"))


def _page(found: dict[str, Any]) -> str:
    parts = []
    for batch in found["batches"]:
        parts.append(f"<h2>Batch {batch['number']} of {found['of']} <small>{batch['width']}x{batch['height']}</small></h2>")
        for told in batch["samples"]:
            mark = "<mark>regularisation</mark> " if told["is_reg"] else ""
            parts.append(
                f"<figure><img src='{told['file']}' alt=''><figcaption>{mark}{escape(told['caption'] or '(no caption)')}"
                f"<br><small>{escape(in_words(told))}</small></figcaption></figure>"
            )
    head = f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Batches</title><style>{_STYLE}</style></head>"
    return f"{head}<body><h1>What the model will see</h1>{''.join(parts)}</body></html>\n"
