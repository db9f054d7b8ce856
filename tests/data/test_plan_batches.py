"""Batches are a pure function of (seed, epoch), and quick to make."""

import json
import pickle
import subprocess
import sys
from collections import Counter

import pytest
from dataset_files import make_images, one_dataset
from PIL import Image

from lora_trainer.data.plan import files, make_plan
from lora_trainer.data.plan.files import FactsCache


@pytest.fixture
def plan(tmp_path):
    sizes = {f"{n}.png": (64, 64) if n % 3 else (128, 40) for n in range(9)}
    folder = make_images(tmp_path / "a", sizes, captions="x")
    return make_plan(buckets({"image_dir": folder, "num_repeats": 3, "caption_extension": ".txt"}), seed=7)


def buckets(*subsets, **settings):
    settings = {"enable_bucket": True, "min_bucket_reso": 32, "max_bucket_reso": 128, "bucket_reso_steps": 32} | settings
    return one_dataset(*subsets, batch_size=2, resolution=(64, 64), **settings)


def test_an_epoch_shows_every_image_as_often_as_it_has_repeats(plan):
    for epoch in range(3):
        assert Counter(i for batch in plan.batches(epoch) for i in batch.images) == dict.fromkeys(range(9), 3)


def test_a_batch_has_one_size(plan):
    batches = plan.batches(0)
    assert {batch.size for batch in batches} == {(64, 64), (96, 32)}
    for batch in batches:
        assert {plan.images[i].bucket for i in batch.images} == {batch.size}


def test_samples_are_numbered_through_the_epoch(plan):
    batches = plan.batches(0)
    assert [batch.first for batch in batches] == [sum(len(b.images) for b in batches[:n]) for n in range(len(batches))]


def test_the_same_seed_and_epoch_give_the_same_batches_and_others_do_not(plan):
    assert plan.batches(1) == plan.batches(1)
    assert plan.batches(1) != plan.batches(2)
    copy = pickle.loads(pickle.dumps(plan))
    assert copy.batches(5) == plan.batches(5)


def test_batches_of_different_sizes_are_mixed(plan):
    orders = [[batch.size for batch in plan.batches(epoch)] for epoch in range(5)]
    assert any(order != sorted(order) and order != sorted(order, reverse=True) for order in orders)


def test_shares_of_processes_are_contiguous_and_cover_the_batch(plan):
    for batch in plan.batches(0):
        for world_size in (1, 2, 3, 5):
            shares = [batch.share(rank, world_size) for rank in range(world_size)]
            assert [place for share in shares for place in share] == list(range(len(batch.images)))
            assert max(map(len, shares)) == -(-len(batch.images) // world_size)


def test_the_summary_is_json_and_adds_up(plan):
    summary = json.loads(json.dumps(plan.summary()))
    assert summary["samples_per_epoch"] == 27
    assert summary["folders"][0]["samples_per_epoch"] == 27
    (dataset,) = summary["datasets"]
    assert sum(bucket["samples"] for bucket in dataset["buckets"]) == 27
    assert sum(bucket["images"] for bucket in dataset["buckets"]) == 9
    assert sum(bucket["batches"] for bucket in dataset["buckets"]) == len(plan.batches(0)) == summary["batches_per_epoch"]


def test_planning_again_reads_no_image_again(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(files, "read_facts", lambda *a, kept=files.read_facts, **k: read.append(a[0]) or kept(*a, **k))
    folder = make_images(tmp_path / "a", {f"{number}.png": (64, 64) for number in range(20)})
    spec, facts = buckets({"image_dir": folder, "num_repeats": 10, "class_tokens": "x"}), FactsCache()
    plan = make_plan(spec, facts=facts)
    assert sorted(read) == sorted(str(path) for path in folder.iterdir())
    assert make_plan(spec, facts=facts) == plan and len(read) == 20
    Image.new("RGB", (128, 32)).save(folder / "7.png")
    assert make_plan(spec, facts=facts) != plan and read[20:] == [str(folder / "7.png")]


def test_planning_imports_no_torch_and_no_numpy():
    code = "import sys, lora_trainer.data.plan; sys.exit(bool({'torch', 'numpy', 'gradio'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)
