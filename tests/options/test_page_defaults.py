"""What the page fills in for settings that were left alone."""

from __future__ import annotations

import pytest

from lora_trainer.options.page_defaults import filled_in


def test_identifier_and_class_are_the_sample_prompt_at_the_size_of_the_training():
    values, prompts = filled_in({"resolution": "512,768", "max_train_steps": 1500}, "sls frog", "")
    assert prompts == "sls frog --w 512 --h 768 --d 1 --s 20\n"
    assert values["sample_every_n_steps"] == 300


def test_epochs_are_counted_when_the_run_is_given_in_epochs():
    values, _ = filled_in({"resolution": "512", "max_train_epochs": "10"}, "sls frog", None)
    assert values["sample_every_n_epochs"] == 2 and "sample_every_n_steps" not in values


def test_what_was_given_stays():
    given = {"resolution": "512", "sample_every_n_steps": 7, "min_bucket_reso": 320}
    values, prompts = filled_in(given, "sls frog", "a sls frog in the rain --s 4")
    assert values == given
    assert prompts == "a sls frog in the rain --s 4\n"


@pytest.mark.parametrize("prompts", ["#", "# none\n#"])
def test_comments_alone_ask_for_no_samples(prompts):
    values, text = filled_in({"resolution": "512"}, "sls frog", prompts)
    assert text == "" and "sample_every_n_steps" not in values


def test_without_words_there_is_nothing_to_draw():
    assert filled_in({"resolution": "512"}, "", "")[1] == ""


@pytest.mark.parametrize(("resolution", "smallest"), [("64", 64), ("512,128", 128), ("256", None), ("512", None)])
def test_the_smallest_bucket_is_no_larger_than_the_training(resolution, smallest):
    assert filled_in({"resolution": resolution}, "", "")[0].get("min_bucket_reso") == smallest


@pytest.mark.parametrize("resolution", [None, "", "abc", "1,2,3"])
def test_a_wrong_resolution_is_left_to_its_own_check(resolution):
    assert filled_in({"resolution": resolution}, "sls frog", "")[0] == {"resolution": resolution}
