"""A grid as one labelled picture, with what it was drawn with in the file."""

from __future__ import annotations

import io
import json
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from .grid import Cell, Grid

_EDGE, _GAP, _HEAD = 24, 8, 150  # pixels
_INK, _SOFT, _GROUND, _EMPTY = "#1f2937", "#6b7280", "#ffffff", "#e5e7eb"
_LEAST_SIDE, _MAX_SIDE = 192, 512  # of a picture: the demo model's are of 64 pixels
_LEAST_INNER = 520  # what stands on top can be read
_LINE = 22
# The first that is there has most of the world's letters; Pillow's own has Latin ones.
_FONTS = ("NotoSansCJK-Regular.ttc", "malgun.ttf", "AppleSDGothicNeo.ttc", "NanumGothic.ttf", "DejaVuSans.ttf", "arial.ttf")


def sheet(grid: Grid, picture_of: Callable[[Cell], Path | None]) -> bytes:
    """The PNG file. On top what all pictures were drawn with; then a block for each prompt: a row for each LoRA and one
    without, a column for each strength; what is not drawn yet is grey. `parameters` (as the Web UI reads it) and `grid` in its
    text say the same."""
    pictures = {cell.key: picture_of(cell) for cell in grid.cells()}
    said = drawn_with(grid, pictures.values())
    width, height = _tile(grid)
    font, small = _font(17), _font(13)
    inner = _HEAD + len(grid.strengths) * (width + _GAP) - _GAP
    facts = textwrap.wrap(said, max(34, inner // 7))
    heads = [textwrap.wrap(prompt, max(20, inner // 9)) for prompt in grid.prompts]
    rows = len(grid.candidates) + 1
    block = [len(lines) * _LINE + _LINE + rows * (height + _GAP) + _EDGE for lines in heads]
    top = _EDGE + len(facts) * _LINE + _EDGE // 2
    whole = Image.new("RGB", (max(inner, _LEAST_INNER) + 2 * _EDGE, top + sum(block)), _GROUND)
    pen = ImageDraw.Draw(whole)
    for number, line in enumerate(facts):
        pen.text((_EDGE, _EDGE + number * _LINE), line, fill=_SOFT, font=small)
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
            for column in range(len(grid.strengths) if row else 1):
                key = f"p{prompt}-l{row - 1}-s{column}" if row else f"p{prompt}-without"
                _put(whole, pictures[key], (_EDGE + _HEAD + column * (width + _GAP), top), (width, height))
            top += height + _GAP
        top += _EDGE
    return _png(whole, grid, said)


def drawn_with(grid: Grid, pictures: Iterable[Path | None]) -> str:
    """Base model, seed and all else that the pictures share, in the words that their host wrote into the first one drawn."""
    for path in pictures:
        line = _text_of(path).strip().rpartition("\n")[2] if path else ""
        if line.startswith("Steps: "):
            return re.sub(r", Lora hashes: (\"[^\"]*\"|[^,]*)", "", line)
    asked = {**_without_paths(grid.settings), "negative_prompt": ""}  # which is told by itself
    return ", ".join(f"{key}: {value}" for key, value in asked.items() if value != "")


def _without_paths(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with the names of models: no folders of the person's machine."""
    return {key: Path(str(value)).name if key in ("checkpoint", "vae") else value for key, value in settings.items()}


def model_of(grid: Grid, pictures: Iterable[Path | None]) -> str:
    """What the base model of the pictures is called; "" before the first one was drawn where nothing was asked for."""
    found = re.search(r"(?:^|, )Model: (\"(?:[^\"\\]|\\.)*\"|[^,]+)", drawn_with(grid, pictures))
    if found is None:
        return Path(str(grid.settings.get("checkpoint") or "")).stem
    return str(json.loads(found[1])) if found[1].startswith('"') else found[1]


def _text_of(path: Path) -> str:
    with Image.open(path) as picture:  # our own, or the host's
        return str(picture.info.get("parameters") or "")


def _tile(grid: Grid) -> tuple[int, int]:
    width, height = int(grid.settings.get("width", 512)), int(grid.settings.get("height", 512))
    scale = min(_MAX_SIDE, max(_LEAST_SIDE, width, height)) / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _put(whole: Image.Image, path: Path | None, at: tuple[int, int], size: tuple[int, int]) -> None:
    if path is None:
        whole.paste(_EMPTY, (*at, at[0] + size[0], at[1] + size[1]))
        return
    with Image.open(path) as picture:
        whole.paste(picture.convert("RGB").resize(size, Image.Resampling.LANCZOS), at)


def _png(whole: Image.Image, grid: Grid, drawn: str) -> bytes:
    said = {key: value for key, value in grid.as_json().items() if key != "candidates"}
    said["loras"] = [{"name": one.name, "step": one.step} for one in grid.candidates]
    said["settings"] = _without_paths(grid.settings)
    text = PngImagePlugin.PngInfo()
    negative = f"Negative prompt: {grid.settings['negative_prompt']}" if grid.settings.get("negative_prompt") else ""
    text.add_itxt("parameters", "\n".join(filter(None, [*grid.prompts, negative, drawn])))
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
