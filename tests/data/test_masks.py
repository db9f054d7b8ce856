"""Masks: which image has which, what is said of odd ones, and that they go the way of their images."""

from __future__ import annotations

import re
from random import Random

import numpy as np
import pytest
import torch
from dataset_files import make_images, one_dataset, picture
from PIL import Image
from test_latents_cache import encode

from lora_trainer.data import masks
from lora_trainer.data.cache import LatentsCache
from lora_trainer.data.dataset import EpochStream, TrainDataset
from lora_trainer.data.images import planned_pixels
from lora_trainer.data.masks import Masks, mask_pixels, planned_mask
from lora_trainer.data.plan import make_plan
from lora_trainer.data.plan.cuts import cut_of
from lora_trainer.data.plan.digest import data_facts
from lora_trainer.models import vae


def half_white(size, mode="L"):
    """A mask whose left half is white."""
    mask = Image.new("L", size, 0)
    mask.paste(255, (0, 0, size[0] // 2, size[1]))
    return mask.convert(mode)


def planned(folder, *, masked_loss=True, settings=None, **subset):
    spec = one_dataset({"image_dir": folder, "class_tokens": "x", **subset}, **(settings or {}))
    return make_plan(type(spec)(datasets=spec.datasets, masked_loss=masked_loss))


def said(plan, level):
    """What the plan says of masks."""
    about = ("mask", "transparent")
    return [one.message for one in plan.findings if one.level == level and any(word in one.message for word in about)]


def names(plan):
    """{name of an image: name of its mask}."""
    return {image.path.rpartition("/")[2]: image.mask.rpartition("/")[2] for image in plan.images}


@pytest.fixture
def folder(tmp_path):
    return make_images(tmp_path / "images", {"a.png": (64, 64), "b.jpg": (96, 64), "c.png": (64, 64)})


@pytest.mark.effect("masked_loss", "conditioning_data_dir")
def test_a_mask_lies_beside_its_image_or_in_the_folder_of_masks(folder, tmp_path):
    other = tmp_path / "masks"
    other.mkdir()
    half_white((64, 64)).save(folder / "a-masklabel.png")
    half_white((96, 64)).save(folder / "B-MaskLabel.png")
    half_white((64, 64)).save(other / "a.jpg")
    plan = planned(folder, conditioning_data_dir=other)
    assert names(plan) == {"a.png": "a.jpg", "b.jpg": "B-MaskLabel.png", "c.png": ""}  # the folder comes first
    assert said(plan, "warning") == ["1 image without a mask, learned whole: c.png."]
    assert [one["masks_found"] for one in plan.summary()["folders"]] == [2]
    unmasked = planned(folder, masked_loss=False)
    assert names(unmasked) == {"a.png": "", "b.jpg": "", "c.png": ""}  # a mask is no training image even so
    assert said(unmasked, "info") == ["2 masks beside the images without effect, because masked_loss is off."]


@pytest.mark.parametrize(
    ("mask", "level", "message"),
    [
        (Image.new("L", (64, 64), 0), "warning", "1 mask all black, so that nothing is learned of the image: a-masklabel.png."),
        (Image.new("L", (64, 64), 128), "warning", "1 mask without white, .* a-masklabel.png [(]50%[)]."),
        (Image.new("RGB", (64, 64), (255, 0, 0)), "warning", "1 mask with colours, of which only the red counts"),
        (Image.new("RGBA", (64, 64), (255, 255, 255, 0)), "warning", "1 mask with transparent parts, which count as black"),
        (half_white((32, 64)), "error", "the mask is 32x64, which is another shape than 64x64 of its image a.png"),
        (half_white((128, 128)), "", ""),  # another size alone is scaled
        (half_white((64, 64), "1"), "", ""),
        (half_white((64, 64), "P"), "", ""),
    ],
)
def test_what_is_said_of_a_mask(tmp_path, mask, level, message):
    folder = make_images(tmp_path, {"a.png": (64, 64)})
    mask.save(folder / "a-masklabel.png")
    plan = planned(folder)
    told = [(one.level, one.message) for one in plan.findings]
    if level:
        assert any(one == level and re.search(message, text) for one, text in told), told
    else:
        assert not any("mask" in text for _, text in told)
        assert planned_mask(plan, plan.images[0]).tolist() == [[1.0] * 4 + [0.0] * 4] * 8


def test_a_mask_that_is_no_picture_keeps_the_training_from_starting(folder):
    (folder / "a-masklabel.png").write_bytes(b"\x89PNG\r\n\x1a\n not whole")
    plan = planned(folder)
    [error] = [one for one in plan.findings if one.level == "error"]
    assert error.where.endswith("a-masklabel.png") and error.message.startswith("the mask cannot be used")


def test_masks_without_an_image_doubled_ones_and_folders_that_are_none_are_told(folder, tmp_path):
    other = tmp_path / "masks"
    make_images(other, {"a.png": (64, 64), "a.jpg": (64, 64), "z.png": (64, 64)})
    messages = said(planned(folder, conditioning_data_dir=other), "warning")
    assert "1 mask without an image of the same name: z.png." in messages
    assert "some images have two masks of their name; these are used: a.jpg." in messages
    assert said(planned(folder, conditioning_data_dir=tmp_path / "gone"), "error") == ["the folder of masks does not exist."]
    [own] = said(planned(folder, conditioning_data_dir=folder), "error")
    assert "each image would be its own mask" in own


@pytest.mark.effect("alpha_mask")
def test_the_transparency_of_an_image_is_its_mask(tmp_path):
    image = picture(64, 64).convert("RGBA")
    image.putalpha(half_white((64, 64)))
    image.save(tmp_path / "a.png")
    picture(64, 64).convert("RGBA").save(tmp_path / "b.png")
    plan = planned(tmp_path, masked_loss=False, alpha_mask=True)
    assert names(plan) == {"a.png": "a.png", "b.png": ""}
    assert planned_mask(plan, plan.images[0]).tolist() == [[1.0] * 4 + [0.0] * 4] * 8
    assert said(plan, "warning") == ["1 image without a transparent part, learned whole: b.png."]
    assert not any(image.mask for image in planned(tmp_path, masked_loss=False).images)
    half_white((64, 64)).transpose(Image.Transpose.ROTATE_90).save(tmp_path / "a-masklabel.png")  # a picture comes first
    plan = planned(tmp_path, alpha_mask=True)
    assert planned_mask(plan, plan.images[0])[:, 0].tolist() == [0.0] * 4 + [1.0] * 4


def test_a_mask_is_turned_as_its_exif_says(tmp_path):
    folder = make_images(tmp_path, {"a.png": (64, 96)})
    exif = Image.Exif()
    exif[0x0112] = 6
    half_white((96, 64)).save(folder / "a-masklabel.jpg", exif=exif)
    plan = planned(folder, settings={"resolution": (64, 96)})
    assert said(plan, "error") == []
    assert np.abs(mask_pixels(plan, plan.images[0])[:40].astype(int) - 255).max() < 4  # the left half is the upper one now


BUCKETS = {"enable_bucket": True, "min_bucket_reso": 32, "max_bucket_reso": 128, "bucket_reso_steps": 8}


@pytest.mark.parametrize("interpolation", [None, "lanczos", "bilinear"])
@pytest.mark.parametrize("size", [(150, 67), (61, 130), (40, 40)])
def test_a_mask_is_resized_and_cut_as_its_image_is(tmp_path, size, interpolation):
    """A mask that is its image in grey stays that, through every bucket and filter."""
    grey = picture(*size).convert("L")
    grey.convert("RGB").save(tmp_path / "a.png")
    grey.save(tmp_path / "a-masklabel.png")
    for settings in (BUCKETS, {"resolution": (40, 32)}):
        for crop in (False, True):
            plan = planned(tmp_path, settings=settings, random_crop=crop, resize_interpolation=interpolation)
            [image] = plan.images
            cut = cut_of(plan, image, Random(3))
            assert np.array_equal(mask_pixels(plan, image, cut), planned_pixels(plan, image, cut)[..., 0])


def test_each_weight_is_the_mean_over_the_pixels_of_its_latent(tmp_path):
    folder = make_images(tmp_path, {"a.png": (64, 64)})
    values = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    Image.fromarray(values).save(folder / "a-masklabel.png")
    plan = planned(folder)
    expected = values.reshape(8, masks.LATENT, 8, masks.LATENT).mean((1, 3)) / 255
    assert np.allclose(planned_mask(plan, plan.images[0]).numpy(), expected, atol=1e-6)
    assert masks.LATENT == vae.FACTOR


@pytest.mark.parametrize("cached", [True, False])
def test_a_batch_has_the_masks_of_its_images_mirrored_with_them(tmp_path, cached):
    folder = make_images(tmp_path, {"a.png": (64, 64), "b.png": (64, 64)})
    half_white((64, 64)).save(folder / "a-masklabel.png")
    plan = planned(folder, flip_aug=True, settings={"batch_size": 2})
    latents = LatentsCache.build(plan, encode) if cached else None
    dataset = TrainDataset(plan, latents=latents, masks=Masks.read(plan, plan.images) if cached else None)
    pictures = TrainDataset(plan)  # the same draws
    left = torch.tensor([1.0] * 4 + [0.0] * 4).expand(8, 8)
    shown = set()
    for key in EpochStream(plan, 8):
        batch, images = dataset[key], pictures[key]["images"]
        upright = [planned_pixels(plan, plan.images[int(one)])[0, 0, 0] / 127.5 - 1 for one in batch["image_ids"]]
        for row, (image_id, first) in enumerate(zip(batch["image_ids"].tolist(), upright, strict=True)):
            flipped = abs(float(images[row, 0, 0, 0]) - first) > 1e-6
            expected = torch.ones(8, 8) if image_id else left.flip(1) if flipped else left
            assert torch.equal(batch["masks"][row], expected)
            shown.add((image_id, flipped))
    assert len(shown) == 4


def test_processes_share_the_masks_of_a_batch(tmp_path):
    folder = make_images(tmp_path, {"a.png": (64, 64)})
    half_white((64, 64)).save(folder / "a-masklabel.png")
    spec = one_dataset({"image_dir": folder, "class_tokens": "x"})
    plan = make_plan(type(spec)(datasets=spec.datasets, masked_loss=True), world_size=2)
    parts = [TrainDataset(plan, rank=rank, world_size=2)[(0, 0)]["masks"] for rank in range(2)]
    assert [tuple(part.shape) for part in parts] == [(1, 8, 8), (0, 8, 8)]


def test_a_plan_without_masks_has_batches_without_them(folder):
    assert "masks" not in TrainDataset(planned(folder))[(0, 0)]


def test_another_mask_is_other_data(folder):
    plain = data_facts(planned(folder, masked_loss=False))["digest"]
    assert data_facts(planned(folder))["digest"] == plain  # none has a mask
    half_white((64, 64)).save(folder / "a-masklabel.png")
    first = data_facts(planned(folder))["digest"]
    half_white((64, 64)).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "a-masklabel.png")
    assert len({plain, first, data_facts(planned(folder))["digest"]}) == 3
    assert data_facts(planned(folder, masked_loss=False))["digest"] == plain


def test_regularisation_images_need_no_masks(folder, tmp_path):
    reg = make_images(tmp_path / "reg", {"r.png": (64, 64)})
    for name, size in {"a": (64, 64), "b": (96, 64), "c": (64, 64)}.items():
        half_white(size).save(folder / f"{name}-masklabel.png")
    spec = one_dataset({"image_dir": folder, "class_tokens": "x"}, {"image_dir": reg, "class_tokens": "y", "is_reg": True})
    plan = make_plan(type(spec)(datasets=spec.datasets, masked_loss=True))
    assert not [one for one in plan.findings if "mask" in one.message]
