"""Image files of all kinds become upright RGB pixels of their bucket's size."""

from random import Random

import numpy as np
import pytest
from dataset_files import make_images, one_dataset, picture
from PIL import Image

from lora_trainer.data.images import load_pixels, planned_pixels, vary_colour
from lora_trainer.data.plan import make_plan
from lora_trainer.data.plan.cuts import cut_of
from lora_trainer.errors import InputError

ASYMMETRIC = np.zeros((4, 6, 3), np.uint8)
ASYMMETRIC[0, 0], ASYMMETRIC[0, 5], ASYMMETRIC[3, 0] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
# What a camera stores for a scene, for each EXIF orientation (EXIF 2.32, 4.6.4 A).
STORED = {
    1: ASYMMETRIC,
    2: ASYMMETRIC[:, ::-1],
    3: ASYMMETRIC[::-1, ::-1],
    4: ASYMMETRIC[::-1],
    5: ASYMMETRIC.swapaxes(0, 1),
    6: np.rot90(ASYMMETRIC, 1),
    7: np.rot90(ASYMMETRIC, 2).swapaxes(0, 1),
    8: np.rot90(ASYMMETRIC, -1),
}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_turned_upright(orientation, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(STORED[orientation])).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(load_pixels(str(tmp_path / "a.png")), ASYMMETRIC)


@pytest.mark.parametrize("value", [0, 9, 77])
def test_a_senseless_orientation_is_ignored(value, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = value
    Image.fromarray(ASYMMETRIC).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(load_pixels(str(tmp_path / "a.png")), ASYMMETRIC)


def test_transparent_parts_become_white(tmp_path):
    rgba = np.zeros((2, 2, 4), np.uint8)
    rgba[0, 0] = (200, 100, 0, 255)
    rgba[0, 1] = (0, 0, 0, 127)
    Image.fromarray(rgba, "RGBA").save(tmp_path / "a.png")
    pixels = load_pixels(str(tmp_path / "a.png"))
    assert pixels[0, 0].tolist() == [200, 100, 0]
    assert pixels[0, 1].tolist() == [128, 128, 128]
    assert pixels[1].tolist() == [[255] * 3] * 2


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "CMYK", "RGB", "RGBA"])
def test_every_mode_becomes_rgb(mode, tmp_path):
    name = "a.jpg" if mode == "CMYK" else "a.png"
    picture(16, 8).convert(mode).save(tmp_path / name)
    pixels = load_pixels(str(tmp_path / name))
    assert (pixels.shape, pixels.dtype) == ((8, 16, 3), np.uint8)
    assert pixels.std() > 20


def test_a_palette_with_a_transparent_colour_becomes_white_there(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    image.save(tmp_path / "a.png", transparency=0)
    assert load_pixels(str(tmp_path / "a.png")).tolist() == [[[255, 255, 255], [40, 50, 60]]]


def test_16_bit_grey_is_scaled_not_clipped(tmp_path):
    Image.fromarray(np.array([[0, 32768, 65535]], np.uint16)).save(tmp_path / "a.png")
    assert load_pixels(str(tmp_path / "a.png"))[0, :, 0].tolist() == [0, 127, 255]


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"a\.png.*cannot be read"):
        load_pixels(str(tmp_path / "a.png"))


def plan_of(folder, **subset):
    settings = {"enable_bucket": True, "min_bucket_reso": 32, "max_bucket_reso": 128, "bucket_reso_steps": 32}
    return make_plan(one_dataset({"image_dir": folder, "class_tokens": "x", **subset}, **settings))


def test_planned_pixels_have_the_buckets_size_and_are_from_the_middle(tmp_path):
    plan = plan_of(make_images(tmp_path, {"a.png": (200, 100), "b.png": (64, 64), "c.jpg": (50, 90)}))
    for image in plan.images:
        assert planned_pixels(plan, image).shape == (image.bucket[1], image.bucket[0], 3)
    whole = np.array(picture(64, 64, seed=1))
    assert np.array_equal(planned_pixels(plan, plan.images[1]), whole)


def test_a_random_crop_without_buckets_is_cut_at_the_images_own_scale(tmp_path):
    make_images(tmp_path, {"a.png": (100, 90)})
    plan = make_plan(one_dataset({"image_dir": tmp_path, "class_tokens": "x", "random_crop": True}))
    whole = np.array(picture(100, 90))
    image = plan.images[0]
    crops = [planned_pixels(plan, image, cut_of(plan, image, Random(seed))) for seed in range(20)]
    views = np.lib.stride_tricks.sliding_window_view(whole, (64, 64, 3))
    places = {tuple(np.argwhere((views == crop).all((-1, -2, -3)))[0][:2].tolist()) for crop in crops}
    assert len(places) > 10
    assert {y for y, _ in places} <= set(range(27))
    assert {x for _, x in places} <= set(range(37))


def test_an_image_that_changed_since_planning_is_named(tmp_path):
    plan = plan_of(make_images(tmp_path, {"a.png": (64, 64)}))
    picture(65, 64).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png.*65x64 now, but was 64x64"):
        planned_pixels(plan, plan.images[0])


def test_colours_vary_a_little_and_in_a_third_of_the_cases():
    pixels = np.array(picture(32, 32))
    varied = [vary_colour(pixels, Random(seed)) for seed in range(300)]
    changed = [v for v in varied if not np.array_equal(v, pixels)]
    assert 70 <= len(changed) <= 130
    assert all(np.abs(v.astype(int) - pixels).mean() < 25 for v in changed)
    assert np.array_equal(vary_colour(pixels, Random(3)), vary_colour(pixels, Random(3)))
