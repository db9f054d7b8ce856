"""validation_split: which images are kept aside, that nothing trains on them, and that it is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from dataset_files import make_images, one_dataset

from lora_trainer.data.cache import LatentsCache
from lora_trainer.data.plan import make_plan, metadata
from lora_trainer.options.data_spec import DataSpec

SIZES = {f"{number:02d}.png": (64, 64) for number in range(20)}


def aside(plan) -> set[str]:
    return {Path(image.path).name for image in plan.kept_aside}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return make_images(tmp_path_factory.mktemp("data") / "frog", SIZES, captions="a frog, green")


def plan_of(folder, seed=1, **settings):
    return make_plan(one_dataset({"image_dir": folder, "caption_extension": ".txt", "num_repeats": 3}, **settings), seed=seed)


@pytest.mark.effect("validation_split", "validation_seed")
def test_a_share_of_the_images_is_kept_aside_by_the_seed_alone(folder):
    plan = plan_of(folder, validation_split=0.2)
    assert len(aside(plan)) == 4 and aside(plan) == aside(plan_of(folder, validation_split=0.2))
    assert aside(plan_of(folder, validation_split=0.1)) < aside(plan)  # another share keeps the same ones
    assert aside(plan_of(folder, seed=2, validation_split=0.2)) != aside(plan)
    own = {"validation_split": 0.2, "validation_seed": 1}
    assert aside(plan_of(folder, seed=2, **own)) == aside(plan_of(folder, seed=3, **own)) == aside(plan)
    assert not aside(plan_of(folder)) and not plan_of(folder).findings


def test_the_place_of_the_data_changes_nothing(folder, tmp_path):
    elsewhere = make_images(tmp_path / "other" / "frog", SIZES, captions="a frog")
    assert aside(plan_of(elsewhere, validation_split=0.2)) == aside(plan_of(folder, validation_split=0.2))


def test_no_step_learns_from_them_and_the_counts_and_the_plan_say_so(folder):
    plan = plan_of(folder, validation_split=0.2, batch_size=2)
    shown = {index for epoch in range(3) for batch in plan.batches(epoch) for index in batch.images}
    assert len(shown) == 16 and not shown & {image.id for image in plan.kept_aside}
    assert plan.datasets[0].train_images == 48 and plan.batches_per_epoch == 24
    summary = plan.summary()
    assert (summary["images"], summary["kept_aside"], summary["train_images"]) == (16, 4, 48)
    told = summary["folders"][0]
    assert (told["images"], told["kept_aside"], told["captions_found"], told["captions_missing"]) == (16, 4, 16, 0)
    assert [(one.level, one.field) for one in plan.findings] == [("info", "validation_split")]
    assert "4 of 20 images are kept aside" in plan.findings[0].message
    values = metadata(plan, dataset_config=False)
    assert values["ss_num_train_images"] == "48" and '"a frog": 16' in values["ss_tag_frequency"]
    assert '"img_count": 16' in values["ss_dataset_dirs"]


def test_a_picture_is_kept_aside_from_every_data_set_that_has_it(folder):
    """The same folder at two sizes, of which one has no split of its own: what is measured is never trained."""
    spec = one_dataset({"image_dir": folder, "class_tokens": "x"}, validation_split=0.2)
    larger = replace(spec.datasets[0], resolution=(96, 96), validation_split=0.0)
    plan = make_plan(DataSpec(datasets=(spec.datasets[0], larger)), seed=1)
    first, second = ({image.path for image in plan.kept_aside if image.dataset == number} for number in (0, 1))
    assert len(first) == 4 and first == second
    assert not first & {plan.images[index].path for batch in plan.batches(0) for index in batch.images}


def test_regularisation_images_are_not_kept_aside(folder, tmp_path):
    reg = make_images(tmp_path / "reg", SIZES)
    spec = one_dataset({"image_dir": folder, "class_tokens": "x"}, {"image_dir": reg, "class_tokens": "y", "is_reg": True})
    plan = make_plan(replace(spec, datasets=(replace(spec.datasets[0], validation_split=0.5),)), seed=1)
    assert len(plan.kept_aside) == 10 and not any(image.is_reg for image in plan.kept_aside)


@pytest.mark.parametrize(("split", "word"), [(0.02, "0.05 or more"), (0.98, "nothing to train"), (1.0, "nothing to train")])
def test_a_split_that_keeps_none_or_all_is_refused(folder, split, word):
    (finding, *_) = [one for one in plan_of(folder, validation_split=split).findings if one.level == "error"]
    assert word in finding.message and finding.field == "validation_split"


def test_their_latents_are_those_of_the_pictures_as_they_are(folder):
    """Also where training changes its images at each use, so that theirs cannot be cached."""
    subset = {"image_dir": folder, "class_tokens": "x", "flip_aug": True, "random_crop": True}
    plan = make_plan(one_dataset(subset, validation_split=0.2), seed=1)
    told = []

    def encode(images, ids):
        told.extend(ids)
        return torch.nn.functional.avg_pool2d(images, 8)

    cache = LatentsCache.build(plan, encode, kept_aside=True)
    assert sorted(told) == sorted(image.id for image in plan.kept_aside)
    assert cache.get(plan.kept_aside[0]).shape == (3, 8, 8)
