"""A run's file goes into the LoRA folder: under its name, whatever its ending, never two files of one name."""

from __future__ import annotations

import pytest

from lora_trainer.modelfile import LORA_SUFFIXES
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
