"""A caption that lies beside its image is used, or named: by the planning, the training and the page alike."""

import json
import unicodedata
from pathlib import Path

import pytest
from dataset_files import make_images, one_dataset

from lora_trainer.data.plan import make_plan

NFC, NFD = (unicodedata.normalize(form, "고양이") for form in ("NFC", "NFD"))


def plan_of(folder, **subset):
    return make_plan(one_dataset({"image_dir": folder, "caption_extension": ".txt", "class_tokens": "cat"} | subset))


def captions_of(plan):
    return {Path(image.path).name: image.caption for image in plan.images}


def messages(plan, level):
    return [finding.message for finding in plan.findings if finding.level == level]


@pytest.mark.parametrize(
    ("image", "caption"),
    [
        ("upper.png", "upper.TXT"),
        ("double.png", "double.png.txt"),
        ("Case.png", "case.txt"),
        ("jpeg.JPG", "jpeg.jpeg.Txt"),
        ("hidden.png", "hidden.txt.txt"),
        ("space.png", "space .txt"),
        ("ÄÖ.png", unicodedata.normalize("NFD", "äö.TXT")),
    ],
)
def test_a_caption_under_a_look_alike_name_is_used_and_told_of(tmp_path, image, caption):
    make_images(tmp_path, {image: (64, 64)})
    (tmp_path / caption).write_text("a striped cat")
    plan = plan_of(tmp_path)
    assert captions_of(plan) == {image: "a striped cat"}
    (told,) = messages(plan, "info")
    assert f"{image} ({caption})" in told
    assert messages(plan, "warning") == []


@pytest.mark.parametrize(("image", "caption"), [(NFD, NFC), (NFC, NFD)])
def test_composed_and_decomposed_unicode_are_one_name(tmp_path, image, caption):
    make_images(tmp_path, {f"{image}.png": (64, 64)})
    (tmp_path / f"{caption}.txt").write_text("a striped cat")
    plan = plan_of(tmp_path)
    assert list(captions_of(plan).values()) == ["a striped cat"]
    assert plan.findings == ()


def test_the_exact_name_wins_and_the_other_file_is_named(tmp_path):
    make_images(tmp_path, {"a.png": (64, 64)}, captions="right")
    (tmp_path / "a.TXT").write_text("other")
    (tmp_path / "a.png.txt").write_text("other")
    plan = plan_of(tmp_path)
    assert captions_of(plan) == {"a.png": "right"}
    (told,) = messages(plan, "warning")
    assert "a.TXT, a.png.txt" in told


def test_a_caption_that_names_its_image_whole_is_that_images(tmp_path):
    make_images(tmp_path, {"a.png": (64, 64), "a.jpg": (64, 64)})
    (tmp_path / "a.png.txt").write_text("png")
    (tmp_path / "a.jpg.txt").write_text("jpg")
    assert captions_of(plan_of(tmp_path)) == {"a.png": "png", "a.jpg": "jpg"}


def test_another_images_own_caption_is_left_to_it(tmp_path):
    make_images(tmp_path, {"Case.png": (64, 64), "case.png": (64, 64)})
    (tmp_path / "case.txt").write_text("small")
    assert captions_of(plan_of(tmp_path)) == {"Case.png": "cat", "case.png": "small"}


def test_a_caption_that_belongs_to_no_image_is_named(tmp_path):
    make_images(tmp_path, {"a.png": (64, 64)}, captions="a cat")
    (tmp_path / "a (1).txt").write_text("another cat")
    (tmp_path / "a.caption").write_text("a third cat")
    plan = plan_of(tmp_path)
    assert "a (1).txt" in messages(plan, "warning")[0]
    assert "a.caption" in messages(plan, "info")[0]


@pytest.mark.parametrize("ending", [".caption", ".tags", ".CAPTION"])
def test_captions_of_another_ending_are_named(tmp_path, ending):
    make_images(tmp_path, {"a.png": (64, 64), "b.png": (64, 64)})
    (tmp_path / f"b{ending}").write_text("a cat")
    (told,) = messages(plan_of(tmp_path), "warning")
    assert f"b{ending}" in told and f"set caption_extension to {ending.lower()}" in told


def test_lines_that_are_not_trained_are_told_with_the_file(tmp_path):
    make_images(tmp_path, {"a.png": (64, 64)})
    (tmp_path / "a.txt").write_text("\n a cat \n\non a wall\n")
    plan = plan_of(tmp_path)
    assert captions_of(plan) == {"a.png": "a cat"}
    (told,) = messages(plan, "warning")
    assert "a.txt" in told and "enable_wildcard" in told
    with_all = plan_of(tmp_path, enable_wildcard=True)
    assert captions_of(with_all) == {"a.png": "a cat\non a wall"}
    assert with_all.findings == ()


def test_a_huge_caption_file_is_refused_by_name(tmp_path):
    make_images(tmp_path, {"a.png": (64, 64)})
    (tmp_path / "a.txt").write_bytes(b"x" * (2 << 20))
    (error,) = [finding for finding in plan_of(tmp_path).findings if finding.level == "error"]
    assert error.where == str(tmp_path / "a.txt") and "larger than 1 MB" in error.message


@pytest.mark.parametrize(
    ("text", "settings", "said"),
    [
        ("{red|blue} frog", {}, "a choice such as {red|blue}"),
        ("{red|blue} frog", {"enable_wildcard": True}, ""),
        ("{red} frog, :|, {|", {}, ""),
        (
            "sls ||| a, b",
            {"keep_tokens_separator": "|||"},
            "keep_tokens_separator |||, which is trained as it is written: a.png",
        ),
        ("sls ||| a, b", {"keep_tokens_separator": "|||", "shuffle_caption": True}, ""),
        ("sls ||| a, b", {"keep_tokens_separator": "|||", "caption_tag_dropout_rate": 0.1}, ""),
        (
            "sls || a, b",
            {"keep_tokens_separator": "|||", "shuffle_caption": True},
            "no caption holds keep_tokens_separator |||",
        ),
        ("sls || a, b", {"keep_tokens_separator": "|||"}, ""),
    ],
)
def test_marks_that_mean_nothing_without_their_option_are_told(tmp_path, text, settings, said):
    make_images(tmp_path, {"a.png": (64, 64)}, captions=text)
    (tmp_path / "m.json").write_text(json.dumps({"a.png": {"caption": text}}), encoding="utf-8")
    for source in ({"caption_extension": ".txt"}, {"metadata_file": tmp_path / "m.json"}):
        plan = make_plan(one_dataset({"image_dir": tmp_path, **source, **settings}))
        found = [finding.message for finding in plan.findings if finding.field in ("enable_wildcard", "keep_tokens_separator")]
        assert (len(found) == 1 and said in found[0]) if said else found == []
