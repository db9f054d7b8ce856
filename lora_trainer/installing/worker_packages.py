"""The packages of the extension inside the Web UI, in the extension's own folders; nothing of the host's is touched.

    worker-packages/<fingerprint>/   for the worker process: first on its path
    host-packages/<fingerprint>/     for the host process: pure Python, added at the end of its path

A new set of pins gets a new folder, so a worker that is running keeps the files it has open. A folder without
`complete` is not used.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from ..paths import ROOT_DIR
from . import requirements

GROUPS = {"host": "host-packages", "worker": "worker-packages"}


class PackagesError(Exception):
    """The packages could not be installed; the message says why and what to do."""


def folder(group: str, root: Path = ROOT_DIR) -> Path:
    """The folder that holds the packages of `group` ("worker" or "host") for these pins and this Python."""
    mark = requirements.fingerprint([*requirements.read(group), f"{sys.version_info[:2]}"])
    return root / GROUPS[group] / mark


def is_complete(group: str, root: Path = ROOT_DIR) -> bool:
    """Whether the packages of `group` are installed completely."""
    return (folder(group, root) / "complete").is_file()


def install(say: Callable[[str], None], root: Path = ROOT_DIR, pip_options: list[str] | None = None) -> None:
    """Install what is missing of all groups. Quick when nothing is. Raises PackagesError."""
    for group, name in GROUPS.items():
        if is_complete(group, root):
            continue
        target = folder(group, root)
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        pins = requirements.read(group)
        say(f"installing {len(pins)} packages for the {group} process into {target} (the Web UI's own stay as they are)")
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--disable-pip-version-check",
            "-q",
            "--no-deps",
            "--target",
            str(target),
        ]
        done = subprocess.run([*command, *(pip_options or []), *pins], capture_output=True, text=True)
        if done.returncode != 0:
            shutil.rmtree(target, ignore_errors=True)
            raise PackagesError(f"pip could not install {', '.join(pins)}: {_last_lines(done.stderr or done.stdout)}")
        (target / "complete").write_text("", encoding="utf-8")
        _remove_old(root / name, keep=target)


def _remove_old(parent: Path, keep: Path) -> None:
    """Remove the folders of earlier pins; one that is in use stays until the next time."""
    for old in parent.iterdir():
        if old != keep and old.is_dir():
            shutil.rmtree(old, ignore_errors=True)


def _last_lines(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("WARNING")]
    return " ".join(lines[-4:])
