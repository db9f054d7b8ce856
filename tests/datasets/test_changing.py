"""Changes of data sets: as one step, there and back, across restarts and other people's changes."""

import os
import time

import pytest
from PIL import Image

from lora_trainer.data.plan.caption_backup import CaptionBackup
from lora_trainer.datasets.changing import Force
from lora_trainer.datasets.edits import read_edit
from lora_trainer.datasets.library import Library
from lora_trainer.datasets.queries import bucket_of, matching, row, tag_counts
from lora_trainer.errors import InputError

from .changes import ADD, captions, do, hidden, texts


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
    deadline = time.monotonic() + 60
    while dataset.unread() and time.monotonic() < deadline:
        time.sleep(0.02)
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
