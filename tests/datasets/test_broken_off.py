"""Changes that go wrong in the middle: full disks, programs that are ended, folders that cannot be written."""

import os

import pytest

from lora_trainer.datasets import writing
from lora_trainer.datasets.library import Library
from lora_trainer.errors import InputError, NotYetError, SaveError

from .changes import ADD, captions, do, hidden, texts


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
    with frogs.disk, pytest.raises(NotYetError, match="still being read"):
        do(library, frogs, ADD)


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
