"""Captions that a tool writes: which file, what is kept of the earlier ones, and how they come back."""

from __future__ import annotations

import json

import pytest

from lora_trainer import commands
from lora_trainer.captioning.pictures import Picture, find
from lora_trainer.captioning.writing import CaptionFilesSink
from lora_trainer.data.plan import caption_backup
from lora_trainer.data.plan.caption_backup import CaptionBackup
from lora_trainer.errors import InputError, SaveError

from .small_tagger import captions, write_pictures


def sink(folder, existing="replace", name="run", separator=", "):
    return CaptionFilesSink(find(folder, recursive=True), ".txt", existing, separator, CaptionBackup(folder, name))


def put(folder, picture, parts, existing="replace", name="run", separator=", "):
    sink(folder, existing, name, separator).put(Picture(folder / picture, picture), parts)


def test_what_was_there_comes_back_byte_for_byte_and_what_was_not_goes(tmp_path):
    folder = write_pictures(tmp_path, "red.png", "blue.png", "sub/green.png")
    before = {"red.txt": "개구리\r\n둘째 줄".encode("utf-16"), "sub/green.txt": b"frog\r\n"}
    for name, data in before.items():
        (folder / name).write_bytes(data)
    write = sink(folder)
    for name in ("red.png", "blue.png", "sub/green.png"):
        write.put(Picture(folder / name, name), ["new"])
    assert set(captions(folder).values()) == {"new\n"}
    undone = caption_backup.undo(folder)
    assert (sorted(undone.restored), undone.removed, undone.kept) == (["red.txt", "sub/green.txt"], ["blue.txt"], [])
    assert {name: (folder / name).read_bytes() for name in before} == before and not (folder / "blue.txt").exists()
    with pytest.raises(InputError, match="no captions to bring back"):
        caption_backup.undo(folder)
    (left,) = (folder / caption_backup.FOLDER).glob("*-undo")
    assert b"new\n" in [path.read_bytes() for path in left.iterdir()], "what the tool wrote is not lost either"


def test_each_undo_goes_one_run_further_back(tmp_path):
    folder = write_pictures(tmp_path, "red.png")
    for number in range(3):
        put(folder, "red.png", [f"word{number}"], name=f"run{number}")
    assert caption_backup.backups(folder) == ["run0", "run1", "run2"]
    assert caption_backup.undo(folder).backup == "run2" and captions(folder) == {"red.txt": "word1\n"}
    assert caption_backup.undo(folder).backup == "run1" and captions(folder) == {"red.txt": "word0\n"}
    assert caption_backup.undo(folder).removed == ["red.txt"] and captions(folder) == {}


def test_a_caption_that_was_changed_since_is_left_alone(tmp_path):
    folder = write_pictures(tmp_path, "red.png", "blue.png")
    for name in ("red", "blue"):
        (folder / f"{name}.txt").write_text("old")
        put(folder, f"{name}.png", ["new"], name="one")
    # two sinks, so two backups: the names are free ones
    assert caption_backup.backups(folder) == ["one", "one-2"]
    (folder / "blue.txt").write_text("mine")
    assert caption_backup.undo(folder, "one-2").kept == ["blue.txt"]
    assert captions(folder) == {"blue.txt": "mine", "red.txt": "new\n"}
    with pytest.raises(InputError, match="of three"):
        caption_backup.undo(folder, "three")


def test_a_run_that_was_killed_before_it_wrote_leaves_nothing_to_undo(tmp_path, monkeypatch):
    folder = write_pictures(tmp_path, "red.png", "blue.png")
    (folder / "blue.txt").write_text("old")
    put(folder, "red.png", ["new"])
    monkeypatch.setattr(caption_backup, "_put", lambda path, data: None)  # killed between the note and the writing
    put(folder, "blue.png", ["new"])
    monkeypatch.undo()
    with (folder / caption_backup.FOLDER / "run-2" / "changes.jsonl").open("a") as file:
        file.write('{"file": "bl')  # and in the middle of the next note
    assert caption_backup.undo(folder, "run-2").restored == [] and captions(folder)["blue.txt"] == "old"
    assert caption_backup.undo(folder).removed == ["red.txt"]


