"""A grid as one labelled picture, with what it was drawn with in the file."""

from __future__ import annotations

import io
import json
import textwrap
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from .grid import Cell, Grid

_EDGE, _GAP, _HEAD = 24, 8, 150  # pixels
_INK, _SOFT, _GROUND, _EMPTY = "#1f2937", "#6b7280", "#ffffff", "#e5e7eb"
_MAX_SIDE = 512  # of a picture
_LINE = 22
# The first that is there has most of the world's letters; Pillow's own has Latin ones.
_FONTS = ("NotoSansCJK-Regular.ttc", "malgun.ttf", "AppleSDGothicNeo.ttc", "NanumGothic.ttf", "DejaVuSans.ttf", "arial.ttf")


def sheet(grid: Grid, picture_of: Callable[[Cell], Path | None]) -> bytes:
    """The PNG file. A block for each prompt: a row for each LoRA and one without, a column for each strength; what is not
    drawn yet is grey. `parameters` and `grid` in its text say what was asked for."""
    cells = {cell.key: cell for cell in grid.cells()}
    width, height = _tile(grid)
    font, small = _font(17), _font(13)
    columns = len(grid.strengths)
    inner = _HEAD + columns * (width + _GAP) - _GAP
    heads = [textwrap.wrap(prompt, max(20, inner // 9)) for prompt in grid.prompts]
    rows = len(grid.candidates) + 1
    block = [len(lines) * _LINE + _LINE + rows * (height + _GAP) + _EDGE for lines in heads]
    whole = Image.new("RGB", (inner + 2 * _EDGE, sum(block) + _EDGE), _GROUND)
    pen = ImageDraw.Draw(whole)
    top = _EDGE
    for prompt, lines in enumerate(heads):
        for line in lines:
            pen.text((_EDGE, top), line, fill=_INK, font=font)
            top += _LINE
        for column, strength in enumerate(grid.strengths):
            pen.text((_EDGE + _HEAD + column * (width + _GAP), top), f"{strength:g}", fill=_SOFT, font=small)
        top += _LINE
        for row in range(rows):
            label = grid.candidates[row - 1].name if row else "without"
            for number, line in enumerate(textwrap.wrap(label, 20)[:4]):
                pen.text((_EDGE, top + 4 + number * 17), line, fill=_INK, font=small)
            for column in range(columns if row else 1):
                key = f"p{prompt}-l{row - 1}-s{column}" if row else f"p{prompt}-without"
                _put(whole, picture_of(cells[key]), (_EDGE + _HEAD + column * (width + _GAP), top), (width, height))
            top += height + _GAP
        top += _EDGE
    return _png(whole, grid)


def _tile(grid: Grid) -> tuple[int, int]:
    width, height = int(grid.settings.get("width", 512)), int(grid.settings.get("height", 512))
    scale = min(1.0, _MAX_SIDE / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _put(whole: Image.Image, path: Path | None, at: tuple[int, int], size: tuple[int, int]) -> None:
    if path is None:
        whole.paste(_EMPTY, (*at, at[0] + size[0], at[1] + size[1]))
        return
    with Image.open(path) as picture:  # our own, or the host's
        whole.paste(picture.convert("RGB").resize(size, Image.Resampling.LANCZOS), at)


def _png(whole: Image.Image, grid: Grid) -> bytes:
    said = {key: value for key, value in grid.as_json().items() if key != "candidates"}
    said["loras"] = [{"name": one.name, "step": one.step} for one in grid.candidates]  # no paths of the person's machine
    text = PngImagePlugin.PngInfo()
    settings = ", ".join(f"{key}: {value}" for key, value in grid.settings.items())
    text.add_itxt("parameters", "\n".join([*grid.prompts, settings]))
    text.add_itxt("grid", json.dumps(said, ensure_ascii=False))
    out = io.BytesIO()
    whole.save(out, "PNG", pnginfo=text)
    return out.getvalue()


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    for name in _FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    try:
        return ImageFont.load_default(size)
    except TypeError:  # Pillow before 10.1 has one size
        return ImageFont.load_default()
