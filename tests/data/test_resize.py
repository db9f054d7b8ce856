"""Resizing gives the pixels of the reference, to one grey level (golden/image_resize.*)."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from lora_trainer.data.images import to_tensor
from lora_trainer.data.plan.buckets import centre_crop, crop_box
from lora_trainer.data.resize import resize

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = json.loads((GOLDEN / "image_resize.json").read_text(encoding="utf-8"))["cases"]
ARRAYS = load_file(GOLDEN / "image_resize.safetensors")


def levels_apart(ours, golden):
    assert ours.dtype == np.uint8
    assert ours.shape == golden.shape
    return int(np.abs(ours.astype(int) - golden).max())


@pytest.mark.parametrize("case", [case for case in CASES if "to" in case], ids=lambda case: case["case"])
def test_resizing_equals_the_reference(case):
    ours = resize(ARRAYS[f"{case['case']}.in"], tuple(case["to"]), case["resize_interpolation"])
    assert levels_apart(ours, ARRAYS[f"{case['case']}.out"]) <= 1


@pytest.mark.parametrize("case", [case for case in CASES if "bucket" in case], ids=lambda case: case["case"])
def test_resizing_and_cropping_to_a_bucket_equals_the_reference(case):
    image, bucket = tuple(case["image"]), tuple(case["bucket"])
    assert crop_box(image, bucket) == pytest.approx(case["crop_ltrb"], rel=1e-6)
    x, y = centre_crop(tuple(case["resized"]), bucket)
    pixels = resize(ARRAYS[f"{case['case']}.in"], tuple(case["resized"]))[y : y + bucket[1], x : x + bucket[0]]
    assert levels_apart(pixels, ARRAYS[f"{case['case']}.out"]) <= 1
    assert np.abs(to_tensor(pixels).numpy() - ARRAYS[f"{case['case']}.tensor"]).max() <= 1.01 / 127.5


@pytest.mark.parametrize("interpolation", [None, "area", "bicubic", "bilinear", "box", "cubic", "lanczos", "linear", "nearest"])
@pytest.mark.parametrize("size", [(7, 5), (19, 23), (13, 5), (1, 1), (40, 17)])
def test_an_even_picture_stays_even(interpolation, size):
    pixels = np.full((11, 13, 3), (3, 128, 252), np.uint8)
    assert levels_apart(resize(pixels, size, interpolation), np.full((size[1], size[0], 3), (3, 128, 252))) <= 1


@pytest.mark.parametrize("size", [(3, 2), (12, 7), (13, 1)])
def test_the_area_filter_is_the_mean_over_the_span(size):
    """Against a picture enlarged so that every span is a whole number of pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (11, 13, 3), np.uint8)
    large = pixels.repeat(size[1], 0).repeat(size[0], 1).astype(float)
    means = large.reshape(size[1], 11, size[0], 13, 3).mean((1, 3))
    assert np.abs(resize(pixels, size, "area") - means).max() <= 0.51


def test_an_unknown_filter_is_refused():
    with pytest.raises(ValueError, match="magic"):
        resize(np.zeros((4, 4, 3), np.uint8), (2, 2), "magic")
