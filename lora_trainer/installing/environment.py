"""The virtual environment of the program standing alone: made, completed, and known to be complete."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ..paths import ROOT_DIR, write_text_atomic
from . import requirements, torch_choice


class InstallError(Exception):
    """The installation failed; the message says at what and what to do."""


class Environment:
    """`.venv` beside launch.py. `say` prints a line for the user."""

    def __init__(self, folder: Path = ROOT_DIR / ".venv", say: Callable[[str], None] = print) -> None:
        self.folder = folder
        self.say = say
        self.marker = folder / "lora-trainer.json"
        self.python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    def ensure(self, groups: Sequence[str], torch: str = "auto") -> None:
        """Make the environment hold the requirement groups `groups` (and keep those it has); quick when nothing is to do.

        The marker file is written last: an installation that was cut off is finished by the next start. Raises InstallError.
        """
        installed = self._read_marker()
        wanted = sorted({*groups, *installed.get("groups", [])})
        pins = [line for group in wanted for line in requirements.read(group)]
        before = installed.get("torch", "auto")
        torch = before if torch == "auto" else torch
        mark = requirements.fingerprint([*pins, torch_choice.TORCH, f"{sys.version_info[:2]}", torch])
        if installed.get("fingerprint") == mark and self.python.exists():
            return
        self._create()
        choice = torch_choice.choose(torch_choice.detect(), torch)
        self.say(f"Installing into {self.folder} (this is done once; it can be interrupted and goes on at the next start).")
        self.say(f"  torch: {choice.requirement}, {choice.size} - {choice.reason}.")
        self.say("  (Another build: python launch.py --torch cpu|cuda|pypi|ADDRESS)")
        for broken in requirements.remove_half_installed(self.site_packages()):
            self.say(f"  {broken} was cut off last time: installing it again.")
        # pip takes any build of the same version for installed: another choice must be forced.
        self._pip([*choice.pip_arguments(), *(["--force-reinstall"] if installed and torch != before else [])], "torch")
        self.say(f"  {len(pins)} more packages, about 300 MB.")
        self._pip([*pins, *self._bitsandbytes()], "the other packages")
        write_text_atomic(self.marker, json.dumps({"fingerprint": mark, "groups": wanted, "torch": torch}))

    def is_whole(self) -> bool:
        """Whether an installation has come to its end there."""
        return bool(self._read_marker()) and self.python.exists()

    def site_packages(self) -> Path:
        """Where the environment's packages lie."""
        if os.name == "nt":
            return self.folder / "Lib" / "site-packages"
        return self.folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"

    def _read_marker(self) -> dict:
        try:
            return json.loads(self.marker.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}

    def _create(self) -> None:
        if self.python.exists() and self.site_packages().is_dir() and self._runs("import pip"):
            return
        self.say(f"Making {self.folder} with Python {sys.version.split()[0]}.")
        made = subprocess.run([sys.executable, "-m", "venv", "--clear", str(self.folder)], capture_output=True, text=True)
        if made.returncode != 0:
            advice = "On Debian and Ubuntu: apt install python3-venv." if "ensurepip" in made.stdout + made.stderr else ""
            raise InstallError(f"{self.folder} could not be made: {(made.stderr or made.stdout).strip()} {advice}".strip())

    def _runs(self, code: str) -> bool:
        return subprocess.run([self.python, "-c", code], capture_output=True).returncode == 0

    def _bitsandbytes(self) -> list[str]:
        return ["bitsandbytes>=0.46"] if self._runs("import torch; raise SystemExit(not torch.cuda.is_available())") else []

    def _pip(self, arguments: Sequence[str], what: str) -> None:
        command = [
            str(self.python),
            "-m",
            "pip",
            "install",
            "--disable-pip-version-check",
            "-q",
            "--progress-bar",
            "on",
            *arguments,
        ]
        if subprocess.run(command).returncode != 0:
            raise InstallError(
                f"pip could not install {what} (its message is above). Check the connection and the free disk space "
                "(6 GB), then start again: it goes on where it stopped."
            )
