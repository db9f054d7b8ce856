"""What spoils a training is told of a data set and mended in it, as one step that can be undone."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from .conftest import API, get, post


@pytest.fixture
def opened(client, images):
    return post(client, "datasets", {"folders": [str(images)]}).json()


def ask(client, dataset, what, **body):
    return post(client, f"datasets/{dataset['id']}/{what}", body)


def found(client, dataset, **body):
    return {one["code"]: one for one in ask(client, dataset, "findings", **body).json()["findings"] if one["code"]}


def texts(folder):
    return {path.stem: path.read_bytes() for path in folder.glob("*.txt")}


def test_findings_are_told_by_picture_and_are_filters(client, images, values, opened):
    (images / "1.txt").write_text("a frog")
    absent = found(client, opened, values=values)["identifier_absent"]
    (picture,) = absent["ids"]
    rows = ask(client, opened, "rows", ids=[picture]).json()["rows"]
    assert [(row["name"], row["findings"]) for row in rows] == [("1.png", ["identifier_absent"])]
    assert ask(client, opened, "query", filter="finding:identifier_absent").json()["ids"] == [picture]
    assert "identifier_absent" not in found(client, opened), "without the form nobody has named an identifier"


def test_of_two_concepts_each_data_set_is_told_its_own_findings(client, images, values, opened, tmp_path):
    other = tmp_path / "toads"
    shutil.copytree(images, other)
    for name in ("1.txt", "2.txt"):
        (other / name).write_text("something else")
    (images / "1.txt").write_text("a frog")
    both = {**values, "concepts": [{"image_dir": str(other), "identifier": "zwx", "class_name": "toad"}]}
    told = [
        one for one in ask(client, opened, "findings", values=both).json()["findings"] if one["code"] == "identifier_absent"
    ]
    assert [len(one["ids"]) for one in told] == [1] and "'sls'" in told[0]["message"]
    toads = post(client, "datasets", {"folders": [str(other)]}).json()
    assert "'zwx'" in found(client, toads, values=both)["identifier_absent"]["message"]


# what is wrong -> how it is made so, and what the captions or pictures are when it is mended
WRONG = {
    "identifier_absent": (lambda f: (f / "1.txt").write_text("a frog"), {"1": b"sls, a frog"}),
    "encoding": (lambda f: (f / "1.txt").write_bytes("sls 개구리".encode("cp949")), {"1": "sls 개구리".encode()}),
    "empty_caption": (lambda f: (f / "1.txt").write_text("\n"), {"1": b"sls frog\n"}),
    "no_caption": (lambda f: (f / "1.txt").unlink(), {"1": b"sls frog\n"}),
    "more_lines": (lambda f: (f / "1.txt").write_text("a sls frog,\non a leaf\n"), {"1": b"a sls frog, on a leaf\n"}),
    "long_caption": (
        lambda f: (f / "1.txt").write_text("sls frog, " + "green, " * 40 + "a leaf"),
        {"1": b"sls frog" + b", green" * 36},
    ),
    "duplicate": (
        lambda f: [(f / f"9.{end}").write_bytes((f / f"1.{end}").read_bytes()) for end in ("png", "txt")],
        {"9": None},
    ),
}


@pytest.mark.parametrize("code", WRONG)
def test_a_finding_is_mended_and_the_mend_undone(client, images, values, code):
    spoil, mended = WRONG[code]
    spoil(images)
    before = (texts(images), sorted(path.name for path in images.glob("*.png")))
    dataset = post(client, "datasets", {"folders": [str(images)]}).json()
    finding = found(client, dataset, values=values)[code]
    answer = ask(client, dataset, "mend", code=code, where=finding["where"], values=values).json()
    assert answer["changed"] == 1 and not answer["conflicts"], answer
    after = texts(images)
    assert {name: after.get(name) for name in mended} == mended
    assert code not in found(client, dataset, values=values)
    undone = ask(client, dataset, "undo").json()
    assert undone["changed"] == 1
    assert (texts(images), sorted(path.name for path in images.glob("*.png"))) == before


def test_misspelt_tags_are_corrected_in_one_step(client, images, values):
    for path, tag in zip(sorted(images.glob("*.txt")), ("green eyes", "green eyes", "gren eyes"), strict=True):
        path.write_text(f"sls, frog, {tag}")
    for number in range(3, 6):
        (images / f"{number}.png").write_bytes((images / "0.png").read_bytes() + b"%d" % number)
        (images / f"{number}.txt").write_text(f"sls, frog, green eyes, {number}")
    dataset = post(client, "datasets", {"folders": [str(images)]}).json()
    assert ask(client, dataset, "mend", code="misspelt_tag", values=values).json()["changed"] == 1
    assert (images / "2.txt").read_text() == "sls, frog, green eyes"


@pytest.mark.parametrize(("words", "mended"), [({}, b"sls frog"), ({"identifier": "", "class_name": ""}, None)])
def test_an_empty_caption_file_stops_no_training_for_good(client, images, values, words, mended):
    (images / "1.txt").write_bytes(b"")
    sent = {**values, **words}
    wrong = [one for one in post(client, "check", {"values": sent}).json()["problems"] if one["level"] == "error"]
    assert [(one["code"], bool(one["fix"]["label"])) for one in wrong] == [("empty_caption", True)]
    dataset = post(client, "datasets", {"folders": [str(images)]}).json()
    assert ask(client, dataset, "mend", code="empty_caption", values=sent).json()["changed"] == 1
    assert texts(images).get("1") == mended
    assert post(client, "check", {"values": sent}).json()["ok"]
    ask(client, dataset, "undo")
    assert texts(images)["1"] == b""


def test_nothing_is_found_about_pictures_that_are_left_out(client, images, values, opened):
    (images / "2.txt").write_text("frog, " * 200)
    ids = post(client, f"datasets/{opened['id']}/query", {"filter": "name:2"}).json()["ids"]
    for body in ({}, {"values": values}):
        assert found(client, opened, **body)["long_caption"]["ids"] == ids
    ask(client, opened, "edit", edit={"kind": "leave_out"}, ids=ids)
    for body in ({}, {"values": values}):
        assert "long_caption" not in found(client, opened, **body)


def test_what_the_form_mends_and_what_is_not_there_is_refused(client, opened, values):
    sent = {**values, "resolution": "1024", "enable_bucket": True}
    refused = ask(client, opened, "mend", code="enlarged", values=sent)
    assert (refused.status_code, "in the form" in refused.json()["error"]["message"]) == (409, True)
    refused = ask(client, opened, "mend", code="duplicate", values=values)
    assert (refused.status_code, "nothing to mend" in refused.json()["error"]["message"]) == (409, True)
    assert get(client, f"datasets/{opened['id']}").json()["undo"] is None


def test_an_upload_that_a_run_trains_from_is_mended_in_a_copy(client, service, values, images):
    sent = [("files", (path.name, path.read_bytes())) for path in sorted(images.iterdir())]
    upload = client.post(f"{API}uploads", files=sent, headers={"x-lora-trainer": "1"}).json()
    folder = Path(upload["folder"])
    (folder / "1.txt").write_text("a frog")
    mine = {**values, "image_dir": str(folder)}
    assert post(client, "runs", {"values": mine}).status_code == 201
    dataset = post(client, "datasets", {"folders": [upload["id"]]}).json()
    answer = ask(client, dataset, "mend", code="identifier_absent", values=mine).json()
    (copy,) = answer["moved"].values()
    assert (folder / "1.txt").read_text() == "a frog" and (Path(copy) / "1.txt").read_text() == "sls, a frog"


def test_bars_are_cut_off_by_the_button_and_come_back(client, images, values):
    framed = Image.new("RGB", (300, 260), "black")
    framed.paste(Image.effect_noise((300, 180), 60).convert("RGB"), (0, 40))
    framed.save(images / "1.png")
    before = (images / "1.png").read_bytes()
    dataset = post(client, "datasets", {"folders": [str(images)]}).json()
    assert found(client, dataset, values=values)["bars"]["fix"]["label"] == "Cut the bars off"
    assert ask(client, dataset, "mend", code="bars", values=values).json()["changed"] == 1
    (row,) = ask(client, dataset, "rows", ids=ask(client, dataset, "query", filter="name:1").json()["ids"]).json()["rows"]
    assert row["width"] == 300 and 174 <= row["height"] <= 180
    assert "bars" not in found(client, dataset, values=values)
    ask(client, dataset, "undo")
    assert (images / "1.png").read_bytes() == before
