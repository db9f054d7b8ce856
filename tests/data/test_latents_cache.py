"""Cached latents are those of the planned pictures."""

import threading
from dataclasses import replace

import pytest
import torch
from dataset_files import make_images, one_dataset

from lora_trainer.data.cache import LatentsCache
from lora_trainer.data.images import planned_pixels, to_tensor
from lora_trainer.data.plan import make_plan
from lora_trainer.errors import InputError, NotFiniteError

BUCKETS = {"enable_bucket": True, "min_bucket_reso": 32, "max_bucket_reso": 128, "bucket_reso_steps": 32}
SIZES = {"a.png": (64, 64), "b.png": (128, 40), "c.png": (70, 66), "d.png": (64, 64), "e.png": (128, 40)}


def encode(images, ids):
    """A small stand-in for the VAE: 8x8 pixels become one place, and each picture gets noise that depends on its id."""
    small = torch.nn.functional.avg_pool2d(images, 8)
    noise = torch.stack([torch.randn(small.shape[1:], generator=torch.Generator().manual_seed(i)) for i in ids])
    return torch.cat([small, small[:, :1] ** 2], 1) + 0.01 * torch.cat([noise, noise[:, :1]], 1)


def one(pixels, image):
    return encode(to_tensor(pixels)[None], [image.id])[0]


def plan_of(folder, *more, **subset):
    first = {"image_dir": folder, "class_tokens": "x", **subset}
    return make_plan(one_dataset(first, *more, **BUCKETS))


@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_every_image_has_the_latents_of_its_own_pixels_for_any_batch_size(tmp_path, batch_size):
    plan = plan_of(make_images(tmp_path, SIZES))
    cache = LatentsCache.build(plan, encode, batch_size=batch_size)
    for image in plan.images:
        assert torch.allclose(cache.get(image), one(planned_pixels(plan, image), image), atol=1e-6)


def test_flipped_latents_are_the_latents_of_flipped_images(tmp_path):
    plan = plan_of(make_images(tmp_path, SIZES), flip_aug=True)
    cache = LatentsCache.build(plan, encode, batch_size=3)
    for image in plan.images:
        expected = one(planned_pixels(plan, image)[:, ::-1], image)
        assert torch.allclose(cache.get(image, flipped=True), expected, atol=1e-6)
        assert not torch.allclose(cache.get(image), expected, atol=0.05)


def test_a_file_in_two_data_sets_is_encoded_once(tmp_path):
    folder = make_images(tmp_path / "a", SIZES)
    single = one_dataset({"image_dir": folder, "class_tokens": "x"}, **BUCKETS)
    spec = type(single)(datasets=single.datasets * 2)
    plan = make_plan(spec)
    seen = []
    cache = LatentsCache.build(plan, lambda images, ids: seen.extend(ids) or encode(images, ids))
    assert len(plan.images) == 10
    assert len(seen) == 5
    assert torch.equal(cache.get(plan.images[0]), cache.get(plan.images[5]))


def test_regularisation_images_that_no_epoch_shows_are_not_encoded(tmp_path):
    folder = make_images(tmp_path / "a", {"a.png": (64, 64)})
    reg = make_images(tmp_path / "r", {"a.png": (64, 64), "b.png": (64, 64), "c.png": (64, 64)})
    plan = plan_of(folder, {"image_dir": reg, "class_tokens": "y", "is_reg": True})
    seen = []
    LatentsCache.build(replace(plan, epochs=1), lambda images, ids: seen.extend(ids) or encode(images, ids), batch_size=4)
    assert len(plan.images) == 4
    assert sorted(seen) == [0, 1]


def test_progress_ends_at_the_total(tmp_path):
    plan = plan_of(make_images(tmp_path, SIZES), flip_aug=True)
    told = []
    LatentsCache.build(plan, encode, batch_size=4, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (10, 10)
    assert [done for done, _ in told] == sorted({done for done, _ in told})


def test_a_stop_between_two_batches_gives_no_cache_and_leaves_no_thread(tmp_path):
    plan = plan_of(make_images(tmp_path, SIZES))
    seen = []
    before = threading.active_count()
    stopped = LatentsCache.build(
        plan, lambda images, ids: seen.extend(ids) or encode(images, ids), should_stop=lambda: len(seen) >= 2
    )
    assert stopped is None
    assert len(seen) == 2
    assert threading.active_count() == before


def test_an_image_that_broke_since_planning_is_named(tmp_path):
    plan = plan_of(make_images(tmp_path, SIZES))
    (tmp_path / "c.png").write_bytes((tmp_path / "c.png").read_bytes()[:200])
    with pytest.raises(InputError, match=r"c\.png"):
        LatentsCache.build(plan, encode)


def test_latents_that_are_no_numbers_name_the_image_and_what_to_do(tmp_path):
    plan = plan_of(make_images(tmp_path, SIZES))

    def broken(images, ids):
        latents = encode(images, ids)
        latents[ids.index(3)] = float("nan") if 3 in ids else 0
        return latents

    with pytest.raises(NotFiniteError, match=r"d\.png.*no_half_vae"):
        LatentsCache.build(plan, lambda images, ids: broken(images, ids) if 3 in ids else encode(images, ids), batch_size=9)


@pytest.mark.parametrize("option", ["random_crop", "color_aug"])
def test_images_that_change_each_time_cannot_be_cached(tmp_path, option):
    plan = plan_of(make_images(tmp_path, SIZES), **{option: True})
    with pytest.raises(InputError) as caught:
        LatentsCache.build(plan, encode)
    assert caught.value.field == option


def test_latents_keep_their_dtype_and_take_no_more_memory_than_they_need(tmp_path):
    plan = plan_of(make_images(tmp_path, SIZES))
    cache = LatentsCache.build(plan, lambda images, ids: encode(images, ids).half())
    assert cache.get(plan.images[0]).dtype == torch.float16
    assert cache.nbytes == sum(4 * (i.bucket[0] // 8) * (i.bucket[1] // 8) * 2 for i in plan.images)
