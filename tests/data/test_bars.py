"""Bars are found at their very edge, and what is left of a picture is all of it that is none."""

import io

import pytest
from dataset_files import picture
from PIL import Image, ImageDraw

from lora_trainer.data.plan.lint.bars import content_box

SIZE = (400, 300)
FRAMED = {
    "letterbox": (0, 40, 400, 260),
    "pillarbox": (60, 0, 340, 300),
    "all around": (40, 40, 360, 260),
    "of two widths": (0, 20, 400, 240),
    "thin": (0, 14, 400, 286),
}


def framed(box, colour="black", inside=None):
    around = Image.new("RGB", SIZE, colour)
    around.paste(inside or picture(box[2] - box[0], box[3] - box[1]), box[:2])
    return around


def as_jpeg(image, quality=75):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


@pytest.mark.parametrize("colour", ["black", "white"])
@pytest.mark.parametrize("kind", FRAMED)
def test_what_is_left_without_bars_is_the_picture_and_nothing_of_them(kind, colour):
    noise = Image.merge("RGB", [Image.effect_noise((400, 300), 80)] * 3) if kind == "thin" or colour == "white" else None
    box = FRAMED[kind]
    inside = noise.crop((0, 0, box[2] - box[0], box[3] - box[1])) if noise else None
    for image in (framed(box, colour, inside), as_jpeg(framed(box, colour, inside))):
        found = content_box(image)
        assert found is not None
        for side, (wanted, got) in enumerate(zip(box, found, strict=True)):
            inwards = got - wanted if side < 2 else wanted - got
            at_edge = wanted in (0, SIZE[side % 2])
            assert (inwards == 0) if at_edge else 0 <= inwards <= 4, (kind, found)
        assert content_box(image.crop(found)) is None, "once is enough"


def test_a_sky_a_ground_of_one_colour_and_a_drawing_on_white_are_no_bars():
    sky = picture(*SIZE)
    sky.paste("skyblue", (0, 0, 400, 90))
    drawing = Image.new("RGB", SIZE, "white")
    ImageDraw.Draw(drawing).rectangle((120, 60, 280, 240), fill="green")
    for image in (sky, drawing, Image.new("RGB", SIZE, "red"), picture(*SIZE), picture(20, 20)):
        assert content_box(image) is None
