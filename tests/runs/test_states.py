"""The folders of training states: whole or not there, checked when read, found, and told apart from others'."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from lora_trainer.errors import SaveError
from lora_trainer.foreign.reading import UnreadableError
from lora_trainer.runs import states


def write(folder: Path, step: int = 1, content: bytes = b"numbers") -> Path:
    files = {"optimizer.safetensors": lambda path: path.write_bytes(content), "pieces.json": lambda path: path.write_text("{}")}
    return states.write_state(folder, files, {"step": step, "epoch": 0, "batch": step, "note": "한글"})


def test_a_state_tells_where_it_is_and_its_files_are_what_was_written(tmp_path):
    folder = write(tmp_path / "x-state", 7)
    info = states.read_state(folder)
    assert (info.step, info.epoch, info.batch, info.path) == (7, 0, 7, folder) and info.manifest["note"] == "한글"
    assert abs(info.saved_at - time.time()) < 60
    assert sorted(path.name for path in folder.iterdir()) == ["optimizer.safetensors", "pieces.json", "state.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["x-state"]


def cut_short(folder: Path) -> None:
    (folder / "optimizer.safetensors").write_bytes(b"num")


def flipped(folder: Path) -> None:
    (folder / "optimizer.safetensors").write_bytes(b"nunbers")


def gone(folder: Path) -> None:
    (folder / "pieces.json").unlink()


def manifest_cut_short(folder: Path) -> None:
    path = folder / "state.json"
    path.write_bytes(path.read_bytes()[:-20])


def manifest_changed(folder: Path) -> None:
    path = folder / "state.json"
    path.write_text(path.read_text("utf-8").replace('"step": 1', '"step": 2'), "utf-8")


def manifest_of_zeros(folder: Path) -> None:
    """What some file systems leave of a file after a power cut."""
    path = folder / "state.json"
    path.write_bytes(bytes(path.stat().st_size))


def names_a_file_elsewhere(folder: Path) -> None:
    path = folder / "state.json"
    found = json.loads(path.read_text("utf-8"))
    found["files"]["../../secret.json"] = {"size": 1, "sha256": ""}
    found.pop("digest")
    path.write_text(json.dumps({**found, "digest": states._digest(found)}), "utf-8")


DAMAGES = {
    cut_short: "is cut short: optimizer.safetensors has 3 bytes, expected 7",
    flipped: "is damaged: optimizer.safetensors is not what was written",
    gone: "is incomplete: pieces.json is missing",
    manifest_cut_short: "is not valid JSON",
    manifest_changed: "is damaged: its state.json is not what was written",
    manifest_of_zeros: "is not valid JSON",
    names_a_file_elsewhere: "names the file '../../secret.json'",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_state_is_told_and_the_one_before_is_taken(tmp_path, damage):
    good, bad = write(tmp_path / "x-step00000001-state"), write(tmp_path / "x-state")
    damage(bad)
    with pytest.raises(UnreadableError, match=DAMAGES[damage].replace(".", r"\.")):
        states.read_state(bad)
    found, said = states.newest_good([bad, good])
    assert found.path == good and len(said) == 1 and said[0].startswith(str(bad))


@pytest.mark.parametrize("place", ["optimizer.safetensors", "pieces.json", "state.json", "before it has its name"])
def test_a_kill_while_a_state_is_written_leaves_none_under_its_name(tmp_path, monkeypatch, place):
    class Killed(BaseException):
        """As kill -9: nothing is tidied up."""

    monkeypatch.setattr(states.shutil, "rmtree", lambda *_, **__: None)
    before = write(tmp_path / "x-step00000001-state")
    real, renamed = states._settle, states.os.rename

    def settle(path):
        if path.name == place:
            path.write_bytes(path.read_bytes()[:3])
            raise Killed
        return real(path)

    def rename(*paths):
        if place == "before it has its name":
            raise Killed
        renamed(*paths)

    monkeypatch.setattr(states, "_settle", settle)
    monkeypatch.setattr(states.os, "rename", rename)
    with pytest.raises(Killed):
        write(tmp_path / "x-step00000002-state", 2)
    monkeypatch.undo()
    assert states.states_in(tmp_path, "x") == [before]
    states.remove_halves(tmp_path, "y")
    assert len(list(tmp_path.iterdir())) == 2, "of another training"
    states.remove_halves(tmp_path, "x")
    assert list(tmp_path.iterdir()) == [before]


def test_a_kill_while_a_state_is_removed_leaves_none_under_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr(states.shutil, "rmtree", lambda *_, **__: None)
    folder = write(tmp_path / "x-step00000001-state")
    states.remove_state(folder)
    assert states.states_in(tmp_path) == []
    monkeypatch.undo()
    states.remove_halves(tmp_path, "x")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path):
    def full(path):
        raise OSError(28, "No space left on device")

    with pytest.raises(SaveError, match="x-state could not be written: No space left on device"):
        states.write_state(tmp_path / "x-state", {"pieces.json": full}, {"step": 1, "epoch": 0, "batch": 1})
    assert list(tmp_path.iterdir()) == []


def test_the_newest_comes_first_whatever_its_step_and_others_names_are_left_out(tmp_path):
    rolling = states.rolling_folder(tmp_path, "x")
    steps = {"x-step00000009-state": 9, "x-000001-state": 4, "x-state": 5, "x2-state": 1, "x-y-state": 1, ".x-state": 1}
    for name, step in steps.items():
        write(tmp_path / name, step)
    write(rolling / "step00000006-state", 6)
    (tmp_path / "x-step00000010-state").mkdir()  # empty
    os.utime(tmp_path / "x-step00000010-state", (1, 1))
    (tmp_path / "x-step00000011-state").write_text("a file")
    found = [path.name for path in states.states_of(tmp_path, "x")]
    assert found == ["step00000006-state", "x-state", "x-000001-state", "x-step00000009-state", "x-step00000010-state"]
    assert states.states_of(tmp_path / "nowhere", "x") == []


@pytest.mark.parametrize("file", ["train_state.json", "optimizer.bin", "random_states_0.pkl"])
def test_states_of_sd_scripts_are_told_from_ours(tmp_path, file):
    folder = tmp_path / "x-step00000002-state"
    folder.mkdir()
    (folder / file).write_bytes(b"{}")
    with pytest.raises(UnreadableError, match="is a state of sd-scripts .* network_weights"):
        states.read_state(folder)
    assert states.states_of(tmp_path, "x") == []


def test_what_is_no_state_is_said(tmp_path):
    with pytest.raises(UnreadableError, match="is no folder that is there"):
        states.read_state(tmp_path / "nothing")
    with pytest.raises(UnreadableError, match="is no training state: there is no state.json in it"):
        states.read_state(tmp_path)
    (tmp_path / "state.json").write_text('{"format": "something else"}')
    with pytest.raises(UnreadableError, match="is no training state of this program"):
        states.read_state(tmp_path)
    (tmp_path / "state.json").write_text(json.dumps({"format": states.FORMAT, "version": 99}))
    with pytest.raises(UnreadableError, match="another version of this program"):
        states.read_state(tmp_path)
