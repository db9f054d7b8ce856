"""What a change does to caption files: their bytes, links, those that are shared, strange or gone."""

import os

import pytest
from PIL import Image

from lora_trainer.datasets.changing import Force
from lora_trainer.errors import InputError

from .changes import ADD, captions, do, texts


def test_line_ends_mark_and_other_bytes_stay_as_they_were(library, folder):
    contents = {
        "0.txt": b"frog, a\r\na sentence\r\n",
        "1.txt": b"\xef\xbb\xbffrog",
        "2.txt": "frog, 개구리\n\n\nline".encode(),
        "3.txt": "개구리, 잎".encode("cp949"),
        "4.txt": "caf\xe9, frog".encode("cp1252"),
    }
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    dataset = library.open([folder])
    assert {one.name: one.caption.encoding for one in dataset.in_order()}["3.png"] == "cp949"
    do(library, dataset, {"kind": "add", "tags": ["x"]})
    now = texts(folder)
    assert now["0.txt"] == b"frog, a, x\r\na sentence\r\n"
    assert now["1.txt"] == b"\xef\xbb\xbffrog, x"
    assert now["2.txt"] == "frog, 개구리, x\n\n\nline".encode()
    assert now["3.txt"] == "개구리, 잎, x".encode()
    assert now["4.txt"] == "café, frog, x".encode()
    library.undo(dataset)
    assert {name: data for name, data in texts(folder).items() if name in contents} == contents
    do(library, dataset, {"kind": "encoding"})
    assert texts(folder) | {"1.txt": b"frog"} == texts(folder)
    assert texts(folder)["3.txt"] == "개구리, 잎".encode()


def test_what_an_edit_does_not_change_is_not_written(library, frogs, folder):
    (folder / "1.txt").write_text("toad")
    marks = {path: path.stat().st_ino for path in folder.glob("*.txt")}
    outcome = do(library, frogs, {"kind": "rename", "tag": "frog", "to": "x"})
    assert outcome.changed == 4
    assert [path.name for path, inode in marks.items() if path.stat().st_ino == inode] == ["1.txt"]
    assert do(library, frogs, {"kind": "remove", "tags": ["nothing"]}).step is None


def test_a_file_is_replaced_and_never_written_into(library, frogs, folder, tmp_path):
    os.link(folder / "0.txt", tmp_path / "kept by a run.txt")
    do(library, frogs, ADD)
    assert (tmp_path / "kept by a run.txt").read_text() == "frog, number 0"


def test_a_caption_that_is_a_link_is_replaced_and_its_target_left_alone(library, folder, tmp_path):
    target = tmp_path / "elsewhere.txt"
    target.write_text("frog")
    (folder / "0.txt").unlink()
    (folder / "0.txt").symlink_to(target)
    dataset = library.open([folder])
    do(library, dataset, ADD)
    assert target.read_text() == "frog"
    assert (folder / "0.txt").read_text() == "sls, frog"


def test_a_caption_that_cannot_be_read_keeps_its_file_from_being_changed(library, folder):
    (folder / "1.txt").write_bytes(b"a\0b")
    (folder / "2.txt").write_bytes(b"x" * (1 << 20) + b"y")
    dataset = library.open([folder])
    outcome = do(library, dataset, ADD)
    assert outcome.step is None
    assert {conflict.name for conflict in outcome.conflicts} == {"1.png", "2.png"}
    assert do(library, dataset, ADD, force=Force(skip=True)).changed == 4
    assert texts(folder)["1.txt"] == b"a\0b"


def test_pictures_of_one_stem_share_their_caption_and_it_is_edited_once(library, folder):
    Image.new("RGB", (8, 8)).save(folder / "0.jpg")
    dataset = library.open([folder])
    do(library, dataset, {"kind": "prefix", "text": "x "}, ["0.jpg", "0.png"])
    assert texts(folder)["0.txt"] == b"x frog, number 0"
    assert captions(dataset)["0.jpg"] == captions(dataset)["0.png"] == "x frog, number 0"


def test_pictures_of_faces_that_share_a_caption_get_their_own_when_one_is_edited(library, folder):
    for name in ("a_1_2_3_4.png", "a_5_6_7_8.png"):
        Image.new("RGB", (8, 8)).save(folder / name)
    (folder / "a.txt").write_text("face")
    dataset = library.open([folder])
    do(library, dataset, ADD, ["a_1_2_3_4.png"])
    assert (texts(folder)["a.txt"], texts(folder)["a_1_2_3_4.txt"]) == (b"face", b"sls, face")
    library.undo(dataset)
    assert "a_1_2_3_4.txt" not in texts(folder)


def test_no_caption_is_written_for_a_picture_that_is_gone(library, frogs, folder):
    for name in ("0.png", "0.txt", "5.png"):
        (folder / name).unlink()
    assert {one.name for one in do(library, frogs, ADD).conflicts} == {"0.png", "5.png"}
    assert do(library, frogs, ADD, force=Force(skip=True)).changed == 4
    assert sorted(texts(folder)) == ["1.txt", "2.txt", "3.txt", "4.txt"]


def test_a_caption_that_becomes_empty_is_no_file_any_more(library, frogs, folder):
    do(library, frogs, {"kind": "caption", "text": ""}, ["0.png"])
    assert "0.txt" not in texts(folder)
    library.undo(frogs)
    assert texts(folder)["0.txt"] == b"frog, number 0"


def test_an_edit_of_one_caption_is_refused_for_several(library, frogs):
    with pytest.raises(InputError, match="one picture"):
        do(library, frogs, {"kind": "caption", "text": "x"})
