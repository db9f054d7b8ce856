"""Changes of data sets: as one step, there and back, across restarts, crashes, full disks and other people's changes."""

import base64
import io
import os

import pytest
from PIL import Image

from lora_trainer.data.plan.caption_backup import CaptionBackup
from lora_trainer.datasets import writing
from lora_trainer.datasets.changing import Force
from lora_trainer.datasets.edits import read_edit
from lora_trainer.datasets.library import Library
from lora_trainer.datasets.queries import bucket_of, matching, row, tag_counts
from lora_trainer.errors import HostError, InputError, SaveError

ADD = {"kind": "add", "tags": ["sls"], "at": "start"}


@pytest.fixture
def frogs(library, folder):
    return library.open([folder])


def texts(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix == ".txt"}


def do(library, dataset, edit, names=None, **more):
    ids = [one.id for one in dataset.in_order() if names is None or one.name in names]
    return library.edit(dataset, read_edit(edit), ids, **more)


def captions(dataset):
    return {one.name: one.caption.text for one in dataset.in_order()}


def hidden(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_a_bulk_edit_is_one_step_and_goes_there_and_back(library, frogs, folder):
    before = texts(folder)
    outcome = do(library, frogs, ADD)
    assert outcome.changed == 6
    assert texts(folder)["0.txt"] == b"sls, frog, number 0"
    assert texts(folder)["5.txt"] == b"sls\n"
    assert captions(frogs)["5.png"] == "sls"
    after = texts(folder)
    library.undo(frogs)
    assert texts(folder) == before
    assert captions(frogs)["5.png"] is None
    library.redo(frogs)
    assert texts(folder) == after
    library.undo(frogs)
    with pytest.raises(InputError, match="nothing to undo"):
        library.undo(frogs)
    assert hidden(folder) == []


def test_undo_survives_a_restart(frogs, folder, library, tmp_path):
    before = texts(folder)
    do(library, frogs, ADD)
    library.close()
    again = Library(tmp_path / "user")
    dataset = again.open([folder])
    assert [one.id for one in dataset.in_order()] == [one.id for one in frogs.in_order()]
    again.undo(dataset)
    assert texts(folder) == before
    again.close()


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


def test_the_newest_text_on_the_disk_is_edited_not_what_was_read_before(library, frogs, folder):
    (folder / "0.txt").write_text("changed meanwhile")
    do(library, frogs, ADD)
    assert texts(folder)["0.txt"] == b"sls, changed meanwhile"


def test_a_caption_that_was_changed_since_it_was_shown_is_a_conflict(library, frogs, folder):
    one = frogs.in_order()[0]
    versions = {one.id: one.caption.version}
    (folder / "0.txt").write_text("mine")
    edit = read_edit({"kind": "caption", "text": "yours"})
    outcome = library.edit(frogs, edit, [one.id], versions=versions)
    assert outcome.step is None
    assert [(conflict.name, conflict.caption) for conflict in outcome.conflicts] == [("0.png", "mine")]
    assert texts(folder)["0.txt"] == b"mine"
    assert library.edit(frogs, edit, [one.id], versions=versions, force=Force(overwrite=True)).changed == 1
    assert texts(folder)["0.txt"] == b"yours"
    library.undo(frogs)
    assert texts(folder)["0.txt"] == b"mine"


def test_undo_does_not_overwrite_what_somebody_else_wrote(library, frogs, folder):
    do(library, frogs, ADD)
    (folder / "2.txt").write_text("written elsewhere")
    outcome = library.undo(frogs)
    assert outcome.step is None
    assert [(conflict.name, conflict.caption) for conflict in outcome.conflicts] == [("2.txt", "written elsewhere")]
    assert texts(folder)["0.txt"].startswith(b"sls")
    assert library.undo(frogs, Force(skip=True)).changed == 5
    assert (texts(folder)["2.txt"], texts(folder)["0.txt"]) == (b"written elsewhere", b"frog, number 0")


def test_what_is_overwritten_on_demand_stays_in_the_history(library, frogs, folder):
    do(library, frogs, ADD)
    (folder / "2.txt").write_text("written elsewhere")
    assert library.undo(frogs, Force(overwrite=True)).changed == 6
    assert texts(folder)["2.txt"] == b"frog, number 2"
    picture = frogs.in_order()[2]
    kept = library.history.of_image(picture.id)
    assert [change.before for step, change in kept if step.state == "kept"] == [b"written elsewhere"]
    with pytest.raises(InputError):
        library.undo(frogs)


def test_a_new_edit_ends_what_could_be_redone(library, frogs, folder):
    do(library, frogs, ADD, ["0.png"])
    do(library, frogs, ADD, ["1.png"])
    library.undo(frogs)
    library.undo(frogs)
    library.redo(frogs)
    assert texts(folder)["0.txt"].startswith(b"sls")
    do(library, frogs, ADD, ["2.png"])
    with pytest.raises(InputError, match="nothing to redo"):
        library.redo(frogs)


def test_steps_of_one_folder_are_undone_in_a_set_of_several_and_not_the_other_way_round(library, frogs, folder, tmp_path):
    other = tmp_path / "toads"
    other.mkdir()
    Image.new("RGB", (8, 8)).save(other / "a.png")
    do(library, frogs, ADD, ["0.png"])
    both = library.open([folder, other])
    library.undo(both)
    assert texts(folder)["0.txt"] == b"frog, number 0"
    do(library, both, ADD)
    with pytest.raises(InputError, match="nothing to undo"):
        library.undo(frogs)


# -- what goes wrong in the middle ------------------------------------------------------------------------------------


class Killed(BaseException):
    """The program ends: no handler of ours runs."""


@pytest.mark.parametrize("alone", [2, 64], ids=["by threads", "one by one"])
def test_a_full_disk_leaves_everything_as_it_was(library, frogs, folder, monkeypatch, alone):
    monkeypatch.setattr(writing, "_EACH", alone)
    before = texts(folder)
    write = writing._write

    def fails(part, target):
        if target.path.name == "3.txt":
            part.write_bytes(b"ha")
            raise OSError(28, "No space left on device", str(part))
        return write(part, target)

    monkeypatch.setattr(writing, "_write", fails)
    with pytest.raises(SaveError, match="No space left"):
        do(library, frogs, ADD)
    assert texts(folder) == before
    assert hidden(folder) == []
    with pytest.raises(InputError, match="nothing to undo"):
        library.undo(frogs)


@pytest.mark.parametrize("alone", [2, 64], ids=["by threads", "one by one"])
def test_a_file_that_cannot_be_replaced_takes_the_others_back(library, frogs, folder, monkeypatch, alone):
    monkeypatch.setattr(writing, "_EACH", alone)
    before = texts(folder)
    put, asked = writing._put, []

    def fails(part, target):
        asked.append(target.path.name)
        if len(asked) == 3:
            raise PermissionError(13, "Access is denied", str(target.path))
        put(part, target)

    monkeypatch.setattr(writing, "_put", fails)
    with pytest.raises(SaveError, match="Access is denied"):
        do(library, frogs, ADD)
    assert texts(folder) == before
    assert hidden(folder) == []
    assert captions(frogs)["0.png"] == "frog, number 0"


@pytest.mark.parametrize("moment", ["writing", "renaming", "before it is called done"])
@pytest.mark.parametrize("action", ["edit", "undo", "redo"])
def test_a_program_that_is_ended_in_the_middle_leaves_no_half(library, folder, tmp_path, monkeypatch, moment, action):
    frogs = library.open([folder])
    before = texts(folder)
    if action != "edit":
        do(library, frogs, ADD)
    if action == "redo":
        library.undo(frogs)
    count = []

    def killed(original):
        def call(*arguments, **named):
            count.append(1)
            if len(count) == (1 if moment == "before it is called done" else 3):
                raise Killed
            return original(*arguments, **named)

        return call

    with monkeypatch.context() as patched:
        if moment == "writing":
            patched.setattr(writing, "_write", killed(writing._write))
            patched.setattr(writing, "_remove", lambda parts: None)
        elif moment == "renaming":
            patched.setattr(writing, "_put", killed(writing._put))
            patched.setattr(writing, "_remove", lambda parts: None)
        else:
            patched.setattr("lora_trainer.datasets.history.History.finish", killed(None))
        with pytest.raises(Killed):
            do(library, frogs, ADD) if action == "edit" else getattr(library, action)(frogs)
    library.close()
    again = Library(tmp_path / "user")
    dataset = again.open([folder])
    assert texts(folder) == before
    assert captions(dataset)["0.png"] == "frog, number 0"
    assert hidden(folder) == []
    if action == "edit":
        with pytest.raises(InputError, match="nothing to undo"):
            again.undo(dataset)
    else:
        again.redo(dataset)
        assert texts(folder)["0.txt"].startswith(b"sls")
    again.close()


def test_recovering_leaves_alone_what_somebody_changed_since(library, folder, tmp_path, monkeypatch):
    frogs = library.open([folder])
    with monkeypatch.context() as patched:
        patched.setattr("lora_trainer.datasets.history.History.finish", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            do(library, frogs, ADD)
    (folder / "1.txt").write_text("written since")
    (folder / "2.txt").write_bytes(b"")  # lost with the power
    library.close()
    again = Library(tmp_path / "user")
    again.open([folder])
    now = texts(folder)
    assert (now["0.txt"], now["1.txt"], now["2.txt"]) == (b"frog, number 0", b"written since", b"frog, number 2")
    again.close()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="a folder that root cannot write there is none")
def test_a_folder_that_cannot_be_written_says_so(library, frogs, folder):
    folder.chmod(0o555)
    try:
        with pytest.raises(SaveError, match="could not be written"):
            do(library, frogs, ADD)
    finally:
        folder.chmod(0o755)


def test_a_change_waits_for_the_reading_and_then_says_so(library, frogs, monkeypatch):
    monkeypatch.setattr("lora_trainer.datasets.library._PATIENCE", 0.05)
    with frogs.disk, pytest.raises(HostError, match="still being read"):
        do(library, frogs, ADD)


# -- captions that are shared, strange or no text ---------------------------------------------------------------------


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


# -- marks and picture files ------------------------------------------------------------------------------------------


def test_stars_and_leaving_out_are_steps_too(library, frogs, folder, tmp_path):
    do(library, frogs, {"kind": "stars", "count": 4}, ["0.png", "1.png"])
    do(library, frogs, {"kind": "leave_out", "on": True}, ["1.png"])
    library.close()
    again = Library(tmp_path / "user")
    dataset = again.open([folder])
    assert [(one.stars, one.left_out) for one in dataset.in_order()[:3]] == [(4, False), (4, True), (0, False)]
    again.undo(dataset)
    assert not dataset.in_order()[1].left_out
    again.undo(dataset)
    assert dataset.in_order()[0].stars == 0
    again.redo(dataset)
    assert dataset.in_order()[0].stars == 4
    assert do(again, dataset, {"kind": "stars", "count": 4}, ["0.png"]).step is None
    again.close()


def test_a_deleted_picture_goes_with_its_captions_and_comes_back(library, frogs, folder):
    (folder / "0.caption").write_text("another ending")
    names = {path.name for path in folder.iterdir()}
    number = frogs.in_order()[0].id
    assert do(library, frogs, {"kind": "delete"}, ["0.png", "5.png"]).changed == 2
    assert {path.name for path in folder.iterdir()} == names - {"0.png", "0.txt", "0.caption", "5.png"} | {
        ".lora-trainer-trash"
    }
    assert number not in frogs.pictures
    library.undo(frogs)
    assert {path.name for path in folder.iterdir()} - {".lora-trainer-trash"} == names
    assert frogs.pictures[number].caption.text == "frog, number 0"
    library.redo(frogs)
    (folder / "0.png").write_bytes(b"somebody else's")
    assert [one.name for one in library.undo(frogs).conflicts] == ["0.png"]
    assert (folder / "0.png").read_bytes() == b"somebody else's"


def test_a_caption_that_a_picture_that_stays_has_too_is_not_deleted(library, folder):
    Image.new("RGB", (8, 8)).save(folder / "0.jpg")
    dataset = library.open([folder])
    do(library, dataset, {"kind": "delete"}, ["0.jpg"])
    assert (folder / "0.txt").exists()
    assert not (folder / "0.jpg").exists()


def test_a_turned_and_cropped_picture_comes_back_to_the_byte(library, folder, tmp_path):
    photo = Image.new("RGB", (40, 20), "red")
    photo.paste("blue", (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a viewer
    photo.save(folder / "photo.jpg", exif=exif, quality=95)
    os.link(folder / "photo.jpg", tmp_path / "of a run.jpg")
    original = (folder / "photo.jpg").read_bytes()
    dataset = library.open([folder])
    one = next(one for one in dataset.in_order() if one.name == "photo.jpg")
    assert one.size == (20, 40)
    do(library, dataset, {"kind": "rotate", "degrees": 90}, ["photo.jpg"])
    assert one.size == (40, 20)
    with Image.open(folder / "photo.jpg") as turned:
        assert (turned.size, turned.getexif().get(0x0112)) == ((40, 20), None)
        red, _, blue = turned.getpixel((5, 10))
        assert (red > 200, blue < 60) == (True, True)  # what was on top, blue, is at the right now
    turned_bytes = (folder / "photo.jpg").read_bytes()
    do(library, dataset, {"kind": "crop", "x": 20, "y": 0, "width": 20, "height": 10}, ["photo.jpg"])
    assert one.size == (20, 10)
    library.undo(dataset)
    assert (folder / "photo.jpg").read_bytes() == turned_bytes
    library.undo(dataset)
    assert (folder / "photo.jpg").read_bytes() == original == (tmp_path / "of a run.jpg").read_bytes()
    library.redo(dataset)
    assert (folder / "photo.jpg").read_bytes() == turned_bytes
    assert one.size == (40, 20)


def test_a_mask_goes_with_its_picture(library, folder):
    mask = Image.new("L", (16, 8))  # of the picture of 32x8
    mask.paste(255, (0, 0, 8, 8))
    mask.save(folder / "2-masklabel.png")
    before = (folder / "2-masklabel.png").read_bytes()
    dataset = library.open([folder])
    do(library, dataset, {"kind": "crop", "x": 8, "y": 0, "width": 16, "height": 8}, ["2.png"])
    with Image.open(folder / "2-masklabel.png") as cut:
        assert (cut.size, cut.getpixel((3, 0)), cut.getpixel((4, 0))) == ((8, 8), 255, 0)
    do(library, dataset, {"kind": "delete"}, ["2.png"])
    assert not (folder / "2-masklabel.png").exists()
    library.undo(dataset)
    library.undo(dataset)
    assert (folder / "2-masklabel.png").read_bytes() == before


def test_a_painted_mask_is_saved_beside_its_picture_and_an_earlier_one_comes_back(library, folder):
    def painted(size=(32, 8), kind="PNG") -> str:
        made = io.BytesIO()
        mask = Image.new("RGBA", size, "black")
        mask.paste("white", (0, 0, size[0] // 2, size[1]))
        mask.convert("RGB").save(made, kind)
        return base64.b64encode(made.getvalue()).decode()

    Image.new("L", (32, 8), 255).save(folder / "2-masklabel.jpg")
    before = (folder / "2-masklabel.jpg").read_bytes()
    dataset = library.open([folder])
    do(library, dataset, {"kind": "mask", "png": painted()}, ["2.png"])
    assert not (folder / "2-masklabel.jpg").exists()
    with Image.open(folder / "2-masklabel.png") as mask:
        assert (mask.mode, mask.size, mask.getpixel((0, 0)), mask.getpixel((31, 7))) == ("L", (32, 8), 255, 0)
    do(library, dataset, {"kind": "mask", "png": painted((64, 16))}, ["2.png"])
    with Image.open(folder / "2-masklabel.png") as mask:
        assert mask.size == (64, 16)
    for wrong, words in ((painted((16, 16)), "another shape"), (painted(kind="JPEG"), "as a PNG"), ("%", "base64")):
        with pytest.raises(InputError, match=words):
            do(library, dataset, {"kind": "mask", "png": wrong}, ["2.png"])
    do(library, dataset, {"kind": "mask", "png": None}, ["2.png"])
    assert not (folder / "2-masklabel.png").exists()
    steps = library.history.steps([one.id for one in dataset.folders], ["done"], 10)
    assert [step.edit for step in steps] == [{"kind": "mask", "png": None}, {"kind": "mask"}, {"kind": "mask"}]
    for _ in range(3):
        library.undo(dataset)
    assert (folder / "2-masklabel.jpg").read_bytes() == before and not (folder / "2-masklabel.png").exists()
    library.redo(dataset)
    with Image.open(folder / "2-masklabel.png") as mask:
        assert mask.size == (32, 8)


def test_a_crop_that_leaves_the_picture_or_a_broken_one_is_refused(library, folder):
    (folder / "broken.png").write_bytes(b"no picture")
    dataset = library.open([folder])
    with pytest.raises(InputError, match="16x8"):
        do(library, dataset, {"kind": "crop", "x": 10, "y": 0, "width": 10, "height": 8}, ["0.png"])
    with pytest.raises(InputError, match=r"broken\.png"):
        do(library, dataset, {"kind": "rotate", "degrees": 90}, ["broken.png"])
    assert library.history.to_undo([one.id for one in dataset.folders]) is None


def test_a_deletion_that_fails_in_the_middle_takes_back_what_went(library, frogs, folder, monkeypatch):
    names = {path.name for path in folder.iterdir()}
    replace = os.replace

    def fails(source, target):
        if str(source).endswith("3.png"):
            raise PermissionError(13, "Access is denied", str(source))
        replace(source, target)

    monkeypatch.setattr("lora_trainer.datasets.trash.os.replace", fails)
    with pytest.raises(SaveError, match="3.png could not be changed"):
        do(library, frogs, {"kind": "delete"})
    assert {path.name for path in folder.iterdir()} - {".lora-trainer-trash"} == names
    assert len(frogs.pictures) == 6


def test_twenty_thousand_pictures_are_not_all_looked_at_for_one(library, tmp_path, monkeypatch):
    """Counted in calls of the disk, not in time: a request costs what it changes, not what the folder holds."""
    folder = tmp_path / "many"
    folder.mkdir()
    picture = (tmp_path / "one.png").absolute()
    Image.new("RGB", (8, 8)).save(picture)
    for number in range(400):
        os.link(picture, folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"frog, {number}")
    dataset = library.open([folder])
    assert dataset.wait(60)
    dataset.refresh()
    calls = []
    for module, name in (("os", "stat"), ("os", "scandir"), ("os", "open"), ("os", "replace")):
        original = getattr(os, name)
        monkeypatch.setattr(
            f"{module}.{name}", lambda *a, original=original, name=name, **k: (calls.append(name), original(*a, **k))[1]
        )
    matching(dataset, "tag:frog tokens>1")
    tag_counts(dataset.in_order(), order="count")
    [row(dataset, one, bucket_of({})) for one in dataset.in_order()]
    dataset.changes(dataset.version - 10)
    assert calls == []
    do(library, dataset, ADD, ["7.png"])
    dataset.refresh(every=60)
    assert len(calls) < 40
    calls.clear()
    assert do(library, dataset, {"kind": "add", "tags": ["all"]}).changed == 400
    assert len(calls) < 400 * 8
    assert calls.count("scandir") == 0


def test_what_a_tool_wrote_is_a_step_that_is_undone_like_any_other(library, frogs, folder, monkeypatch):
    before = texts(folder)
    do(library, frogs, ADD, ["4.png"])
    library.undo(frogs)
    backup = CaptionBackup(folder, "20261126-211500-wd14")
    backup.write(folder / "0.txt", "frog, by a tool")
    backup.write(folder / "5.txt", "new, by a tool")
    backup.write(folder / "1.txt", "first")
    backup.write(folder / "1.txt", "second")
    backup.write(folder / "2.txt", "by a tool")
    (folder / "2.txt").write_text("and then by hand")
    library.adopt(frogs)
    assert library.history.to_undo([one.id for one in frogs.folders]) is None  # it may be at work still
    library.adopt(frogs, lambda name: name == "20261126-211500-wd14")
    library.adopt(frogs, lambda name: True)
    frogs.refresh()
    (step,) = library.history.steps([one.id for one in frogs.folders], ["done"])
    assert (step.changed, step.edit["name"]) == (3, "20261126-211500-wd14")
    assert library.undo(frogs).changed == 3
    assert texts(folder) == before | {"2.txt": b"and then by hand"}
    library.redo(frogs)
    assert texts(folder)["1.txt"] == b"second"
