"""What the page shows as a caption is what the training takes, and editing it writes the file that counts."""

import os
from pathlib import Path
from urllib.parse import urlencode

import pytest

from lora_trainer.data.plan import make_plan
from lora_trainer.options.concepts import caption_ending
from lora_trainer.options.data_spec import DatasetSpec, DataSpec, SubsetSpec
from lora_trainer.options.simple import read_simple

from .conftest import get, picture, post

FILES = {
    "both.png": {"both.txt": "text file", "both.caption": "caption file"},
    "upper.png": {"upper.TXT": "a striped cat"},
    "double.png": {"double.png.txt": "a black cat"},
    "lines.png": {"lines.txt": "\nfirst\n\nsecond\n"},
    "tags.png": {"tags.tags": "cat, wall"},
    "none.png": {},
    "a_1_2_3_4.png": {"a.txt": "a shared one"},
    "a_5_6_7_8.png": {},
}


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "cats"
    place.mkdir()
    for image, captions in FILES.items():
        (place / image).write_bytes(picture())
        for name, text in captions.items():
            (place / name).write_text(text)
    return place


def shown(client, folder, **fields):
    answer = get(client, f"images?{urlencode({'folder': str(folder), **fields})}").json()
    return {one["name"]: one["caption"] for one in answer["images"]}


@pytest.mark.parametrize("wildcard", [False, True])
@pytest.mark.parametrize(
    "fields",
    [
        {"caption_source": "txt"},
        {"caption_source": "caption"},
        {"caption_source": "words"},
        {"caption_source": "other", "caption_extension": ".tags"},
        {"caption_source": "other", "caption_extension": "tags"},
    ],
)
def test_the_page_shows_the_captions_that_are_trained(client, folder, fields, wildcard):
    ending = caption_ending(read_simple(fields, []))
    subset = SubsetSpec(image_dir=folder, caption_extension=ending, class_tokens="x", enable_wildcard=wildcard)
    plan = make_plan(DataSpec(datasets=(DatasetSpec(resolution=(64, 64), subsets=(subset,)),)))
    trained = {Path(image.path).name: image.caption if image.has_caption else None for image in plan.images}
    query = {**fields, **({"enable_wildcard": "true"} if wildcard else {})}
    assert shown(client, folder, **query) == trained
    assert len(trained) == len(FILES)


@pytest.fixture
def upload(client, folder):
    files = [("files", (path.name, path.read_bytes(), "application/octet-stream")) for path in sorted(folder.iterdir())]
    answer = client.post("/lora-trainer/api/uploads", files=files, headers={"x-lora-trainer": "1"}).json()
    return answer["id"], Path(answer["folder"])


def captions(client, upload_id):
    answer = get(client, f"uploads/{upload_id}?caption_source=txt").json()
    return {one["name"]: (one["caption"], one["whole_caption"]) for one in answer["images"]}


def test_an_edited_caption_is_the_one_that_counts(client, upload):
    upload_id, place = upload
    for image in FILES:
        body = {"name": image, "caption": f"new words for {image}", "extension": ".txt"}
        assert post(client, f"uploads/{upload_id}/caption", body).status_code == 200
    assert {name: text for name, (text, _) in captions(client, upload_id).items()} == {
        image: f"new words for {image}" for image in FILES
    }
    assert (place / "a_1_2_3_4.txt").exists()  # a.txt was both images' caption
    assert [path.name for path in place.glob("double*.txt")] == ["double.txt"], "the edited one, and no second beside it"


def test_lines_are_shown_whole_for_editing_and_kept_when_each_counts(client, upload):
    upload_id, place = upload
    assert captions(client, upload_id)["lines.png"] == ("first", "first\nsecond")
    body = {"name": "lines.png", "caption": " one \n\n two", "extension": ".txt"}
    post(client, f"uploads/{upload_id}/caption", body | {"keep_lines": True})
    assert (place / "lines.txt").read_text() == "one\ntwo\n"
    post(client, f"uploads/{upload_id}/caption", body)
    assert (place / "lines.txt").read_text() == "one two\n"


def test_a_deleted_image_takes_its_captions_along_and_no_others(client, upload):
    upload_id, place = upload
    for image in ("double.png", "upper.png", "both.png", "a_1_2_3_4.png"):
        assert post(client, f"uploads/{upload_id}/delete", {"name": image}).status_code == 200
    left = {path.name for path in place.iterdir()}
    assert left == {"lines.png", "lines.txt", "tags.png", "tags.tags", "none.png", "a.txt", "a_5_6_7_8.png"} - {"tags.tags"}


def test_the_plans_examples_have_what_stands_before_and_behind_captions(client, folder, values):
    values |= {"image_dir": str(folder), "caption_source": "txt", "caption_prefix": "sls,", "caption_suffix": ", wall"}
    answer = post(client, "check", {"values": values | {"caption_dropout_rate": 1.0}}).json()
    examples = {one["image"]: one["caption"] for one in answer["plan"]["examples"]}
    assert examples["both.png"] == "sls, text file , wall"
    assert examples["double.png"] == "sls, a black cat , wall"


def test_a_caption_that_cannot_be_read_is_told_by_its_file_name_first(client, folder):
    (folder / "none.txt").write_bytes("강아지".encode("cp949"))
    answer = get(client, f"images?{urlencode({'folder': str(folder), 'caption_source': 'txt'})}").json()
    (problem,) = [one["problem"] for one in answer["images"] if one["name"] == "none.png"]
    assert problem.startswith("none.txt: the caption is not UTF-8 text") and str(folder) not in problem


@pytest.mark.parametrize(("images", "reg"), [("cats", "cat"), ("cats", "."), ("cat", "cat/more"), ("cats", "~/reg")])
def test_what_is_wrong_with_one_of_two_folders_is_told_at_its_own_field(client, values, tmp_path, monkeypatch, images, reg):
    """Also where one name begins like the other's, one lies in the other, or `~` was typed."""
    monkeypatch.setenv("HOME", str(tmp_path))
    reg_folder = tmp_path / reg.removeprefix("~/")
    for place, text in ((tmp_path / images, b"\xff of the images"), (reg_folder, b"\xff of the others")):
        place.mkdir(parents=True, exist_ok=True)
        (place / "a.png").write_bytes(picture())
        (place / "a.txt").write_bytes(text)
    typed = reg if reg.startswith("~") else str(reg_folder)
    sent = {**values, "image_dir": str(tmp_path / images), "reg_dir": typed, "caption_source": "txt"}
    problems = [one for one in post(client, "check", {"values": sent}).json()["problems"] if "UTF-8" in one["message"]]
    files = {one["field"]: Path(one["where"]) for one in problems}
    assert files == {"caption_source": tmp_path / images / "a.txt", "reg_dir": reg_folder / "a.txt"}


@pytest.mark.skipif(os.name == "nt", reason="such names cannot be there")
def test_an_image_with_a_name_that_other_systems_do_not_allow_is_shown(client, folder):
    for name in ("12:30?.png", "con.png", "a*<b>.png", f"{'가' * 75}.png"):
        (folder / name).write_bytes(picture())
        (thumb,) = [
            one["thumb"]
            for one in get(client, f"images?{urlencode({'folder': str(folder)})}").json()["images"]
            if one["name"] == name
        ]
        assert get(client, thumb).headers["content-type"] == "image/jpeg"
