"""The training as a command: where it says what it does."""

from __future__ import annotations

import pytest

from lora_trainer import commands
from lora_trainer.log import logger
from lora_trainer.training import distributed, train
from tests.options.valid import make_valid


@pytest.fixture
def run(tmp_path, monkeypatch):
    """run(*words): the exit code of a training that says two things and does nothing."""

    def say(options, *, reporter, processes):
        logger.info("hello")
        logger.warning("take care")

    monkeypatch.setattr(train, "train", say)
    monkeypatch.setattr(distributed.Processes, "leave", lambda self: None)
    words = [f"--{name}={value}" for name, value in make_valid(tmp_path / "valid").items()]
    return lambda *more: commands.run(["train_network", *words, *more])


@pytest.mark.effect("console_log_level", "console_log_file", "console_log_simple")
def test_what_is_said_goes_where_the_options_say(run, tmp_path, capsys):
    assert run() == 0
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith(" INFO    hello") and second.endswith(" WARNING take care")
    assert run("--console_log_simple", "--console_log_level=WARNING") == 0
    assert capsys.readouterr().err == "take care\n"
    file = tmp_path / "logs" / "run.log"
    for _ in range(2):
        assert run("--console_log_simple", f"--console_log_file={file}") == 0
    assert capsys.readouterr().err == "" and file.read_text() == "hello\ntake care\n" * 2


@pytest.mark.parametrize(("named", "said"), [("valid", "is a folder"), ("valid/base.safetensors/run.log", "is a file, but")])
def test_a_file_that_cannot_be_written_is_said_before_anything_starts(run, tmp_path, capsys, named, said):
    assert run(f"--console_log_file={tmp_path / named}") == 2
    told = capsys.readouterr().err
    assert "console_log_file" in told and said in told