@pytest.mark.parametrize("file", ["../out.txt", "/etc/out.txt", "sub/../../out.txt", "C:\\out.txt"])
def test_a_note_that_names_a_file_outside_of_the_folder_is_not_followed(tmp_path, file):
    folder = write_pictures(tmp_path / "images", "red.png")
    (tmp_path / "out.txt").write_text("mine")
    put(folder, "red.png", ["new"])
    digest = caption_backup._digest(b"mine")
    for line in (
        {"file": file, "before": None, "written": digest},
        {"file": "red.txt", "before": "../../../out.txt", "written": digest},
    ):
        with (folder / caption_backup.FOLDER / "run" / "changes.jsonl").open("a") as notes:
            notes.write(json.dumps(line) + "\n")
    assert caption_backup.undo(folder).removed == ["red.txt"]
    assert (tmp_path / "out.txt").read_text() == "mine"


def test_a_caption_that_cannot_be_kept_is_not_changed(tmp_path, monkeypatch):
    folder = write_pictures(tmp_path, "red.png")
    (folder / "red.txt").write_text("old")
    (folder / caption_backup.FOLDER).write_text("a file where the folder goes")
    with pytest.raises(SaveError, match="was left as it is"):
        put(folder, "red.png", ["new"])
    assert captions(folder) == {"red.txt": "old"}


@pytest.mark.parametrize(
    ("there", "existing", "after"),
    [
        ("one, two\nthree", "after", "one, two, new\nthree, two, new\n"),
        ("one\n\nthree\n", "before", "two, new, one\ntwo, new, three\n"),
        ("", "after", "two, new\n"),
        ("\n", "after", "two, new\n"),
        ("\ufeffone", "after", "one, two, new\n"),
    ],
)
def test_each_line_of_a_caption_gets_what_it_lacks(tmp_path, there, existing, after):
    folder = write_pictures(tmp_path, "red.png")
    (folder / "red.txt").write_text(there, encoding="utf-8")
    put(folder, "red.png", ["two", "new"], existing)
    assert captions(folder) == {"red.txt": after}


def test_a_caption_that_is_no_utf8_is_told_and_not_added_to(tmp_path):
    folder = write_pictures(tmp_path, "red.png")
    (folder / "red.txt").write_bytes("개구리".encode("cp949"))
    with pytest.raises(InputError, match="not UTF-8"):
        put(folder, "red.png", ["new"], "after")
    assert not sink(folder, "keep").wants(Picture(folder / "red.png", "red.png"))
    assert (folder / "red.txt").read_bytes() == "개구리".encode("cp949")


def test_the_caption_goes_into_the_file_that_is_the_pictures_already(tmp_path):
    folder = write_pictures(tmp_path, "red.png", "blue.png", "green-1_1_2_3_4.png", "green-1_1_2_3_5.png")
    (folder / "red.TXT").write_text("old")
    (folder / "blue.png.txt").write_text("old")
    (folder / "green-1.txt").write_text("shared by both")
    keep = sink(folder, "keep")
    assert not any(keep.wants(one) for one in find(folder, recursive=False).pictures)
    write = sink(folder)
    for name in ("red.png", "blue.png", "green-1_1_2_3_4.png"):
        write.put(Picture(folder / name, name), ["new"])
    texts = {path.name: path.read_text() for path in folder.iterdir() if path.suffix.lower() == ".txt"}
    assert texts == {
        "red.TXT": "new\n",
        "blue.png.txt": "new\n",
        "green-1.txt": "shared by both",
        "green-1_1_2_3_4.txt": "new\n",
    }


def test_two_pictures_of_one_name_do_not_overwrite_each_others_caption(tmp_path):
    folder = write_pictures(tmp_path, "red.png", "red.jpg")
    write = sink(folder)
    write.put(Picture(folder / "red.jpg", "red.jpg"), ["first"])
    with pytest.raises(InputError, match=r"red\.txt is that of red\.jpg already"):
        write.put(Picture(folder / "red.png", "red.png"), ["second"])
    assert captions(folder) == {"red.txt": "first\n"}


def test_the_command_undoes_the_last_run(tmp_path, capsys):
    folder = write_pictures(tmp_path, "red.png")
    put(folder, "red.png", ["new"])
    assert commands.run(["undo_captions", str(folder)]) == 0 and not captions(folder)
    assert "run is undone: 0 captions are back, 1 new ones are gone" in capsys.readouterr().err
    assert commands.run(["undo_captions", str(folder)]) == 2
