"""What is begun early is read and imported beside the rest, and fails silently: who needs it says why."""

from __future__ import annotations

import builtins
import threading
import time
import types

import pytest

from lora_trainer.models import packages
from lora_trainer.training import assembling, early, session
from lora_trainer.training.train import train

from .conftest import Recorder


def test_the_base_models_file_is_read_to_its_end_while_the_program_is_imported(tmp_path, monkeypatch):
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"x" * 1000)
    monkeypatch.setattr(early, "_PIECE", 300)
    read, real = [], early.Path.open

    def opened(self, *args, **more):
        return _Counting(real(self, *args, **more), read)

    monkeypatch.setattr(early.Path, "open", opened)
    thread = early.read_file(str(file))
    assert thread is not None
    thread.join()
    assert sum(read) == 1000


class _Counting:
    def __init__(self, handle, read) -> None:
        self._handle, self._read = handle, read

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self._handle.close()

    def read(self, size: int) -> bytes:
        block = self._handle.read(size)
        self._read.append(len(block))
        return block


@pytest.mark.parametrize("path", [None, "", "runwayml/stable-diffusion-v1-5", "/nowhere/model.safetensors", "\0"])
def test_what_is_no_file_is_not_read(path):
    assert early.read_file(path) is None


def test_a_file_that_fills_the_memory_is_left_alone(tmp_path, monkeypatch):
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"x" * 1000)
    memory = types.SimpleNamespace(virtual_memory=lambda: types.SimpleNamespace(available=1500))
    monkeypatch.setattr(early, "psutil", memory)
    assert early.read_file(str(file)) is None


def test_a_package_that_cannot_be_imported_early_is_told_where_it_is_needed(monkeypatch):
    monkeypatch.setattr(packages, "MODULES", ("lora_trainer_has_no_such_module",))
    early.import_models().join()


def test_the_model_is_loaded_when_its_packages_are_whole(options_for, monkeypatch):
    whole = threading.Event()
    monkeypatch.setattr(early, "import_models", lambda: early._beside(lambda: (time.sleep(0.5), whole.set()), "slow"))

    def load(_setting):
        raise KeyboardInterrupt("whole" if whole.is_set() else "half imported")

    monkeypatch.setattr(assembling, "load", load)
    with pytest.raises(KeyboardInterrupt, match="whole"):
        train(options_for(), reporter=Recorder())


def test_a_run_begins_to_read_before_torch_is_imported(monkeypatch):
    order, real = [], builtins.__import__
    monkeypatch.setattr(early, "read_file", lambda path: order.append(path))

    def imported(name, scope=None, *rest):
        if name == "train" and scope and scope.get("__name__") == session.__name__:
            order.append("train")
            raise KeyboardInterrupt
        return real(name, scope, *rest)

    monkeypatch.setattr(builtins, "__import__", imported)
    model = types.SimpleNamespace(pretrained_model_name_or_path="model.safetensors")
    session.run(lambda: types.SimpleNamespace(model=model), Recorder())
    assert order == ["model.safetensors", "train"]
