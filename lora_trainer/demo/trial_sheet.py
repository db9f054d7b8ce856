"""The trial's picture: prompts side by side, a row for each strength of the LoRA, every row and column labelled."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ..paths import write_atomic

TILE, GAP, EDGE = 168, 12, 24  # pixels
ROW_HEAD = 118  # width of the rows' labels
GROUND, INK, SOFT, ACCENT = "#ffffff", "#1f2937", "#6b7280", "#c2410c"


def sheet(rows: Sequence[tuple[str, str, Sequence[Image.Image]]], prompts: Sequence[str], mark: str) -> Image.Image:
    """Return the picture. `rows` are (label, line below it, one picture for each of `prompts`); `mark` is a word of the
    prompts that is set apart by its colour."""
    heads = [textwrap.wrap(prompt, 23) for prompt in prompts]
    title, small = _font(21), _font(14)
    top = EDGE + 19 * max(len(lines) for lines in heads) + 10
    width = EDGE + ROW_HEAD + len(prompts) * (TILE + GAP) - GAP + EDGE
    whole = Image.new("RGB", (width, top + len(rows) * (TILE + GAP) - GAP + EDGE), GROUND)
    pen = ImageDraw.Draw(whole)
    shape = _rounded()
    for column, lines in enumerate(heads):
        left = EDGE + ROW_HEAD + column * (TILE + GAP)
        y = top - 10 - 19 * len(lines)
        for line in lines:
            _words(pen, (left, y), line, mark, small)
            y += 19
    for row, (label, below, pictures) in enumerate(rows):
        y = top + row * (TILE + GAP)
        pen.text((EDGE, y + TILE // 2 - 24), label, fill=INK, font=title)
        pen.text((EDGE, y + TILE // 2 + 6), below, fill=SOFT, font=small)
        for column, picture in enumerate(pictures):
            large = picture.convert("RGB").resize((TILE, TILE), Image.Resampling.BICUBIC)
            whole.paste(large, (EDGE + ROW_HEAD + column * (TILE + GAP), y), shape)
    return whole


def strip(pictures: Sequence[Image.Image], tile: int = 96, gap: int = 8) -> Image.Image:
    """Return the pictures side by side on a transparent ground."""
    whole = Image.new("RGBA", (len(pictures) * (tile + gap) - gap, tile))
    shape = _rounded(tile)
    for column, picture in enumerate(pictures):
        large = picture.convert("RGB").resize((tile, tile), Image.Resampling.BICUBIC)
        whole.paste(large, (column * (tile + gap), 0), shape)
    return whole


def save(picture: Image.Image, path: Path) -> None:
    """Write a PNG atomically. Raises SaveError."""
    write_atomic(path, lambda file: picture.save(file, format="PNG", optimize=True))


def _words(pen: ImageDraw.ImageDraw, at: tuple[int, int], line: str, mark: str, font: ImageFont.ImageFont) -> None:
    x, y = at
    for word in line.split():
        pen.text((x, y), word, fill=ACCENT if word == mark else INK, font=font)
        x += round(pen.textlength(word + " ", font=font))


def _rounded(tile: int = TILE) -> Image.Image:
    """A mask with rounded corners, smooth because it is drawn four times as large."""
    mask = Image.new("L", (4 * tile, 4 * tile))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, 4 * tile - 1, 4 * tile - 1), radius=tile // 3, fill=255)
    return mask.resize((tile, tile), Image.Resampling.LANCZOS)


def _font(size: int) -> ImageFont.ImageFont:
    try:
        return ImageFont.load_default(size)
    except TypeError:  # Pillow before 10.1 has one size
        return ImageFont.load_default()
