"""Installing: what was cut off is finished by the next start, and a complete environment costs nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lora_trainer.installing import environment as module
from lora_trainer.installing import requirements, worker_packages
from lora_trainer.installing.environment import Environment, InstallError


@pytest.fixture
def pip(monkeypatch):
    """Stands for every child process: records pip's words and fails when `fail_at` is among them."""

    class Pip:
        calls: list[list[str]] = []
        fail_at = ""

    Pip.calls = []

    def run(command, **_):
        words = [str(word) for word in command]
        if "venv" in words:
            folder = Path(words[-1])
            (folder / "bin").mkdir(parents=True)
            (folder / "bin/python").touch()
            (folder / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages").mkdir(parents=True)
        if "pip" in words:
            Pip.calls.append(words[words.index("install") + 1 :])
            failed = bool(Pip.fail_at) and any(word.startswith(Pip.fail_at) for word in words)
            return subprocess.CompletedProcess(command, int(failed), "", "no space left")
        return subprocess.CompletedProcess(command, int("cuda" in words[-1]), "", "")

    monkeypatch.setattr(module.subprocess, "run", run)
    monkeypatch.setattr(module.torch_choice, "read_page", lambda url: None)
    return Pip


@pytest.mark.skipif(sys.platform == "win32", reason="the fake venv has the layout of POSIX")
class TestEnvironment:
    def make(self, tmp_path):
        lines: list[str] = []
        return Environment(tmp_path / ".venv", lines.append), lines

    def test_first_start_installs_torch_then_the_pins_and_says_what_it_chose(self, tmp_path, pip):
        environment, lines = self.make(tmp_path)
        environment.ensure(["worker"], "cpu")
        assert any(word.startswith("torch==") for word in pip.calls[0])
        assert set(requirements.read("worker")) <= set(pip.calls[1])
        assert any("torch" in line and "GB" in line or "MB" in line for line in lines)

    def test_second_start_does_nothing(self, tmp_path, pip):
        environment, _ = self.make(tmp_path)
        environment.ensure(["worker"], "cpu")
        pip.calls.clear()
        environment.ensure(["worker"])
        assert pip.calls == []

    def test_an_install_that_was_cut_off_is_finished_by_the_next_start(self, tmp_path, pip):
        environment, _ = self.make(tmp_path)
        pip.fail_at = "diffusers"
        with pytest.raises(InstallError, match="start again"):
            environment.ensure(["worker"], "cpu")
        half = environment.site_packages() / "diffusers-0.35.2.dist-info"
        half.mkdir()
        pip.fail_at = ""
        pip.calls.clear()
        environment.ensure(["worker"], "cpu")
        assert len(pip.calls) == 2
        assert not half.exists()

    def test_test_packages_are_added_and_stay(self, tmp_path, pip):
        environment, _ = self.make(tmp_path)
        environment.ensure(["worker"], "cpu")
        environment.ensure(["worker", "test"])
        assert any(word.startswith("pytest==") for word in pip.calls[-1])
        pip.calls.clear()
        environment.ensure(["worker"])
        assert pip.calls == []

    def test_another_torch_is_forced_over_the_one_that_is_there(self, tmp_path, pip):
        environment, _ = self.make(tmp_path)
        environment.ensure(["worker"], "pypi")
        environment.ensure(["worker"], "cpu")
        assert "--force-reinstall" in pip.calls[2]
        environment.ensure(["worker"])
        assert len(pip.calls) == 4


def test_packages_without_record_are_forgotten_and_whole_ones_stay(tmp_path):
    (tmp_path / "whole-1.dist-info").mkdir()
    (tmp_path / "whole-1.dist-info/RECORD").touch()
    (tmp_path / "half-1.dist-info").mkdir()
    assert requirements.remove_half_installed(tmp_path) == ["half-1.dist-info"]
    assert [path.name for path in tmp_path.iterdir()] == ["whole-1.dist-info"]


def test_worker_packages_are_used_only_when_complete(tmp_path, monkeypatch):
    def fail(command, **_):
        return subprocess.CompletedProcess(command, 1, "", "ERROR: Could not find a version (from versions: none)")

    monkeypatch.setattr(worker_packages.subprocess, "run", fail)
    with pytest.raises(worker_packages.PackagesError, match="Could not find a version"):
        worker_packages.install(lambda line: None, tmp_path)
    assert not worker_packages.is_complete("worker", tmp_path)
    assert not worker_packages.folder("worker", tmp_path).exists()

    commands: list[list[str]] = []

    def succeed(command, **_):
        commands.append(command)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(worker_packages.subprocess, "run", succeed)
    worker_packages.install(lambda line: None, tmp_path)
    assert worker_packages.is_complete("worker", tmp_path) and worker_packages.is_complete("host", tmp_path)
    assert all("--no-deps" in command and "--target" in command for command in commands)
    worker_packages.install(lambda line: None, tmp_path)
    assert len(commands) == 2, "a complete installation is not repeated"
