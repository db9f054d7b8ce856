"""Regularisation images: an epoch shows as many as the training asks for, and over the epochs all have their turn."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from dataset_files import make_images, one_dataset

from lora_trainer.data.plan import make_plan
from lora_trainer.data.plan.regularisation import balance_regularisation, shown_by, turn


def plan_of(tmp_path, train: int, reg: int, *, repeats: int = 1, reg_repeats: int = 1, sizes=((64, 64),), **more):
    """A plan of so many training and regularisation images, the latter in turn of these sizes."""
    frogs = make_images(tmp_path / "frogs", {f"{i}.png": (64, 64) for i in range(train)})
    other = make_images(tmp_path / "reg", {f"{i:02}.png": sizes[i % len(sizes)] for i in range(reg)})
    return make_plan(
        one_dataset(
            {"image_dir": frogs, "class_tokens": "sls frog", "num_repeats": repeats},
            {"image_dir": other, "class_tokens": "frog", "is_reg": True, "num_repeats": reg_repeats},
            **more,
        )
    )


def shown(plan, epoch) -> Counter[int]:
    ids = Counter(image for batch in plan.batches(epoch) for image in batch.images)
    return Counter({image: times for image, times in ids.items() if plan.images[image].is_reg})


@pytest.mark.parametrize(
    ("train", "reg", "repeats"), [(2, 5, 1), (3, 7, 1), (4, 3, 10), (5, 5, 1), (2, 3, 2), (1, 4, 3)], ids=str
)
def test_over_the_epochs_all_regularisation_images_are_shown_evenly(tmp_path, train, reg, repeats):
    plan = plan_of(tmp_path, train, reg, repeats=repeats)
    total: Counter[int] = Counter({image.id: 0 for image in plan.images if image.is_reg})
    for epoch in range(3 * reg):
        one = shown(plan, epoch)
        assert sum(one.values()) == train * repeats, "an epoch stays as long as it was"
        assert plan.batches_per_epoch == len(plan.batches(epoch))
        total += one
        counts = [total[image.id] for image in plan.images if image.is_reg]
        assert max(counts) - min(counts) <= 1
    assert len(set(counts)) == 1


def test_the_first_epoch_is_that_of_the_reference(tmp_path):
    plan = plan_of(tmp_path, 4, 3, repeats=2, reg_repeats=2)
    assert shown(plan, 0) == {image.id: image.repeats for image in plan.images if image.is_reg}


@pytest.mark.parametrize("seed", range(60))
def test_any_epoch_fills_its_places_and_no_image_falls_behind_its_repeats(seed):
    draw = random.Random(seed)
    own = [draw.randint(1, 5) for _ in range(draw.randint(1, 8))]
    places, epochs = draw.randint(1, 60), draw.randint(0, 20)
    images = list(enumerate(own))
    assert Counter(turn(images, sum(balance_regularisation(own, places)), 0)) == Counter(
        {image: times for image, times in enumerate(balance_regularisation(own, places)) if times}
    )
    total: Counter[int] = Counter()
    for epoch in range(epochs):
        one = turn(images, places, epoch)
        assert len(one) == places
        total.update(one)
    if places < sum(own):
        rounds = epochs * places / sum(own)
        assert all(abs(total[image] - times * rounds) <= times for image, times in images)
    assert shown_by(images, places, epochs) == set(total)


def test_buckets_keep_the_places_that_they_have_so_that_every_epoch_has_as_many_batches(tmp_path):
    plan = plan_of(tmp_path, 3, 8, sizes=((64, 64), (96, 64)), enable_bucket=True, min_bucket_reso=32, bucket_reso_steps=32)
    lengths = {tuple(sorted(Counter(batch.size for batch in plan.batches(epoch)).items())) for epoch in range(5)}
    assert len(lengths) == 1
    assert len(set().union(*(shown(plan, epoch) for epoch in range(8)))) == 8


def test_what_no_epoch_of_the_training_shows_is_known(tmp_path):
    plan = plan_of(tmp_path, 2, 9)
    assert len(plan.shown) == 11, "while the epochs are not counted any of them may be"
    assert len(replace(plan, epochs=2).shown) == 2 + 4
    assert len(replace(plan, epochs=50).shown) == 11


def test_the_balance_is_told_in_words(tmp_path):
    (few,) = (one for one in plan_of(tmp_path, 4, 3, repeats=10).findings if one.code == "reg_few")
    assert few.message == "3 regularisation images fill 40 places: each is used about 13 times in an epoch."
    (many,) = (one for one in plan_of(tmp_path / "b", 2, 5).findings if one.code == "reg_unused")
    assert many.message.startswith("2 of 5 regularisation images are used in an epoch") and many.where.endswith("reg")
    assert not [one for one in plan_of(tmp_path / "c", 3, 3).findings if one.code.startswith("reg_")]
