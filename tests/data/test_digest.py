"""The digest of a data set: equal for the same pictures and captions in the same order, wherever they lie."""

from __future__ import annotations

import json
import shutil

import pytest
from PIL import Image

from lora_trainer.data.plan import make_plan
from lora_trainer.data.plan.digest import data_record, digests
from lora_trainer.options.data_spec import DatasetSpec, DataSpec, SubsetSpec
from lora_trainer.options.train import OPTIONS

DEFAULTS = {option.name: option.default for option in OPTIONS}


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "here" / "frogs"
    made.mkdir(parents=True)
    for number in range(3):
        Image.new("RGB", (64, 64), (number * 60, 9, 9)).save(made / f"{number}.png")
        (made / f"{number}.txt").write_text(f"a frog, {number}")
    return made


def plan_of(folder, **settings):
    subset = SubsetSpec(image_dir=folder, caption_extension=".txt", **settings)
    return make_plan(DataSpec(datasets=(DatasetSpec(resolution=(64, 64), subsets=(subset,)),)))


def test_a_copy_elsewhere_under_other_names_is_the_same_data(folder, tmp_path):
    copy = tmp_path / "there" / "toads"
    shutil.copytree(folder, copy)
    for number in range(3):
        for end in (".png", ".txt"):
            (copy / f"{number}{end}").rename(copy / f"picture {number}{end}")
    assert digests(plan_of(folder)) == digests(plan_of(copy, num_repeats=4, shuffle_caption=True))


def test_what_is_kept_aside_for_validation_is_a_part_of_the_data_in_its_place(folder):
    aside = DatasetSpec(
        resolution=(64, 64), subsets=(SubsetSpec(image_dir=folder, caption_extension=".txt"),), validation_split=0.4
    )
    plan = make_plan(DataSpec(datasets=(aside,)), seed=3)
    assert plan.kept_aside and digests(plan) == digests(plan_of(folder))
    assert data_record(plan, DEFAULTS)["datasets"][0]["subsets"][0]["images"] == 3


@pytest.mark.parametrize("change", ["picture", "caption", "order", "one less", "regularisation"])
def test_other_pictures_captions_or_order_are_other_data(folder, change):
    before = digests(plan_of(folder))[0]
    settings = {}
    if change == "picture":
        Image.new("RGB", (64, 64), (1, 2, 3)).save(folder / "1.png")
    elif change == "caption":
        (folder / "1.txt").write_text("a toad, 1")
    elif change == "order":
        for end in (".png", ".txt"):
            (folder / f"0{end}").rename(folder / f"9{end}")
    elif change == "one less":
        (folder / "2.png").unlink()
    else:
        settings = {"is_reg": True}
    assert digests(plan_of(folder, **settings))[0] != before


def test_what_is_told_of_the_data_names_folders_and_never_paths(folder, tmp_path):
    record = data_record(plan_of(folder, num_repeats=7, class_tokens="sls frog"), DEFAULTS)
    assert str(tmp_path) not in json.dumps(record)
    (table,) = record["datasets"]
    (subset,) = table["subsets"]
    assert table["resolution"] == [64, 64]
    assert {key: subset[key] for key in ("image_dir", "num_repeats", "class_tokens", "caption_extension", "images")} == {
        "image_dir": "frogs", "num_repeats": 7, "class_tokens": "sls frog", "caption_extension": ".txt", "images": 3,
    }  # fmt: skip
    assert "shuffle_caption" not in subset  # as the options have it


def test_a_setting_that_undoes_an_option_is_told(folder):
    record = data_record(plan_of(folder), {**DEFAULTS, "flip_aug": True})
    assert record["datasets"][0]["subsets"][0]["flip_aug"] is False
