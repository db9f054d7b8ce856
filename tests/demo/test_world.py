"""The demo world: drawings show what their captions say, and captions can be read back."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from lora_trainer.demo import trial, world
from lora_trainer.randomness import rng


def near(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Which pixels have the colour, bool [H,W]."""
    return (abs(picture.astype(int) - np.asarray(colour)) <= 2).all(-1)


def test_a_seed_always_draws_the_same():
    def one(seed: int) -> np.ndarray:
        return world.draw(world.random_scene(rng(seed, "test", 7)))

    assert (one(1) == one(1)).all()
    assert (one(1) != one(2)).any()


@pytest.mark.parametrize("shape", world.SHAPES)
def test_the_picture_has_the_colours_of_the_caption(shape):
    for colour, background, size in itertools.product(world.COLOURS, world.BACKGROUNDS, world.SIZES):
        picture = world.draw(world.Scene(shape, colour, background, size))
        ink, ground = near(picture, world.COLOURS[colour]), near(picture, world.BACKGROUNDS[background])
        assert picture.shape == (64, 64, 3) and picture.dtype == np.uint8
        assert ink.sum() > 100 and ground.sum() > 1000
        assert ground[0].all() and ground[:, 0].all(), "the object touches the border"
        assert ink.sum() + ground.sum() > 0.85 * 64 * 64, "more than edges lies between the two colours"


def test_shapes_are_where_they_should_be():
    def ink(shape: str, size: str = "large") -> np.ndarray:
        return near(world.draw(world.Scene(shape, "red", "white", size)), world.COLOURS["red"])

    assert ink("circle")[32, 32] and not ink("ring")[32, 32] and ink("ring")[32, 14]
    assert ink("square")[14, 14] and not ink("circle")[14, 14]  # a square has corners
    assert ink("triangle")[50, 10] and not ink("triangle")[14, 14] and ink("triangle")[14, 32]  # one corner up
    assert ink("cross")[32, 10] and ink("cross")[10, 32] and not ink("cross")[18, 18]
    assert ink("star")[10, 32] and not ink("star")[55, 32]  # a point up, none straight down
    for shape in world.SHAPES:
        rows, columns = np.nonzero(ink(shape))
        large = columns.max() - columns.min()
        columns = np.nonzero(ink(shape, "medium"))[1]
        assert large - (columns.max() - columns.min()) > 10, f"medium and large are alike for {shape}"


def test_an_object_moves_with_its_centre():
    scene = world.Scene("circle", "blue", "pink", "medium", centre=(3.0, -3.0))
    rows, columns = np.nonzero(near(world.draw(scene), world.COLOURS["blue"]))
    assert columns.mean() == pytest.approx(31.5 + 3, abs=0.3) and rows.mean() == pytest.approx(31.5 - 3, abs=0.3)


def test_a_wide_picture_keeps_the_object_round():
    picture = world.draw(world.Scene("circle", "green", "white", "large"), width=96, height=64)
    rows, columns = np.nonzero(near(picture, world.COLOURS["green"]))
    assert picture.shape == (64, 96, 3)
    assert np.ptp(rows) == np.ptp(columns) and columns.mean() == pytest.approx(47.5, abs=0.3)


def test_captions_parse_back():
    for index in range(300):
        draw = rng(0, "test caption", index)
        scene = world.random_scene(draw, held_out=index % 2 == 0)
        parts = {"size": scene.size, "colour": scene.colour, "shape": scene.shape, "background": scene.background}
        assert world.parse(scene.caption()) == parts
        read = world.parse(world.random_caption(scene, draw))
        assert read["shape"] == scene.shape and read.items() <= parts.items()


@pytest.mark.parametrize(
    "caption", ["a red", "red circle", "a large red dog", "a red circle on a blue background", "a red large circle"]
)
def test_other_captions_are_refused(caption):
    with pytest.raises(ValueError, match="no caption of this world"):
        world.parse(caption)


def test_training_never_shows_what_is_held_out():
    held_out = set(world.triplets(True))
    assert 10 <= len(held_out) <= 25
    assert not held_out & {world.random_scene(rng(0, "test", index)).triplet for index in range(500)}
    drawn = {world.random_scene(rng(0, "test", index), held_out=True).triplet for index in range(500)}
    assert drawn == held_out
    for words, position in ((world.SHAPES, 0), (world.COLOURS, 1), (world.BACKGROUNDS, 2)):
        assert {triplet[position] for triplet in world.triplets(False)} == set(words)


def test_the_subject_is_new_and_striped():
    assert "heart" not in world.SHAPES
    for picture, caption in trial.subject_pictures(12):
        words = world.parse(caption.replace("sks ", ""))
        assert words["shape"] == "heart" and "sks heart" in caption
        ink = near(picture, world.COLOURS[words["colour"]]).sum()
        stripes = near(picture, world.STRIPE_COLOUR).sum()
        assert ink > 300 and stripes > 300
        rows, columns = np.nonzero(near(picture, world.COLOURS[words["colour"]]) | near(picture, world.STRIPE_COLOUR))
        if words["background"] != "white":
            top, bottom = np.ptp(columns[rows < rows.min() + 12]), np.ptp(columns[rows > rows.max() - 5])
            assert top > 3 * bottom, "a heart is wide above and pointed below"


def test_pictures_are_written_with_their_captions(tmp_path):
    from PIL import Image

    pairs = trial.base_pictures(3, seed=5)
    assert trial.write(pairs, tmp_path) == 3
    for index, (picture, caption) in enumerate(pairs):
        assert (np.asarray(Image.open(tmp_path / f"{index:04}.png")) == picture).all()
        assert (tmp_path / f"{index:04}.txt").read_text() == caption + "\n"
