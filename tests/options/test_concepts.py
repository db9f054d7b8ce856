"""Several concepts in the page's values: the data set file they make, and where each mistake is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from lora_trainer.errors import InputErrors
from lora_trainer.options import concepts
from lora_trainer.options.data_spec import NO_CAPTIONS
from lora_trainer.options.dataset_config import load
from lora_trainer.options.form_spec import form_spec
from lora_trainer.options.simple import activation_words, read_simple, split_values, to_files


@pytest.fixture
def page(tmp_path: Path) -> dict[str, object]:
    """What the page sends for two concepts with regularisation folders of their own."""
    for name in ("frogs", "dogs", "reg frogs", "reg dogs"):
        (tmp_path / name).mkdir()
    dog = {
        "image_dir": str(tmp_path / "dogs"),
        "identifier": "abc",
        "class_name": "dog",
        "caption_source": "words",
        "num_repeats": 4,
        "reg_dir": str(tmp_path / "reg dogs"),
        "reg_repeats": 2,
        "settings": {"flip_aug": True, "keep_tokens": 2, "caption_prefix": "art, "},
    }
    return {
        "pretrained_model_name_or_path": "user/model",
        "output_dir": str(tmp_path),
        "output_name": "both",
        "resolution": 512,
        "max_train_steps": 20,
        "keep_tokens": 1,
        "image_dir": str(tmp_path / "frogs"),
        "identifier": "sls",
        "class_name": "frog",
        "reg_dir": str(tmp_path / "reg frogs"),
        "concepts": [dog],
    }


def made(values, folder=Path("/run")):
    return to_files(*split_values(values), folder=folder)


def refused(values):
    with pytest.raises(InputErrors) as raised:
        made(values)
    return {error.field: str(error) for error in raised.value.errors}


def changed(page, **dog):
    return {**page, "concepts": [{**page["concepts"][0], **dog}]}


def test_each_concept_is_a_subset_with_its_words_captions_repeats_and_regularisation_pictures(page, tmp_path):
    run = made(page, tmp_path)
    frogs, reg_frogs, dogs, reg_dogs = run.data.datasets[0].subsets
    assert [one.image_dir.name for one in (frogs, reg_frogs, dogs, reg_dogs)] == ["frogs", "reg frogs", "dogs", "reg dogs"]
    assert [one.class_tokens for one in (frogs, reg_frogs, dogs, reg_dogs)] == ["sls frog", "frog", "abc dog", "dog"]
    assert [one.num_repeats for one in (frogs, reg_frogs, dogs, reg_dogs)] == [10, 1, 4, 2]
    assert [one.caption_extension for one in (frogs, dogs)] == [".txt", NO_CAPTIONS]
    assert [one.is_reg for one in (frogs, reg_frogs, dogs, reg_dogs)] == [False, True, False, True]
    (tmp_path / "dataset.toml").write_text(run.dataset_toml, encoding="utf-8")
    assert load(tmp_path / "dataset.toml", run.options) == run.data, "the file alone says the same"


def test_options_of_a_concept_are_its_pictures_alone_and_the_trainings_count_for_the_rest(page):
    frogs, reg_frogs, dogs, reg_dogs = made(page).data.datasets[0].subsets
    assert [one.keep_tokens for one in (frogs, reg_frogs, dogs, reg_dogs)] == [1, 1, 2, 1]
    assert [one.flip_aug for one in (frogs, dogs, reg_dogs)] == [False, True, False]
    assert (frogs.caption_prefix, dogs.caption_prefix) == (None, "art, ")


def test_a_concept_that_is_switched_off_is_not_in_the_file_and_need_not_be_right(page):
    off = changed(page, is_off=True, image_dir="/gone", caption_source="words", identifier="")
    assert [one.image_dir.name for one in made(off).data.datasets[0].subsets] == ["frogs", "reg frogs"]
    first_off = {**page, "is_off": True, "image_dir": "/gone"}
    assert [one.image_dir.name for one in made(first_off).data.datasets[0].subsets] == ["dogs", "reg dogs"]
    assert "sls frog" not in made(first_off).prompts
    assert "nothing to train" in refused({**off, "is_off": True})["is_off"]


def test_regularisation_pictures_that_two_concepts_share_stand_in_the_file_once(page):
    shared = changed(page, class_name="frog", caption_source="txt", reg_dir=page["reg_dir"], reg_repeats=1)
    assert [one.image_dir.name for one in made(shared).data.datasets[0].subsets] == ["frogs", "reg frogs", "dogs"]


def test_what_is_wrong_is_told_at_the_field_of_its_concept(page):
    assert set(refused(changed(page, image_dir=None))) == {"concepts.0.image_dir"}
    assert "does not exist" in refused(changed(page, reg_dir="/no/such"))["concepts.0.reg_dir"]
    assert set(refused(changed(page, num_repeats=0, class_name=""))) == {"concepts.0.num_repeats", "concepts.0.class_name"}
    assert "Did you mean image_dir" in refused(changed(page, imagedir="x"))["concepts.0.imagedir"]
    assert "whole number" in refused(changed(page, settings={"keep_tokens": "many"}))["concepts.0.settings.keep_tokens"]
    found = refused({**page, "settings": {"resolution": 512, "keep_token": 1}})
    assert set(found) == {"settings.resolution", "settings.keep_token"} and "keep_tokens" in found["settings.keep_token"]
    cached = {**changed(page, settings={"color_aug": True}), "cache_latents": True}
    assert "cache_latents" in refused(cached)["concepts.0.settings.color_aug"]


@pytest.mark.parametrize("concepts", ["frog", 5, [5], ["frog"], [[]], {"image_dir": "x"}, [{1: 2}]])
def test_concepts_of_another_form_are_refused_in_words(page, concepts):
    found = refused({**page, "concepts": concepts})
    assert all(name.startswith("concepts") for name in found) and found


def test_more_concepts_than_a_page_can_hold_are_refused(page):
    assert "at most" in refused({**page, "concepts": page["concepts"] * 100})["concepts"]


def test_samples_are_drawn_of_each_concept_and_the_words_of_all_belong_to_the_file(page):
    lines = made(page).prompts.splitlines()
    assert [line.split(" --")[0] for line in lines] == ["sls frog", "abc dog"]
    assert activation_words(read_simple(split_values(page)[0], [])) == "sls frog, abc dog"


def test_the_form_describes_a_concepts_fields_and_the_options_it_may_have_for_its_own():
    controls = {one["name"]: one for section in form_spec() for one in section["controls"]}
    assert [one["name"] for one in controls["concepts"]["fields"]] == [option.name for option in concepts.FIELDS]
    settings = {one["name"]: one for one in controls["settings"]["fields"]}
    assert {"keep_tokens", "shuffle_caption", "flip_aug", "caption_prefix", "caption_dropout_rate"} <= set(settings)
    assert settings["keep_tokens"]["inherits"] == "keep_tokens" and not {"image_dir", "resolution", "is_reg"} & set(settings)


def test_values_are_found_changed_and_taken_out_by_their_dotted_names(page):
    assert dict(concepts.named_values(page))["concepts.0.settings.keep_tokens"] == 2
    assert concepts.value_at(page, "concepts.0.identifier") == "abc" and concepts.value_at(page, "identifier") == "sls"
    shorter = concepts.without(concepts.without(page, "concepts.0.settings.keep_tokens"), "concepts.0.image_dir")
    assert (
        shorter["concepts"][0]["settings"] == {"flip_aug": True, "caption_prefix": "art, "} and shorter["concepts"][0]["is_off"]
    )
    assert page["concepts"][0]["settings"]["keep_tokens"] == 2, "the given values stay as they are"
    upper = concepts.changed(page, lambda name, value: value.upper() if name == "identifier" else value)
    assert (upper["identifier"], upper["concepts"][0]["identifier"]) == ("SLS", "ABC")


def test_folders_among_the_options_of_a_concept_are_whole_paths_in_the_file_and_are_looked_for(page, tmp_path, monkeypatch):
    (tmp_path / "masks").mkdir()
    monkeypatch.chdir(tmp_path)
    page["masked_loss"] = True
    run = made(changed(page, settings={"conditioning_data_dir": "masks"}))
    assert run.data.datasets[0].subsets[2].conditioning_data_dir == tmp_path / "masks"
    found = refused(changed(page, settings={"conditioning_data_dir": "nowhere"}))
    assert "does not exist" in found["concepts.0.settings.conditioning_data_dir"]


def test_captions_of_a_metadata_file_stand_in_a_data_set_of_their_own_beside_folders(page, tmp_path):
    file = tmp_path / "meta.json"
    file.write_text('{"a.png": {"caption": "a dog"}}')
    values = changed(page, caption_source="metadata", metadata_file=str(file), settings={"flip_aug": True}, reg_dir=None)
    folders, named = made(values).data.datasets
    assert [one.image_dir.name for one in folders.subsets] == ["frogs", "reg frogs"]
    (subset,) = named.subsets
    assert (subset.metadata_file, subset.image_dir, subset.num_repeats) == (file, tmp_path / "dogs", 4)
    assert (subset.flip_aug, subset.class_tokens) == (True, None)
    left = to_files(*split_values(values), folder=Path("/run"), left_out=lambda folder: ["b.png"] if "dogs" in folder else [])
    assert left.data.datasets[1].subsets[0].exclude == ("b.png",)
    for given, words in ((None, "missing"), (str(tmp_path / "no.json"), "does not exist"), (str(tmp_path), "is a folder")):
        (said,) = refused(changed(values, metadata_file=given)).items()
        assert said[0] == "concepts.0.metadata_file" and words in said[1]
    assert "class_name" in "".join(refused(changed(values, reg_dir=str(tmp_path / "reg dogs"), class_name=None)))
    assert made({**values, "concepts": [{**values["concepts"][0], "caption_source": "words"}]}).data.datasets[0].subsets[2:]
