"""The fine-tuning method: captions and tags of a metadata file, where its images lie, and what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from dataset_files import make_images, one_dataset

from lora_trainer.captioning.pictures import Picture
from lora_trainer.captioning.writing import MetadataSink
from lora_trainer.data.plan import make_plan, metadata
from lora_trainer.data.plan.digest import data_record
from lora_trainer.data.plan.lint import LintSettings, lint
from lora_trainer.errors import InputErrors
from lora_trainer.options import TrainOptions
from lora_trainer.options.data_spec import DatasetSpec, DataSpec, SubsetSpec
from lora_trainer.options.train import flat

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "captioning_tools.json").read_text(encoding="utf-8"))


@pytest.fixture
def images(tmp_path):
    folder = make_images(tmp_path / "imgs", {"a.png": (64, 64), "b.jpg": (96, 64)})
    make_images(folder / "sub", {"c.png": (64, 64)})
    return folder


def written(folder: Path, content: object, name: str = "m.json") -> Path:
    file = folder / name
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return file


def plan_of(images: Path | None, file: Path, **settings):
    return make_plan(one_dataset({"image_dir": images, "metadata_file": file, **settings}))


def said(plan, level: str) -> list[str]:
    return [f"{Path(finding.where).name}: {finding.message}" for finding in plan.findings if finding.level == level]


@pytest.mark.effect("metadata_file")
@pytest.mark.parametrize("case", GOLDEN["fine_tuning_metadata"], ids=lambda case: case["name"])
def test_captions_repeats_and_tags_are_the_references(case, images):
    """What differs on purpose: a key without its ending opens the image, and no images are an error."""
    settings = {"num_repeats": 2, **case["options"]}
    folder = settings.pop("image_dir", images)
    plan = plan_of(folder, written(images.parent, case["metadata"]), **settings)
    if "error" in case or not case["images"]:
        with pytest.raises(InputErrors):
            plan.raise_errors()
        return
    plan.raise_errors()
    (image,) = plan.images
    (recorded,) = case["images"].values()
    assert (image.caption, image.repeats) == (recorded["caption"], recorded["repeats"])
    assert Path(image.path) == images / "a.png"
    told = metadata(plan, dataset_config=True)
    assert int(told["ss_num_train_images"]) == case["num_train_images"]
    assert json.loads(told["ss_tag_frequency"]) == case["tag_frequency"]
    (table,) = json.loads(told["ss_datasets"])
    assert table["is_dreambooth"] is False and table["tag_frequency"] == case["tag_frequency"]
    (subset,) = table["subsets"]
    assert (subset["metadata_file"], subset["image_dir"], subset["img_count"]) == ("m.json", "imgs", 1)
    assert not {"class_tokens", "is_reg"} & set(subset)
    assert json.loads(told["ss_dataset_dirs"]) == {"m.json": {"n_repeats": 2, "img_count": 1}}


@pytest.mark.parametrize(
    "key",
    ["sub/c.png", "sub/c", "{images}/sub/c.png", "{images}/sub/c", "imgs/sub/c.png", "sub\\c.png"],
)
def test_a_key_is_a_path_of_its_own_or_starts_from_the_folder_and_may_lack_its_ending(images, key, monkeypatch):
    monkeypatch.chdir(images.parent)  # where --full_path with a relative folder was written
    file = written(images.parent, {key.format(images=images.as_posix()): {"caption": "a fox"}})
    plan = plan_of(images, file)
    plan.raise_errors()
    assert [(Path(image.path).resolve(), image.caption) for image in plan.images] == [(images / "sub" / "c.png", "a fox")]
    assert not any("not where" in text for text in said(plan, "warning"))


def test_whole_paths_need_no_folder_and_others_ask_for_it(images):
    plan = plan_of(None, written(images.parent, {str(images / "a.png"): {"tags": "cat"}}))
    plan.raise_errors()
    assert [image.caption for image in plan.images] == ["cat"]
    (error,) = said(plan_of(None, written(images.parent, {"a.png": {"tags": "cat"}})), "error")
    assert "m.json" in error and "a.png" in error and "image_dir" in error


@pytest.mark.parametrize("key", ["/old/imgs/sub/c.png", "C:\\data\\imgs\\sub\\c.png", "D:/all/pictures/c.png"])
def test_images_that_were_moved_are_found_in_the_folder_and_told_of(images, key):
    (images / "c.png").write_bytes((images / "sub" / "c.png").read_bytes())
    plan = plan_of(images, written(images.parent, {key: {"caption": "a fox"}}))
    plan.raise_errors()
    expected = images / "c.png" if "all" in key else images / "sub" / "c.png"
    assert [Path(image.path) for image in plan.images] == [expected]
    assert any("not where the metadata file says" in text and key in text for text in said(plan, "warning"))


def test_images_that_are_gone_are_named_and_the_others_trained(images):
    entries = {"a.png": {"caption": "a cat"}, "gone.png": {"caption": "x"}, "/far/away.png": {"caption": "y"}}
    plan = plan_of(images, written(images.parent, entries))
    plan.raise_errors()
    assert len(plan.images) == 1
    assert any("2 of 3 images" in text and "gone.png, /far/away.png" in text for text in said(plan, "warning"))
    assert any("not in the metadata file are not trained (1)" in text and "b.jpg" in text for text in said(plan, "warning"))
    (error,) = said(plan_of(images, written(images.parent, {"gone.png": {}})), "error")
    assert "gone.png" in error and str(images) in error


def test_an_image_in_two_keys_is_trained_once_unless_its_captions_differ(images):
    same = {"a.png": {"caption": "a cat"}, str(images / "a.png"): {"caption": "a cat"}}
    plan = plan_of(images, written(images.parent, same))
    plan.raise_errors()
    assert len(plan.images) == 1 and any("'a.png'" in text and "trained once" in text for text in said(plan, "warning"))
    plan = plan_of(images, written(images.parent, {"a.png": {"caption": "a cat"}, "a": {"tags": "dog"}}))
    assert said(plan, "error") == ["m.json: 'a.png' and 'a' are one image with two captions. Delete one of the two entries."]


def test_a_key_without_ending_that_fits_two_images_takes_one_and_says_so(images):
    make_images(images, {"a.webp": (64, 64)})
    plan = plan_of(images, written(images.parent, {"a": {"caption": "a cat"}}))
    plan.raise_errors()
    assert [Path(image.path).name for image in plan.images] == ["a.png"]
    assert any("a (a.webp)" in text for text in said(plan, "warning"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"a.png": {"caption": "one"},\n "a.png": {"caption": "two"}}', ["'a.png'", "twice"]),
        ({"a.png": "a cat"}, ["'a.png'", "a text", "table"]),
        ({"a.png": {"caption": 5}, "b.jpg": {"tags": ["x"]}}, ["caption of 'a.png' is a number", "tags of 'b.jpg' is a list"]),
        ([{"caption": "a cat"}], ["a list", "JSON object"]),
        ('{"a.png": {"caption": "a cat"}}\n{"b.jpg": {}}', ["line 2", ".jsonl"]),
        ('{"a.png": {"caption": "a cat"', ["not valid JSON"]),
        ("", ["not valid JSON"]),
        ({}, ["names no images"]),
    ],
)  # fmt: skip
def test_a_file_that_is_no_metadata_is_refused_with_its_name_and_key(images, content, words):
    errors = said(plan_of(images, written(images.parent, content)), "error")
    assert errors and all(error.startswith("m.json: ") for error in errors)
    assert [word for word in words if word not in " ".join(errors)] == []


def test_a_file_with_a_line_for_each_image_says_the_same(images):
    lines = '{"image_path": "a.png", "caption": "a cat", "tags": "cat"}\n\n'
    lines += '{"image_path": "b.jpg", "caption": "b", "image_size": [96, 64]}\n'
    plan = plan_of(images, written(images.parent, lines, "m.jsonl"))
    plan.raise_errors()
    assert [(Path(image.path).name, image.caption) for image in plan.images] == [("a.png", "a cat,cat"), ("b.jpg", "b")]


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ('{"image_path": "a.png"}', ["'a.png' is there twice"]),
        ('{"image_path": "b.jpg"', ["not valid JSON in line 2", "image_path"]),
        ('{"caption": "b"}', ["no image in line 2", "image_path"]),
        ("[]", ["no image in line 2"]),
        ('{"image_path": "b.jpg", "tags": 5}', ["tags of 'b.jpg' is a number"]),
    ],
)
def test_a_line_that_is_wrong_is_named(images, second, words):
    (error,) = said(plan_of(images, written(images.parent, '{"image_path": "a.png"}\n' + second, "m.jsonl")), "error")
    assert [word for word in words if word not in error] == []


def test_what_the_tagger_writes_for_all_pictures_can_be_trained(images):
    for name in ("m.json", "m.jsonl"):
        sink = MetadataSink(images.parent / name, ", ")
        sink.put(Picture(images / "a.png", "a.png"), ["cat", "chair"])
        sink.finish()
        assert [image.caption for image in plan_of(None, images.parent / name).images] == ["cat, chair"]


def test_a_file_that_is_gone_or_larger_than_any_metadata_is_refused_unread(images, monkeypatch):
    monkeypatch.setattr("lora_trainer.data.plan.metadata_file.MAX_BYTES", 10)
    (error,) = said(plan_of(images, written(images.parent, {"a.png": {"caption": "a cat"}})), "error")
    assert error.startswith("m.json: ") and "too large" in error
    (error,) = said(plan_of(images, images.parent / "none.json"), "error")
    assert "none.json" in error and "does not exist" in error


def test_a_caption_of_several_lines_keeps_its_tags_and_the_rest_is_told(images):
    """The reference takes the first line of caption and tags together, so that the tags are lost."""
    file = written(images.parent, {"a.png": {"caption": "\none\ntwo", "tags": "x\n y", "train_resolution": [64, 64]}})
    plan = plan_of(images, file)
    assert plan.images[0].caption == "one,x,y"
    assert any("1 caption has more than one line" in text and "a.png" in text for text in said(plan, "warning"))
    assert any("train_resolution is not used (in 1)" in text for text in said(plan, "info"))
    assert not any("more than one line" in text for text in said(plan_of(images, file, enable_wildcard=True), "warning"))


def test_images_without_any_words_are_trained_with_an_empty_caption_and_told(images):
    plan = plan_of(images, written(images.parent, {"a.png": {"caption": None}, "b.jpg": {"tags": "dog"}}))
    plan.raise_errors()
    assert [image.caption for image in plan.images] == ["", "dog"]
    assert any("neither caption nor tags" in text and "(1)" in text and "a.png" in text for text in said(plan, "warning"))
    assert plan.summary()["folders"][0] | {"captions_found": 1, "images": 2, "name": "m.json"} == plan.summary()["folders"][0]


def test_a_broken_image_is_named_with_its_key(images):
    (images / "a.png").write_bytes(b"no picture")
    errors = said(plan_of(images, written(images.parent, {"a": {"caption": "x"}})), "error")
    assert any(error.startswith("a.png: ") and "Its key is 'a'" in error for error in errors)


def test_the_file_is_read_again_when_it_or_an_image_in_another_folder_has_changed(images):
    file = written(images.parent, {"a.png": {"caption": "a cat"}})
    assert plan_of(images, file).images[0].caption == "a cat"
    written(images.parent, {"a.png": {"caption": "a dog"}})
    assert plan_of(images, file).images[0].caption == "a dog"


def test_it_stands_beside_folders_in_data_sets_of_their_own_and_once_in_each(images):
    (images / "a.txt").write_text("a cat")
    file = written(images.parent, {"a.png": {"caption": "one"}})
    described, again = (SubsetSpec(image_dir=images, metadata_file=file, num_repeats=3) for _ in range(2))
    folder = SubsetSpec(image_dir=images, class_tokens="sls cat", caption_extension=".txt")
    sets = [DatasetSpec(resolution=(64, 64), subsets=one) for one in ((folder,), (described, again))]
    plan = make_plan(DataSpec(datasets=tuple(sets)))
    plan.raise_errors()
    assert sorted((image.caption, image.repeats) for image in plan.images) == [("a cat", 1), ("one", 3), ("sls cat", 1)]
    assert any("m.json: the metadata file is named twice" in text for text in said(plan, "warning"))
    tables = json.loads(metadata(plan, dataset_config=True)["ss_datasets"])
    assert [table["is_dreambooth"] for table in tables] == [True, False]
    record = data_record(plan, flat(TrainOptions()))
    told = json.dumps([tables, record])
    assert str(images.parent) not in told
    assert (
        record["datasets"][1]["subsets"][0] | {"metadata_file": "m.json", "image_dir": "imgs", "images": 1}
        == (record["datasets"][1]["subsets"][0])
    )


def test_a_folder_that_may_not_be_read_is_said_to_be(images, monkeypatch):
    def listed(folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("lora_trainer.data.plan.metadata_images.list_folder", listed)
    errors = said(plan_of(images, written(images.parent, {"a.png": {"caption": "x"}})), "error")
    assert any(error.startswith("imgs: ") and "Permission denied" in error for error in errors)


def test_a_lint_of_its_captions_offers_no_mend_that_would_write_caption_files(images):
    long = ", ".join(f"tag {number}" for number in range(60))
    plan = plan_of(images, written(images.parent, {"a.png": {"tags": long}, "b.jpg": {"tags": "dog"}}))
    found = [finding for finding in lint(plan, LintSettings()).findings if finding.code == "long_caption"]
    assert [(Path(finding.where).name, finding.fix) for finding in found] == [("m.json", None)]


def test_images_that_a_person_left_out_are_not_trained_though_the_file_names_them(images):
    file = written(images.parent, {"a.png": {"caption": "a cat"}, "b": {"caption": "a dog"}})
    plan = plan_of(images, file, exclude=("b.jpg",))
    assert [Path(image.path).name for image in plan.images] == ["a.png"]
    assert said(plan, "info") == ["m.json: 1 of 2 images left out (exclude): b.jpg."] and not said(plan, "warning")
