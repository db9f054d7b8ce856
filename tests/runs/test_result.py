"""A run's file goes into the LoRA folder: under its name, whatever its ending, never two files of one name."""

from __future__ import annotations

import pytest

from lora_trainer.modelfile import LORA_SUFFIXES
from lora_trainer.paths import write_atomic
from lora_trainer.runs import result


@pytest.fixture
def place(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "loras").mkdir()

    def make(name: str, text: str):
        path = tmp_path / name
        path.write_bytes(text.encode())
        return path

    return make


@pytest.mark.parametrize("ending", LORA_SUFFIXES)
def test_a_file_keeps_its_ending(place, tmp_path, ending):
    source = place(f"run/frog{ending}", "new")
    path = result.publish(source, tmp_path / f"loras/frog{ending}", overwrite=False, card={"a": 1}, preview=None)
    assert path.name == f"frog{ending}" and path.read_bytes() == b"new" and (tmp_path / "loras/frog.json").is_file()


def test_a_name_is_taken_by_a_file_of_another_ending(place, tmp_path):
    source, other = place("run/frog.pt", "new"), place("loras/frog.safetensors", "old")
    path = result.publish(source, tmp_path / "loras/frog.pt", overwrite=False, card={}, preview=None)
    assert path.name == "frog-2.pt" and other.read_bytes() == b"old"
    path = result.publish(source, tmp_path / "loras/frog.pt", overwrite=True, card={}, preview=None)
    assert path.name == "frog.pt" and not other.exists(), "<lora:frog> means one file"


def test_a_whole_model_is_there_once_under_two_names_which_part_when_one_is_written_anew(place, tmp_path, monkeypatch):
    how = {"overwrite": True, "card": {}, "preview": None, "shared": True}
    source, target = place("run/frog.safetensors", "model"), tmp_path / "models/frog.safetensors"
    for _ in range(2):  # the second time it is there already
        assert result.publish(source, target, **how) == target and target.samefile(source)
    write_atomic(source, lambda file: file.write(b"trained further"))
    assert target.read_bytes() == b"model"
    before = target.stat().st_mtime
    result.publish(source, target, **how)
    assert target.samefile(source) and target.stat().st_mtime > before, "the Web UI believes a newer time alone"
    source.unlink()
    assert target.read_bytes() == b"trained further"

    def no_links(*_):
        raise OSError("another drive, or one that cannot do it")

    monkeypatch.setattr(result.os, "link", no_links)
    source = place("run/frog.safetensors", "again")
    result.publish(source, target, **how)
    assert target.read_bytes() == b"again" and not target.samefile(source)
    assert [one.name for one in target.parent.iterdir() if one.suffix == ".tmp"] == []
