"""Batches are the same bytes for any number of workers, processes and restarts."""

import pickle

import pytest
import torch
from dataset_files import make_images, one_dataset
from test_latents_cache import BUCKETS, encode
from torch.utils.data import DataLoader

from lora_trainer.data.cache import LatentsCache
from lora_trainer.data.dataset import EpochStream, TrainDataset
from lora_trainer.data.images import planned_pixels, to_tensor
from lora_trainer.data.plan import make_plan
from lora_trainer.errors import InputError

SIZES = {f"{n}.png": (64, 64) if n % 3 else (128, 40) for n in range(7)}
CHANGING = {"shuffle_caption": True, "caption_tag_dropout_rate": 0.2, "flip_aug": True, "caption_extension": ".txt"}


@pytest.fixture
def spec(tmp_path):
    train = make_images(tmp_path / "train", SIZES, captions="a, b, c, d, e")
    reg = make_images(tmp_path / "reg", {"r.png": (64, 64), "s.png": (90, 64)})
    subsets = ({"image_dir": train, "num_repeats": 2, **CHANGING}, {"image_dir": reg, "class_tokens": "y", "is_reg": True})
    return lambda **settings: one_dataset(*subsets, **(BUCKETS | {"batch_size": 2} | settings))


def same(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        if isinstance(value, torch.Tensor):
            assert value.dtype == other[name].dtype
            assert torch.equal(value, other[name]), name
        else:
            assert value == other[name], name


def load(dataset, plan, workers, **arguments):
    return list(DataLoader(dataset, batch_size=None, sampler=EpochStream(plan, 2), num_workers=workers, **arguments))


@pytest.mark.parametrize("cached", [True, False])
def test_the_number_of_workers_changes_nothing(spec, cached):
    plan = make_plan(spec(), seed=3)
    dataset = TrainDataset(plan, seed=3, latents=LatentsCache.build(plan, encode) if cached else None)
    alone = load(dataset, plan, 0)
    assert len(alone) == 2 * plan.batches_per_epoch
    for workers in (1, 2):
        for one, other in zip(alone, load(dataset, plan, workers, persistent_workers=True), strict=True):
            same(one, other)


def test_workers_that_are_spawned_as_on_windows_give_the_same(spec):
    plan = make_plan(spec(), seed=3)
    dataset = TrainDataset(plan, latents=LatentsCache.build(plan, encode))
    dataset[(0, 0)]
    spawned = load(pickle.loads(pickle.dumps(dataset)), plan, 1, multiprocessing_context="spawn")
    for one, other in zip(load(dataset, plan, 0), spawned, strict=True):
        same(one, other)


def test_the_seed_decides_captions_and_flips(spec):
    plan = make_plan(spec(), seed=3)
    first, again, other = (TrainDataset(plan, seed=seed) for seed in (3, 3, 4))
    keys = list(EpochStream(plan, 1))
    for key in keys:
        same(first[key], again[key])
    assert any(first[key]["captions"] != other[key]["captions"] for key in keys)
    assert any(not torch.equal(first[key]["images"], other[key]["images"]) for key in keys)


def test_an_image_is_shown_both_ways_and_with_different_captions(spec):
    plan = make_plan(spec(), seed=3)
    dataset = TrainDataset(plan)
    shown, captions = set(), set()
    for key in EpochStream(plan, 4):
        batch = dataset[key]
        for row, (image_id, caption) in enumerate(zip(batch["image_ids"].tolist(), batch["captions"], strict=True)):
            image = plan.images[image_id]
            pixels = planned_pixels(plan, image)
            if torch.equal(batch["images"][row], to_tensor(pixels)):
                shown.add((image_id, False))
            elif torch.equal(batch["images"][row], to_tensor(pixels[:, ::-1])):
                shown.add((image_id, True))
            else:
                raise AssertionError("neither the image nor its mirror image")
            captions.add((image_id, caption))
    assert {(i, flipped) for i in range(7) for flipped in (False, True)} <= shown
    assert not {(i, True) for i in (7, 8)} & shown  # regularisation images ask for no flip_aug
    assert len(captions) > 20


def test_cached_and_uncached_batches_hold_the_same_pictures(spec):
    plan = make_plan(spec(), seed=3)
    plain, cached = TrainDataset(plan), TrainDataset(plan, latents=LatentsCache.build(plan, encode))
    for key in EpochStream(plan, 1):
        images, latents = plain[key], cached[key]
        expected = encode(images.pop("images"), images["image_ids"].tolist())
        assert torch.allclose(latents.pop("latents"), expected, atol=1e-6)
        same(images, latents)


def test_regularisation_images_weigh_prior_loss_weight(spec):
    plan = make_plan(spec(), prior_loss_weight=0.3)
    dataset = TrainDataset(plan)
    seen = set()
    for key in EpochStream(plan, 1):
        batch = dataset[key]
        for image_id, weight in zip(batch["image_ids"].tolist(), batch["loss_weights"].tolist(), strict=True):
            assert weight == pytest.approx(0.3 if plan.images[image_id].is_reg else 1.0)
            seen.add(plan.images[image_id].is_reg)
    assert seen == {True, False}


def test_two_processes_share_the_batches_of_one_with_twice_the_size(spec):
    alone_plan = make_plan(spec(batch_size=4), seed=3)
    shared_plan = make_plan(spec(batch_size=2), seed=3, world_size=2)
    alone = TrainDataset(alone_plan)
    ranks = [TrainDataset(shared_plan, rank=rank, world_size=2) for rank in range(2)]
    for key in EpochStream(alone_plan, 2):
        whole, parts = alone[key], [dataset[key] for dataset in ranks]
        assert {part["global_size"] for part in parts} == {len(whole["captions"])}
        for name, value in whole.items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(torch.cat([part[name] for part in parts]), value), name
        assert [caption for part in parts for caption in part["captions"]] == whole["captions"]


@pytest.mark.parametrize("cached", [True, False])
def test_a_process_without_samples_gets_an_empty_batch_of_the_same_shape(tmp_path, cached):
    folder = make_images(tmp_path, {"a.png": (64, 64)})
    plan = make_plan(one_dataset({"image_dir": folder, "class_tokens": "x"}), world_size=2)
    latents = LatentsCache.build(plan, encode) if cached else None
    batches = [TrainDataset(plan, rank=rank, world_size=2, latents=latents)[(0, 0)] for rank in range(2)]
    content = "latents" if cached else "images"
    assert batches[0][content].shape[0] == 1
    assert batches[1][content].shape == (0, *batches[0][content].shape[1:])
    assert batches[1][content].dtype == batches[0][content].dtype
    assert batches[1]["captions"] == []
    assert batches[1]["original_sizes"].shape == (0, 2)
    assert batches[1]["global_size"] == 1


def test_sizes_are_height_first_and_follow_the_flip(tmp_path):
    folder = make_images(tmp_path, {"a.png": (64, 100)})
    plan = make_plan(one_dataset({"image_dir": folder, "class_tokens": "x", "flip_aug": True}))
    batches = [TrainDataset(plan)[(epoch, 0)] for epoch in range(20)]
    assert {tuple(batch["original_sizes"][0].tolist()) for batch in batches} == {(100, 64)}
    assert {tuple(batch["target_sizes"][0].tolist()) for batch in batches} == {(64, 64)}
    # 64x100 lies in 64x64 as a box 40.96 wide, 11 from the left and 12.04 from the right.
    assert {tuple(round(v, 4) for v in batch["crop_top_lefts"][0].tolist()) for batch in batches} == {(0, 11), (0, 12.04)}


def test_a_resumed_training_goes_on_with_the_batches_it_would_have_had(spec):
    plan = make_plan(spec())
    every = list(EpochStream(plan, 3))
    assert every == list(EpochStream(plan, 3))
    assert len(EpochStream(plan, 3)) == len(every)
    first = (1, 2)
    rest = EpochStream(plan, 3, first=first)
    assert list(rest) == every[every.index(first) :]
    assert len(rest) == len(list(rest))


def test_the_token_warm_up_counts_optimiser_steps(tmp_path):
    folder = make_images(tmp_path, {f"{n}.png": (64, 64) for n in range(4)}, captions="a, b, c, d")
    subset = {"image_dir": folder, "caption_extension": ".txt", "token_warmup_min": 1, "token_warmup_step": 0.5}
    plan = make_plan(one_dataset(subset))
    dataset = TrainDataset(plan, gradient_accumulation_steps=2, max_train_steps=8)
    lengths = [len(dataset[key]["captions"][0].split(", ")) for key in EpochStream(plan, 3)]
    assert lengths == [1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 4, 4]


def test_epochs_count_from_one_for_caption_dropout(tmp_path):
    folder = make_images(tmp_path, {"a.png": (64, 64)}, captions="a")
    subset = {"image_dir": folder, "caption_extension": ".txt", "caption_dropout_every_n_epochs": 3}
    plan = make_plan(one_dataset(subset))
    dataset = TrainDataset(plan)
    assert [dataset[key]["captions"] for key in EpochStream(plan, 6)] == [["a"], ["a"], [""], ["a"], ["a"], [""]]


@pytest.mark.parametrize("change", ["removed", "another size", "damaged"])
def test_an_image_that_was_changed_since_the_plan_is_named_and_another_of_its_bucket_shown(tmp_path, change):
    sizes = {"a.png": (64, 64), "b.png": (64, 64), "wide.png": (96, 32)}
    folder = make_images(tmp_path / "a", sizes, captions="x")
    masked = {"image_dir": folder, "caption_extension": ".txt", "flip_aug": True}
    plan = make_plan(one_dataset(masked, **(BUCKETS | {"batch_size": 4})), seed=3)
    lost = next(image for image in plan.images if image.path.endswith("a.png"))
    if change == "removed":
        (folder / "a.png").unlink()
    elif change == "damaged":
        (folder / "a.png").write_bytes(b"no picture")
    else:
        make_images(folder, {"a.png": (40, 64)})
    batches = [TrainDataset(plan)[(epoch, number)] for epoch in range(2) for number in range(plan.batches_per_epoch)]
    told = [sentence for batch in batches for sentence in batch["replaced"]]
    assert len(told) == 2 and all(sentence.startswith(str(folder / "a.png")) for sentence in told)
    shown = [image for batch in batches for image in batch["image_ids"].tolist()]
    assert lost.id not in shown and sorted(map(shown.count, set(shown))) == [2, 4]
    assert {len(batch["indices"]) for batch in batches if batch["replaced"]} == {2}
    if change == "removed":  # it may come back, as a network drive does
        make_images(folder, {"a.png": (64, 64)})
        again = TrainDataset(plan)
        assert not any(again[(0, number)]["replaced"] for number in range(plan.batches_per_epoch))


def test_a_drive_that_is_gone_and_a_bucket_without_images_end_it_with_the_files_name(tmp_path):
    folder = make_images(tmp_path / "a", {"a.png": (64, 64), "b.png": (64, 64), "wide.png": (96, 32)}, captions="x")
    spec = one_dataset({"image_dir": folder, "caption_extension": ".txt"}, **(BUCKETS | {"batch_size": 1}))
    dataset = TrainDataset(make_plan(spec, seed=3))
    keys = [(0, number) for number in range(len(dataset))]
    (folder / "wide.png").unlink()
    for key in keys:
        try:
            assert not dataset[key]["replaced"]
        except InputError as error:
            assert error.where == str(folder / "wide.png")
            break
    else:
        pytest.fail("nothing was said of the only image of its bucket")
    folder.rename(tmp_path / "unplugged")
    for key in keys:
        with pytest.raises(InputError, match="No such file"):
            dataset[key]
