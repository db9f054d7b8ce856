"""What holds for every data set, whatever its methods and settings (hypothesis draws them)."""

from __future__ import annotations

import json
import pickle
from collections import Counter

import pytest
import torch
from dataset_files import picture

from lora_trainer.data.dataset import TrainDataset
from lora_trainer.data.plan import DataPlan, make_plan
from lora_trainer.data.plan.model import PlannedImage
from lora_trainer.options.data_spec import DatasetSpec, DataSpec, SubsetSpec

pytest.importorskip("hypothesis", reason="a package of requirements/test.txt")
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SIZES = [(64, 64), (96, 48), (40, 130), (200, 60), (33, 47), (128, 128)]
CAPTION = "one, two, {three|four}, five"
EXAMPLES = settings(
    max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders of one to six pictures with captions beside some, and two metadata files each, which name all or some."""
    root = tmp_path_factory.mktemp("drawn")
    for number in range(4):
        folder = root / str(number)
        folder.mkdir()
        for place, size in enumerate(SIZES[: 2 * number or 1]):
            picture(*size, seed=place).save(folder / f"{place}.png")
            if place % 2:
                (folder / f"{place}.txt").write_text(f"{CAPTION}\n{number}, {place}", encoding="utf-8")
        names = sorted(file.name for file in folder.glob("*.png"))
        for file, listed in (("all", names), ("some", names[::2])):
            entries = {name: {"caption": f"{CAPTION}\nsecond", "tags": "x, y, z"} for name in listed}
            (folder / f"{file}.json").write_text(json.dumps(entries), encoding="utf-8")
    return root


CAPTIONS = {
    "shuffle_caption": st.booleans(),
    "keep_tokens": st.integers(0, 3),
    "caption_dropout_rate": st.sampled_from([0.0, 0.5, 1.0]),
    "caption_dropout_every_n_epochs": st.integers(0, 2),
    "caption_tag_dropout_rate": st.sampled_from([0.0, 0.4]),
    "enable_wildcard": st.booleans(),
    "caption_prefix": st.sampled_from([None, "sks"]),
    "token_warmup_step": st.sampled_from([0.0, 0.5, 3.0]),
}
PICTURES = {
    "flip_aug": st.booleans(),
    "color_aug": st.booleans(),
    "random_crop": st.booleans(),
    "num_repeats": st.integers(0, 3),
}
SHAPES = {
    "batch_size": st.integers(1, 5),
    "enable_bucket": st.booleans(),
    "bucket_no_upscale": st.booleans(),
    "bucket_reso_steps": st.sampled_from([8, 32]),
    "min_bucket_reso": st.just(32),
    "max_bucket_reso": st.sampled_from([128, 256]),
    "resolution": st.sampled_from([(64, 64), (96, 64)]),
    "validation_split": st.sampled_from([0.0, 0.0, 0.5]),
}


@st.composite
def data_sets(draw, root):
    """One to three data sets, each of folders (class words, captions, regularisation) or of metadata files."""
    datasets = []
    for _ in range(draw(st.integers(1, 3))):
        of_metadata = draw(st.booleans())
        subsets = []
        for number in draw(st.lists(st.integers(0, 3), min_size=1, max_size=3, unique=True)):
            own = draw(st.fixed_dictionaries(CAPTIONS | PICTURES)) | {"image_dir": root / str(number)}
            if of_metadata:
                own["metadata_file"] = root / str(number) / draw(st.sampled_from(["all.json", "some.json"]))
            else:
                words = {"class_tokens": "sks thing", "caption_extension": draw(st.sampled_from([".txt", ".caption"]))}
                own |= words | {"is_reg": bool(subsets) and draw(st.booleans())}
            subsets.append(SubsetSpec(**own))
        datasets.append(DatasetSpec(subsets=tuple(subsets), **draw(st.fixed_dictionaries(SHAPES))))
    return DataSpec(datasets=tuple(datasets))


def planned(folders, data):
    """A drawn plan, which nothing keeps from being trained, else None."""
    spec = data.draw(data_sets(folders))
    plan = make_plan(spec, seed=data.draw(st.integers(0, 9)), world_size=data.draw(st.integers(1, 3)), verify=False)
    return plan if plan.batches_per_epoch else None


@EXAMPLES
@given(data=st.data())
def test_an_epoch_shows_each_image_as_its_repeats_say_and_regularisation_images_take_turns(folders, data):
    plan = planned(folders, data)
    if plan is None:
        return
    epochs = data.draw(st.integers(1, 6))
    shown: Counter[int] = Counter()
    for epoch in range(epochs):
        own = Counter(image for batch in plan.batches(epoch) for image in batch.images)
        for image in (image for image in plan.images if not image.is_reg):
            assert own[image.id] == image.repeats == (0 if image.kept_aside else repeats_of(plan, image))
        shown += own
    buckets: dict[tuple[object, ...], list[PlannedImage]] = {}
    for image in plan.images:
        if image.is_reg:
            buckets.setdefault((image.dataset, image.bucket), []).append(image)
    for images in buckets.values():
        each, pool = sum(image.repeats for image in images), sum(repeats_of(plan, image) for image in images)
        assert sum(shown[image.id] for image in images) == each * epochs
        for image in images:
            whole, further, among = (0, each * epochs, pool) if each < pool else (epochs, (each - pool) * epochs, len(images))
            own = repeats_of(plan, image)
            times = own if each < pool else 1
            assert whole * own + times * (further // among) <= shown[image.id] <= whole * own + times * -(-further // among)


def repeats_of(plan: DataPlan, image: PlannedImage) -> int:
    """How often the image's folder asks for it."""
    return plan.subsets[image.subset].spec.num_repeats


@EXAMPLES
@given(data=st.data())
def test_a_data_set_takes_as_many_regularisation_images_as_training_images(folders, data):
    plan = planned(folders, data)
    if plan is None:
        return
    for number in range(len(plan.datasets)):
        own = [image for image in plan.images if image.dataset == number]
        train, reg = (sum(one.repeats for one in own if one.is_reg is is_reg) for is_reg in (False, True))
        if any(one.is_reg for one in own):
            most = max(repeats_of(plan, one) for one in own if one.is_reg)
            assert train <= reg < train + most or train == reg


@EXAMPLES
@given(data=st.data())
def test_a_batch_is_of_one_data_set_and_one_bucket_and_no_larger_than_asked_for(folders, data):
    plan = planned(folders, data)
    if plan is None:
        return
    batches = plan.batches(data.draw(st.integers(0, 50)))
    assert len(batches) == plan.batches_per_epoch
    seen = 0
    for batch in batches:
        images = [plan.images[one] for one in batch.images]
        assert {(image.dataset, image.bucket) for image in images} == {(batch.dataset, batch.size)}
        assert 1 <= len(images) <= plan.datasets[batch.dataset].spec.batch_size * plan.world_size
        assert batch.first == seen
        seen += len(images)
        shares = [place for rank in range(plan.world_size) for place in batch.share(rank, plan.world_size)]
        assert shares == list(range(len(images)))
    smallest = Counter(
        (batch.dataset, batch.size) for batch in batches if len(batch.images) < plan.global_batch_size(batch.dataset)
    )
    assert all(number == 1 for number in smallest.values())  # all others are full


@settings(EXAMPLES, max_examples=25)
@given(data=st.data())
def test_an_epoch_is_the_same_whichever_worker_makes_which_of_its_batches(folders, data):
    """A worker is a copy of the data set that makes some of the batches, in any order; a process makes its share of each."""
    plan = planned(folders, data)
    if plan is None:
        return
    epoch, most = data.draw(st.integers(0, 5)), 6
    arguments = {"seed": 1, "world_size": plan.world_size, "max_train_steps": 40}
    alone = [TrainDataset(plan, rank=rank, **arguments) for rank in range(plan.world_size)]
    numbers = list(range(min(plan.batches_per_epoch, most)))
    expected = {number: [one[(epoch, number)] for one in alone] for number in numbers}
    workers = [pickle.loads(pickle.dumps(alone)) for _ in range(data.draw(st.integers(1, 4)))]
    for place, number in enumerate(data.draw(st.permutations(numbers))):
        for one, other in zip(expected[number], (rank[(epoch, number)] for rank in workers[place % len(workers)]), strict=True):
            assert one.keys() == other.keys()
            for name, value in one.items():
                assert torch.equal(value, other[name]) if isinstance(value, torch.Tensor) else value == other[name], name
    for number in numbers:
        indices = torch.cat([one["indices"] for one in expected[number]])
        assert indices.tolist() == list(range(expected[number][0]["global_size"]))
