"""From an option of the command line, or a key of the data set file, to what a training is given: images and captions."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from dataset_files import make_images, picture

from lora_trainer.data.dataset import EpochStream, TrainDataset
from lora_trainer.data.images import to_tensor
from lora_trainer.data.plan import make_plan
from lora_trainer.data.resize import resize
from lora_trainer.options.dataset_config import data_spec
from lora_trainer.options.dataset_keys import DATASET, KEYS, SUBSET
from tests.given import given

IN_THE_FILE = {"train_batch_size": "batch_size", "dataset_repeats": "num_repeats"}


@pytest.fixture(params=["command line", "data set file"])
def planned(request, tmp_path):
    """planned(images, captions, **options): the plan of images {name: size} with these captions {file: text}.

    The options are given in the one or in the other place, each where it may stand.
    """

    def make(images=None, captions=None, **options):
        folder = make_images(tmp_path / "data" / "1_words", images or {"a.png": (64, 64)})
        for name, text in (captions or {}).items():
            (folder / name).write_text(text, encoding="utf-8")
        chosen = {"caption_extension": ".txt", "resolution": "64", **options}
        if request.param == "command line":
            return make_plan(data_spec(given(train_data_dir=str(folder.parent), **chosen)))
        chosen["resolution"] = [int(side) for side in chosen["resolution"].split(",")]
        chosen["resolution"] = chosen["resolution"] if len(chosen["resolution"]) == 2 else chosen["resolution"][0]
        keys = {IN_THE_FILE.get(name, name): value for name, value in chosen.items()}
        subset = {name: value for name, value in keys.items() if SUBSET in KEYS[name].levels}
        dataset = {name: value for name, value in keys.items() if name not in subset}
        assert all(DATASET in KEYS[name].levels for name in dataset)
        subset |= {"image_dir": str(folder), "class_tokens": "words"}
        path = tmp_path / "set.json"
        path.write_text(json.dumps({"datasets": [{**dataset, "subsets": [subset]}]}), encoding="utf-8")
        return make_plan(data_spec(given(train_data_dir=None, resolution=None, dataset_config=str(path))))

    return make


def batches_of(plan, epochs=1, **more):
    dataset = TrainDataset(plan, **more)
    return [dataset[key] for key in EpochStream(plan, epochs)]


def orders(*tags):
    return {", ".join(order) for order in permutations(tags)}


# What was written beside the one image, the options, and the captions of one epoch after the other.
IN_TURN = {
    "caption_dropout_every_n_epochs": ("a", {"caption_dropout_every_n_epochs": 3}, ["a", "a", "", "a"]),
    "token_warmup_step": ("a, b, c", {"token_warmup_step": 4}, ["a", "a", "a, b", "a, b", "a, b, c", "a, b, c"]),
    "token_warmup_min": ("a, b, c", {"token_warmup_step": 4, "token_warmup_min": 2}, ["a, b"] * 4 + ["a, b, c"]),
}


@pytest.mark.effect("caption_dropout_every_n_epochs", "token_warmup_step", "token_warmup_min")
@pytest.mark.parametrize("option", IN_TURN)
def test_captions_of_one_epoch_after_the_other(planned, option):
    text, options, expected = IN_TURN[option]
    plan = planned(captions={"a.txt": text}, **options)
    assert [batch["captions"][0] for batch in batches_of(plan, len(expected))] == expected


# The same, and which captions come up in the course of time.
IN_TIME = {
    "shuffle_caption": ("a, b, c", {"shuffle_caption": True}, orders("a", "b", "c")),
    "keep_tokens": ("a, b, c", {"shuffle_caption": True, "keep_tokens": 1}, {"a, b, c", "a, c, b"}),
    "keep_tokens_separator": (
        "a, b ||| c, d ||| e",
        {"shuffle_caption": True, "keep_tokens_separator": "|||"},
        {"a, b, c, d, e", "a, b, d, c, e"},
    ),
    "caption_separator": ("a; b, c", {"shuffle_caption": True, "caption_separator": ";"}, {"a, b, c", "b, c, a"}),
    "secondary_separator": ("a;;;b, c", {"shuffle_caption": True, "secondary_separator": ";;;"}, {"a,b, c", "c, a,b"}),
    "enable_wildcard": ("{a|b} c\nd", {"enable_wildcard": True}, {"a c", "b c", "d"}),
    "caption_prefix": ("a", {"caption_prefix": "in front"}, {"in front a"}),
    "caption_suffix": ("a", {"caption_suffix": "at the end"}, {"a at the end"}),
    "caption_dropout_rate": ("a", {"caption_dropout_rate": 0.5}, {"a", ""}),
    "caption_tag_dropout_rate": ("a, b", {"caption_tag_dropout_rate": 0.5}, {"a, b", "a", "b", ""}),
}


@pytest.mark.effect("shuffle_caption", "keep_tokens", "keep_tokens_separator", "caption_separator", "secondary_separator")
@pytest.mark.effect("enable_wildcard", "caption_prefix", "caption_suffix", "caption_dropout_rate", "caption_tag_dropout_rate")
@pytest.mark.parametrize("option", IN_TIME)
def test_captions_that_come_up_in_the_course_of_time(planned, option):
    text, options, expected = IN_TIME[option]
    plan = planned(captions={"a.txt": text}, **options)
    assert {batch["captions"][0] for batch in batches_of(plan, 60)} == expected


@pytest.mark.effect("caption_extension", "class_tokens")
def test_captions_are_the_files_of_the_ending_and_the_words_of_the_folder_where_there_is_none(planned):
    plan = planned({"a.png": (64, 64), "b.png": (64, 64)}, {"a.tags": "of the file", "b.txt": "x"}, caption_extension=".tags")
    assert sorted(batch["captions"][0] for batch in batches_of(plan)) == ["of the file", "words"]


@pytest.mark.effect("flip_aug")
def test_images_are_mirrored_now_and_then(planned):
    upright = to_tensor(np.array(picture(64, 64)))
    shown = {bool(torch.equal(batch["images"][0], upright)) for batch in batches_of(planned(flip_aug=True), 12)}
    mirrored = [batch["images"][0] for batch in batches_of(planned(flip_aug=True), 12)]
    assert shown == {True, False} and all(torch.equal(one, upright) or torch.equal(one.flip(2), upright) for one in mirrored)


@pytest.mark.effect("color_aug")
def test_colours_change_a_little_now_and_then(planned):
    upright = to_tensor(np.array(picture(64, 64)))
    away = [float((batch["images"][0] - upright).abs().mean()) for batch in batches_of(planned(color_aug=True), 12)]
    assert 0.0 in away and len(set(away)) > 2 and max(away) < 0.2


@pytest.mark.effect("random_crop")
def test_another_part_of_the_image_is_cut_out_each_time(planned):
    plan = planned({"a.png": (90, 80)}, random_crop=True)
    whole = to_tensor(np.array(picture(90, 80)))
    parts = {tuple(batch["images"].flatten().tolist()) for batch in batches_of(plan, 8)}
    windows = whole.unfold(1, 64, 1).unfold(2, 64, 1)  # [3, 17, 27, 64, 64]
    assert len(parts) > 5
    for part in parts:
        cut = torch.tensor(part).reshape(3, 1, 1, 64, 64)
        assert (windows == cut).all(4).all(3).all(0).any(), "a part of the image as it is"


@pytest.mark.effect("resize_interpolation")
@pytest.mark.parametrize("filter_", ["nearest", "area", "lanczos"])
def test_images_are_resized_as_chosen(planned, filter_):
    (batch,) = batches_of(planned({"a.png": (150, 150)}, resize_interpolation=filter_))
    assert torch.equal(batch["images"][0], to_tensor(resize(np.array(picture(150, 150)), (64, 64), filter_)))


SIZES = {"tall.png": (64, 160), "wide.png": (160, 64), "small.png": (48, 40)}
BUCKETS = {"enable_bucket": True, "min_bucket_reso": 32, "max_bucket_reso": 128, "bucket_reso_steps": 32}
# Options, and the sizes (width, height) of SIZES in this order.
GROUPED = {
    "enable_bucket": (BUCKETS, [(32, 96), (96, 32), (64, 64)]),
    "min_bucket_reso": (BUCKETS | {"min_bucket_reso": 64}, [(64, 64), (64, 64), (64, 64)]),
    "max_bucket_reso": (BUCKETS | {"max_bucket_reso": 64}, [(32, 64), (64, 32), (64, 64)]),
    "bucket_reso_steps": (BUCKETS | {"bucket_reso_steps": 8}, [(40, 96), (96, 40), (72, 56)]),
    "bucket_no_upscale": (BUCKETS | {"bucket_reso_steps": 8, "bucket_no_upscale": True}, [(40, 96), (96, 40), (48, 40)]),
    "resolution": ({"resolution": "72,64"}, [(72, 64)] * 3),
}


@pytest.mark.effect(
    "enable_bucket", "min_bucket_reso", "max_bucket_reso", "bucket_reso_steps", "bucket_no_upscale", "resolution"
)
@pytest.mark.parametrize("option", GROUPED)
def test_the_sizes_that_images_are_trained_at(planned, option):
    options, expected = GROUPED[option]
    plan = planned(SIZES, **options)
    found = {}
    for batch in batches_of(plan):
        (number,) = batch["image_ids"].tolist()
        found[Path(plan.images[number].path).name] = tuple(batch["images"].shape[:1:-1])
    assert [found[name] for name in SIZES] == expected


@pytest.mark.effect("train_batch_size", "batch_size")
def test_so_many_images_are_learned_from_at_once(planned):
    images = {f"{n}.png": (64, 64) for n in range(5)}
    assert sorted(len(batch["images"]) for batch in batches_of(planned(images, train_batch_size=2))) == [1, 2, 2]


@pytest.fixture
def from_file(tmp_path):
    """from_file(*subsets, **options): the plan of a data set file in which folders a and b are named."""
    folders = {name: make_images(tmp_path / name, {f"{name}{n}.png": (64, 64) for n in range(2)}) for name in "ab"}

    def make(*subsets, **options):
        tables = [{**subset, "image_dir": str(folders[subset["image_dir"]])} for subset in subsets]
        path = tmp_path / "set.json"
        path.write_text(json.dumps({"datasets": [{"resolution": 64, "subsets": tables}]}), encoding="utf-8")
        return make_plan(data_spec(given(train_data_dir=None, resolution=None, dataset_config=str(path), **options)))

    return make


def shown(plan):
    """How often an epoch shows the images of each folder."""
    numbers = [number for batch in batches_of(plan) for number in batch["image_ids"].tolist()]
    names = [Path(plan.images[number].path).parent.name for number in numbers]
    return {name: names.count(name) for name in sorted(set(names))}


@pytest.mark.effect("dataset_config", "image_dir", "num_repeats", "dataset_repeats")
def test_an_epoch_shows_the_folders_of_the_file_with_their_repeats(from_file):
    one, other = {"image_dir": "a", "class_tokens": "x"}, {"image_dir": "b", "class_tokens": "x"}
    assert shown(from_file(one)) == {"a": 2}
    assert shown(from_file(one, other | {"num_repeats": 3})) == {"a": 2, "b": 6}
    assert shown(from_file(one, other | {"num_repeats": 3}, dataset_repeats=4)) == {"a": 8, "b": 6}


@pytest.mark.effect("custom_attributes")
def test_notes_of_ones_own_change_nothing(from_file):
    subset = {"image_dir": "a", "class_tokens": "x"}
    plain, noted = from_file(subset), from_file(subset | {"custom_attributes": {"from": ["me"]}})
    assert noted.subsets[0].spec.custom_attributes == {"from": ["me"]}
    assert (plain.images, plain.batches(0), plain.findings) == (noted.images, noted.batches(0), noted.findings)


@pytest.mark.effect("is_reg")
def test_regularisation_images_of_the_file_fill_up_the_epoch(from_file):
    one, other = {"image_dir": "a", "class_tokens": "x", "num_repeats": 3}, {"image_dir": "b", "class_tokens": "x"}
    assert shown(from_file(one, other)) == {"a": 6, "b": 2}
    assert shown(from_file(one, other | {"is_reg": True})) == {"a": 6, "b": 6}


@pytest.mark.effect("train_data_dir", "reg_data_dir")
def test_folders_are_trained_with_the_repeats_and_words_of_their_names(tmp_path):
    make_images(tmp_path / "data" / "2_sls frog", {"a.png": (64, 64), "b.png": (64, 64)})
    make_images(tmp_path / "data" / "1_cpc rabbit", {"c.png": (64, 64)})
    make_images(tmp_path / "reg" / "1_frog", {"d.png": (64, 64)})
    plan = make_plan(data_spec(given(train_data_dir=str(tmp_path / "data"), reg_data_dir=str(tmp_path / "reg"))))
    assert shown(plan) == {"1_cpc rabbit": 1, "1_frog": 5, "2_sls frog": 4}
    assert {batch["captions"][0] for batch in batches_of(plan)} == {"sls frog", "cpc rabbit", "frog"}
    assert [subset.spec.is_reg for subset in plan.subsets] == [False, False, True]
