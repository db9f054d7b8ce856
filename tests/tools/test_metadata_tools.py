"""The tools that make and clean metadata files, held against the recorded ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from lora_trainer import commands
from lora_trainer.errors import SaveError
from lora_trainer.options.schema import options_of
from lora_trainer.options.tools import clean_metadata, merge_to_metadata
from lora_trainer.tools.clean_metadata import clean_caption, clean_tags

from .conftest import GOLDEN

RECORDED = json.loads((GOLDEN / "captioning_tools.json").read_text(encoding="utf-8"))
OPTIONS = json.loads((GOLDEN / "options.json").read_text(encoding="utf-8"))["scripts"]
# What the reference does otherwise: docs/differences.md.
TAGS_KEPT = {"1boy, rating:questionable, x, rating:safe": "1boy, x"}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The folder that was recorded, seen from where the tools were started."""
    monkeypatch.chdir(tmp_path)
    texts = {
        "a.png": ("a cat\nsecond line ", "cat, tail"), "b.jpg": (" a dog ", "dog,  wag"), "sub/c.png": ("a fox", "fox"),
    }  # fmt: skip
    for name, (caption, tags) in texts.items():
        image = tmp_path / "imgs" / name
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(image)
        image.with_suffix(".caption").write_text(caption, encoding="utf-8")
        image.with_suffix(".txt").write_text(tags, encoding="utf-8")
    return tmp_path


