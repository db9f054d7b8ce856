"""Pictures for the tests of the page: drawn frogs in different colours, places and proportions."""

from __future__ import annotations

import colorsys
import io
import random

from PIL import Image, ImageDraw

SCENES = ("on a leaf", "by a pond", "at night", "in the rain", "on a stone", "in tall grass", "at sunset", "under a fern")


def color(hue: float, saturation: float, value: float) -> tuple[int, int, int]:
    return tuple(round(255 * part) for part in colorsys.hsv_to_rgb(hue % 1, saturation, value))


def frog(seed: int, width: int = 512, height: int = 512, detail: float = 1.0) -> Image.Image:
    """A frog; `detail` 0..1 is how far it has been learned: at 0 only colours are left."""
    draw_random = random.Random(seed)
    scale = 2
    wide, high = width * scale, height * scale
    image = Image.new("RGB", (wide, high))
    draw = ImageDraw.Draw(image)
    sky = draw_random.choice([0.55, 0.6, 0.08, 0.48, 0.7])
    for y in range(high):
        share = y / high
        draw.line([(0, y), (wide, y)], fill=color(sky - 0.05 * share, 0.25 + 0.3 * share, 0.93 - 0.35 * share))
    ground = int(high * draw_random.uniform(0.68, 0.8))
    draw.ellipse([-wide * 0.3, ground, wide * 1.3, high * 1.5], fill=color(draw_random.uniform(0.22, 0.4), 0.45, 0.5))
    size = min(wide, high) * draw_random.uniform(0.26, 0.34) * (0.55 + 0.45 * detail)
    x = wide / 2 + draw_random.uniform(-0.08, 0.08) * wide
    y = ground + size * 0.05
    hue = draw_random.uniform(0.26, 0.36)
    body, dark, belly = color(hue, 0.7, 0.72), color(hue, 0.75, 0.5), color(hue - 0.12, 0.35, 0.93)
    for side in (-1, 1):
        draw.ellipse(
            [x + side * size * 0.85 - size * 0.55, y - size * 0.1, x + side * size * 0.85 + size * 0.55, y + size * 0.75],
            fill=dark,
        )
        draw.ellipse(
            [x + side * size * 0.55 - size * 0.28, y + size * 0.5, x + side * size * 0.55 + size * 0.28, y + size * 0.95],
            fill=body,
        )
    draw.ellipse([x - size, y - size * 0.75, x + size, y + size * 0.8], fill=body)
    draw.ellipse([x - size * 0.68, y - size * 0.1, x + size * 0.68, y + size * 0.78], fill=belly)
    if detail > 0.3:
        for side in (-1, 1):
            eye_x, eye_y, eye = x + side * size * 0.52, y - size * 0.72, size * 0.34
            draw.ellipse([eye_x - eye, eye_y - eye, eye_x + eye, eye_y + eye], fill=body)
            draw.ellipse([eye_x - eye * 0.7, eye_y - eye * 0.7, eye_x + eye * 0.7, eye_y + eye * 0.7], fill=(250, 248, 235))
            draw.ellipse([eye_x - eye * 0.36, eye_y - eye * 0.4, eye_x + eye * 0.36, eye_y + eye * 0.4], fill=(25, 25, 30))
            draw.ellipse([eye_x - eye * 0.2, eye_y - eye * 0.34, eye_x + eye * 0.02, eye_y - eye * 0.1], fill=(255, 255, 255))
        draw.arc(
            [x - size * 0.6, y - size * 0.55, x + size * 0.6, y + size * 0.15],
            15,
            165,
            fill=dark,
            width=max(3, int(size * 0.045)),
        )
    if detail > 0.6:
        for _ in range(7):
            spot_x, spot_y, spot = (
                x + draw_random.uniform(-0.8, 0.8) * size,
                y + draw_random.uniform(-0.55, -0.2) * size,
                size * draw_random.uniform(0.04, 0.09),
            )
            draw.ellipse([spot_x - spot, spot_y - spot, spot_x + spot, spot_y + spot], fill=dark)
    return image.resize((width, height), Image.LANCZOS)


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def folder_of_frogs(folder, count: int = 8, size: int = 512, captions: bool = True) -> list:
    """Write `count` frogs with captions into `folder`; returns all paths, images before captions."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index in range(count):
        width, height = [(size, size), (size, size * 3 // 2), (size * 3 // 2, size)][index % 3]
        path = folder / f"frog_{index + 1:02}.png"
        path.write_bytes(png(frog(index, width, height)))
        paths.append(path)
        if captions:
            text = path.with_suffix(".txt")
            text.write_text(f"photo of sls frog {SCENES[index % len(SCENES)]}", encoding="utf-8")
            paths.append(text)
    return sorted(paths, key=lambda path: path.suffix == ".txt")
