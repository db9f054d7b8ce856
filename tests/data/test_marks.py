"""The same mark in a corner of many pictures is found, and nothing else that pictures have in common."""

import random
from functools import lru_cache

import pytest
from PIL import Image, ImageDraw, ImageFilter

from lora_trainer.data.plan.lint.marks import Marks


@lru_cache(maxsize=100)
def scene(number, size=(512, 384)):
    """A picture with things of many sizes at chance places, as a photograph has them."""
    chance = random.Random(number)
    image = Image.new("RGB", size, tuple(chance.randrange(256) for _ in range(3)))
    draw = ImageDraw.Draw(image)
    for _ in range(120):
        x, y, side = chance.randrange(size[0]), chance.randrange(size[1]), chance.randrange(6, 120)
        draw.ellipse((x, y, x + side, y + side), fill=tuple(chance.randrange(256) for _ in range(3)))
    noise = Image.frombytes("L", size, chance.randbytes(size[0] * size[1])).convert("RGB")
    return Image.blend(image.filter(ImageFilter.GaussianBlur(1)), noise, 0.16)


def text(words, scale=3):
    small = Image.new("L", (8 * len(words) + 4, 14))
    ImageDraw.Draw(small).text((2, 1), words, fill=255)
    return small.resize((small.width * scale // 2, small.height * scale // 2))


def marked(image, words="(c) frogs.example", strength=0.5, at="bottom_right", margin=12):
    """The picture with words over a corner, so strong."""
    letters = text(words)
    left = (
        margin
        if "left" in at
        else (image.width - letters.width - margin if "right" in at else (image.width - letters.width) // 2)
    )
    top = margin if "top" in at else image.height - letters.height - margin
    image = image.copy()
    image.paste("white", (left, top), letters.point(lambda value: round(value * strength)))
    return image


def found(folder, images):
    for number, image in enumerate(images):
        image.save(folder / f"{number:03}.jpg", quality=85)
    marks, left = Marks().find(sorted(str(path) for path in folder.glob("*.jpg")))
    assert left == []
    return {one.region: len(one.paths) for one in marks}


@pytest.mark.parametrize("at", ["top_left", "bottom"])
def test_a_mark_is_found_where_it_is(tmp_path, at):
    assert found(tmp_path, [marked(scene(number), at=at) for number in range(10)]) == {at: 10}


def test_a_faint_mark_is_found_and_pictures_without_it_and_of_another_shape_are_told_apart(tmp_path):
    images = [marked(scene(number, (512, 384 + 64 * (number % 2))), strength=0.3, at="bottom_right") for number in range(18)]
    seen = found(tmp_path, [*images, scene(20), scene(21)])
    assert list(seen) == ["bottom_right"] and 16 <= seen["bottom_right"] <= 18


def white(number):
    """A thing on white, as shops show theirs: no two at the same place."""
    chance, image = random.Random(number), Image.new("RGB", (512, 384), "white")
    x, y = chance.randrange(100, 200), chance.randrange(60, 120)
    image.paste(scene(number, (180, 180)), (x, y))
    return image


def room(number):
    """The same room, with somebody else in it."""
    image = scene(0).copy()
    image.paste(scene(number, (160, 200)), (random.Random(number).randrange(120, 240), 150))
    return image


def framed(number):
    image = scene(number).copy()
    ImageDraw.Draw(image).rectangle((8, 8, 503, 375), outline="gold", width=4)
    return image


def horizon(number):
    image = scene(number).copy()
    image.paste("navy", (0, 340, 512, 384))
    return image


def letterboxed(number):
    image = scene(number).copy()
    for top in (0, 344):
        image.paste("black", (0, top, 512, top + 40))
    return image


OTHERS = {
    "nothing": scene, "a white ground": white, "a room": room, "a frame": framed, "a horizon": horizon, "bars": letterboxed,
    "one colour": lambda number: Image.new("RGB", (512, 384), (number * 9, 40, 90)),
}  # fmt: skip


@pytest.mark.parametrize("kind", OTHERS)
def test_what_else_pictures_have_in_common_is_no_mark(tmp_path, kind):
    assert found(tmp_path, [OTHERS[kind](number) for number in range(10)]) == {}


def test_of_few_pictures_nothing_is_said(tmp_path):
    assert found(tmp_path, [marked(scene(number)) for number in range(7)]) == {}