def read(file: Path):
    return json.loads(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", RECORDED["merge_to_metadata"], ids=lambda case: " ".join([case["script"], *case["argv"]]))
def test_merging_writes_what_was_recorded(case, place, capsys):
    given = place / ("in.json" if "--in_json" in case["argv"] else "out.json")
    if case["existing"] is not None:
        given.write_text(json.dumps(case["existing"]), encoding="utf-8")
    code = commands.run([f"finetune/{case['script']}.py", *case["argv"]])
    if "error" in case:
        assert code == 2 and not (place / "out.json").exists()
        said = capsys.readouterr().err
        assert "--full_path" in said if "--recursive" in case["argv"] else ".nope" in said and "a.png" in said
        return
    assert code == 0 and read(place / "out.json") == case["out.json"]
    backups = sorted(file.name for file in place.glob("*.bak"))
    assert backups == (["out.json.bak"] if case["existing"] is not None and given.name == "out.json" else [])
    if backups:
        assert read(place / "out.json.bak") == case["existing"]


@pytest.mark.parametrize(
    ("script", "declared"),
    [
        ("merge_captions_to_metadata", merge_to_metadata.MergeCaptions),
        ("merge_dd_tags_to_metadata", merge_to_metadata.MergeTags),
        ("clean_captions_and_tags", clean_metadata.CleanCaptionsAndTags),
    ],
)
def test_the_options_are_those_of_the_scripts(script, declared):
    ours = {option.name: option.default for option in options_of(declared)}
    spelt = {name for option in options_of(declared) for name in option.aliases}
    recorded = {option["dest"]: option["default"] for option in OPTIONS[f"finetune/{script}.py"]}
    assert {name: value for name, value in recorded.items() if name not in spelt} | {"report": None} == ours, "one is ours"
    positional = [option["dest"] for option in OPTIONS[f"finetune/{script}.py"] if option["positional"]]
    assert sorted(declared.POSITIONAL) == sorted(positional) == sorted(declared.REQUIRED)


def test_the_misspelt_ending_and_the_order_of_the_documents_are_taken(place):
    words = ["--full_path", "imgs", "--caption_extention", ".txt", "meta.json"]
    assert commands.run(["merge_captions_to_metadata.py", *words]) == 0
    assert read(place / "meta.json")["imgs/a.png"] == {"caption": "cat, tail"}


def test_images_without_a_text_file_keep_what_they_have_and_are_told(place, capsys):
    (place / "imgs" / "a.caption").unlink()
    (place / "imgs" / "b.caption").write_bytes(b"")  # what a tagger writes that found nothing
    (place / "out.json").write_text('{"a": {"caption": "by hand", "train_resolution": [8, 8]}}')
    assert commands.run(["merge_captions_to_metadata", "imgs", "out.json"]) == 0
    assert read(place / "out.json") == {"a": {"caption": "by hand", "train_resolution": [8, 8]}, "b": {"caption": ""}}
    assert "Of 2 images 1 had no .caption file: a.png." in capsys.readouterr().err


def test_what_cannot_be_read_is_told_by_name_and_nothing_is_written(place, capsys):
    (place / "imgs" / "a.caption").write_bytes("고양이".encode("euc-kr"))
    (place / "imgs" / "b.caption").write_bytes(b"\xff")
    assert commands.run(["merge_captions_to_metadata", "imgs", "out.json"]) == 2
    said = capsys.readouterr().err
    assert "a.caption" in said and "b.caption" in said and "UTF-8" in said and not (place / "out.json").exists()
    (place / "out.json").write_text('{"a": {"tags": 5}}')
    assert commands.run(["merge_captions_to_metadata", "imgs", "out.json"]) == 2
    assert "tags of 'a' is a number" in capsys.readouterr().err and read(place / "out.json") == {"a": {"tags": 5}}


@pytest.mark.parametrize("case", RECORDED["clean_tags"], ids=lambda case: case["tags"] or "nothing")
def test_tags_are_cleaned_as_recorded(case):
    assert clean_tags(case["tags"]) == TAGS_KEPT.get(case["tags"], case["cleaned"])


@pytest.mark.parametrize("case", RECORDED["clean_captions"], ids=lambda case: case["caption"])
def test_captions_are_cleaned_as_recorded(case):
    assert clean_caption(case["caption"]) == case["cleaned"]


def test_what_the_reference_spoils_in_cleaning_stays():
    """Tags behind a rating, faces, and words that only begin like one that is replaced."""
    assert clean_tags("rating:safe, 1girl, >_<, blue_sky") == "1girl, >_<, blue sky"
    assert clean_tags("1girl, girls und panzer, red eyes, blue eyes") == "1girl, girls und panzer, red eyes, blue eyes"
    assert clean_caption("an anime woman") == "a girl"
    assert clean_caption("a personal computer and a policewoman") == "a personal computer and a policewoman"


def test_cleaning_keeps_what_else_an_entry_holds_and_the_lines_of_captions(place):
    entries = {"a": {"caption": "a woman\na young person", "tags": "long_hair, hair", "note": 1}, "b": {"tags": None}}
    (place / "meta.json").write_text(json.dumps(entries))
    assert commands.run(["clean_captions_and_tags", "meta.json", "meta.json", "--debug"]) == 0
    assert read(place / "meta.json") == {
        "a": {"caption": "a girl\na girl", "tags": "long hair", "note": 1},
        "b": {"tags": None},
    }
    assert read(place / "meta.json.bak") == entries
    assert commands.run(["clean_captions_and_tags", "meta.json", "meta.json"]) == 0
    assert len(list(place.glob("*.bak"))) == 1  # nothing was replaced


def test_a_second_backup_does_not_take_the_place_of_the_first(place):
    for text in ("one", "two", "three"):
        (place / "imgs" / "a.caption").write_text(text)
        assert commands.run(["merge_captions_to_metadata", "imgs", "out.json"]) == 0
    kept = {read(file)["a"]["caption"] for file in place.glob("*.bak")}
    assert kept == {"one", "two"} and read(place / "out.json")["a"]["caption"] == "three"


def test_a_full_disk_leaves_the_file_that_was_there(place, monkeypatch):
    (place / "out.json").write_text('{"a": {"caption": "old"}}')

    def full(path, text):
        raise SaveError("the disk is full.")

    monkeypatch.setattr("lora_trainer.data.plan.metadata_file.write_text_atomic", full)
    assert commands.run(["merge_captions_to_metadata", "imgs", "out.json"]) == 1
    assert read(place / "out.json") == {"a": {"caption": "old"}}


def test_what_is_no_metadata_file_is_not_replaced_by_one(place, capsys):
    (place / "meta.json").write_text('{"a": {"caption": "x"}}')
    (place / "settings.json").write_text('{"width": 512}')
    image = (place / "imgs" / "a.png").read_bytes()
    for wrong in ("imgs/a.png", "settings.json", "notes.txt"):
        assert commands.run(["clean_captions_and_tags", "meta.json", wrong]) == 2
        assert Path(wrong).name in capsys.readouterr().err
    assert commands.run(["merge_captions_to_metadata", "imgs", "settings.json", "--in_json", "meta.json"]) == 2
    assert (place / "imgs" / "a.png").read_bytes() == image and read(place / "settings.json") == {"width": 512}
    assert not (place / "notes.txt").exists() and not list(place.rglob("*.bak"))
