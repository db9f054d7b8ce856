"""`python -m lora_trainer` and --help in a Python that has nothing but the standard library."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lora_trainer.installing import elsewhere
from lora_trainer.installing.environment import Environment

ROOT = Path(__file__).parents[2]
BARE = [sys.executable, "-S", "-E"]  # without site-packages


@pytest.mark.parametrize(
    "words", [["ui", "--help"], ["--port", "7900", "-h"], ["train_network", "--help"], ["resize_lora.py", "--help"]]
)
def test_help_is_answered_before_anything_is_installed(words, tmp_path):
    copy = tmp_path / "launch.py"
    copy.write_text((ROOT / "launch.py").read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "lora_trainer").symlink_to(ROOT / "lora_trainer")
    done = subprocess.run([*BARE, str(copy), *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.startswith("usage:") and not done.stderr, done.stdout + done.stderr


def test_a_python_without_the_packages_runs_the_command_in_the_environment_of_launch_py(tmp_path, monkeypatch):
    environment = Environment(folder=tmp_path / ".venv")
    environment.python.parent.mkdir(parents=True)
    environment.python.symlink_to(sys.executable)
    started: list[list[str]] = []

    def run(command, env):
        assert env["PYTHONPATH"].split(os.pathsep)[0] == str(ROOT)
        started.append(command)
        return subprocess.CompletedProcess(command, 7)

    monkeypatch.setattr(elsewhere.subprocess, "run", run)
    assert elsewhere.run_elsewhere(["generate", "--prompt", "a frog"], environment) == 1 and not started, "half installed"
    environment.marker.write_text(json.dumps({"fingerprint": "x"}), encoding="utf-8")
    assert elsewhere.run_elsewhere(["generate", "--prompt", "a frog"], environment) == 7
    assert started == [[str(environment.python), "-m", "lora_trainer", "generate", "--prompt", "a frog"]]


def test_without_any_environment_it_says_how_to_get_one(tmp_path, monkeypatch, capsys):
    environment = Environment(folder=tmp_path / ".venv")
    assert elsewhere.run_elsewhere(["generate", "--prompt", "x"], environment) == 1
    said = capsys.readouterr().err
    assert sys.executable in said and f"python {ROOT / 'launch.py'} generate" in said
