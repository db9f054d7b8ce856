"""Packages that only some settings need (an optimizer of its own), fetched when the user agrees.

    extra-packages/<name>-<version>/   one folder a package, first on the path of the process that asks for it

Versions and hashes stand in requirements/extras/<name>.txt. Nothing is installed beside a package (`--no-deps`), so that
neither torch nor anything of the Web UI's is replaced. A folder gets its name when all is in it: half of one never counts.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from ..errors import NotInstalledError
from ..paths import ROOT_DIR
from . import requirements

FOLDER = "extra-packages"
COMMAND = "install_packages"
_PART = ".part-"  # begins the name of a folder that is being filled
_RAW_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
_FIRST_PIP_WITH_RAW_PROGRESS = (24, 1)


@dataclass(frozen=True, kw_only=True)
class Extra:
    """A package: its distribution's name, the module that it brings, about how many bytes are fetched, and what it is for."""

    name: str
    module: str
    size: int
    purpose: str
    is_optimizer: bool = True  # else of a tool
    old_torch: tuple[int, int] = (0, 0)  # below this version of torch another file of requirements holds

    @property
    def pins(self) -> str:
        """The file in requirements/extras, without its ending."""
        major, minor = self.old_torch
        return f"{self.name}-torch-before-{major}.{minor}" if _torch_version() < self.old_torch else self.name

    @property
    def requirement(self) -> str:
        """`name==version` and its hashes, as pip reads them."""
        (line,) = requirements.read(f"extras/{self.pins}")
        return line

    @property
    def version(self) -> str:
        return self.requirement.split()[0].partition("==")[2]

    @property
    def megabytes(self) -> str:
        """The size for a sentence."""
        return f"{self.size / 1e6:.0f} MB" if self.size >= 1e6 else f"{max(1, round(self.size / 1e3))} kB"

    def folder(self, root: Path = ROOT_DIR) -> Path:
        """Where it is installed to, for this version."""
        return root / FOLDER / f"{self.name}-{self.version}"


EXTRAS: tuple[Extra, ...] = (
    Extra(name="lion-pytorch", module="lion_pytorch", size=10_000, purpose="the optimizer Lion"),
    Extra(name="dadaptation", module="dadaptation", size=14_000, purpose="the optimizers of D-Adaptation"),
    Extra(name="prodigyopt", module="prodigyopt", size=11_000, purpose="the optimizer Prodigy"),
    Extra(name="schedulefree", module="schedulefree", size=55_000, purpose="optimizers that need no schedule"),
    Extra(
        name="bitsandbytes",
        module="bitsandbytes",
        size=43_100_000,
        purpose="optimizers that need less memory (NVIDIA cards)",
        old_torch=(2, 4),
    ),
    Extra(name="onnxruntime", module="onnxruntime", size=17_400_000, purpose="the WD14 tagger", is_optimizer=False),
)
BY_NAME = {extra.name: extra for extra in EXTRAS}


def own_folder(name: str, root: Path = ROOT_DIR) -> Path | None:
    """Where package `name` was installed by us, or None; it may be installed elsewhere."""
    folder = BY_NAME[name].folder(root)
    return folder if folder.is_dir() else None


def is_there(name: str, root: Path = ROOT_DIR) -> bool:
    """Whether package `name` is to be had: in our folder, or in what this Python has, hidden or not. Nothing is imported."""
    return own_folder(name, root) is not None or PathFinder.find_spec(BY_NAME[name].module) is not None


def missing(name: str, needed_by: str) -> NotInstalledError:
    """The error for a package that is not there; it names its size and the ways to get it."""
    extra = BY_NAME[name]
    by_command = f"run python -m lora_trainer {COMMAND} {name}. It goes into this program's own folder."
    if extra.is_optimizer:
        advice = f"Press Install beside the optimizer on the page, add --{COMMAND} on the command line, or {by_command}"
    else:
        advice = f"Press Install beside the tool on the page, or {by_command}"
    return NotInstalledError(
        f"{needed_by} needs the package {name}, which is not installed ({extra.megabytes}).", advice=advice
    )


def install(
    name: str,
    say: Callable[[str], None],
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    root: Path = ROOT_DIR,
    pip_options: Iterable[str] = (),
) -> Path:
    """Fetch package `name` into our folder and return that; nothing when it is there. `progress` gets bytes (done, total).

    Raises NotInstalledError, naming pip's reason; then nothing of it is left.
    """
    extra, target = BY_NAME[name], BY_NAME[name].folder(root)
    if target.is_dir():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_halves(target.parent)
        part = Path(tempfile.mkdtemp(prefix=f"{_PART}{os.getpid()}-", dir=target.parent))
    except OSError as error:
        raise NotInstalledError(f"{target.parent} cannot be written: {error.strerror or error}.") from error
    try:
        say(f"Fetching {name} {extra.version} ({extra.megabytes}) into {target}.")
        pins = part / "pins.txt"
        pins.write_text(extra.requirement + "\n", encoding="utf-8")
        _pip(["--target", str(part / "new"), "--require-hashes", "-r", str(pins), *pip_options], name, progress)
        if not list((part / "new").glob(f"{extra.module}*")):
            raise NotInstalledError(f"{name} was installed, but it brings no {extra.module}.")
        _put(part / "new", target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    _remove_old(extra, target)
    say(f"{name} {extra.version} is installed.")
    return target


def _put(new: Path, target: Path) -> None:
    try:
        new.rename(target)
    except OSError as error:
        if not target.is_dir():  # else another process was quicker
            raise NotInstalledError(f"{target} cannot be written: {error.strerror or error}.") from error


def _pip(arguments: list[str], name: str, progress: Callable[[int, int], None]) -> None:
    """Run `pip install`. Raises NotInstalledError with its last lines."""
    bar = "raw" if _pip_version() >= _FIRST_PIP_WITH_RAW_PROGRESS else "off"
    words = ["--disable-pip-version-check", "--no-input", "--no-deps", "--progress-bar", bar]
    command = [sys.executable, "-m", "pip", "install", *words, *arguments]
    told: list[str] = []
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PIP_REQUIRE_VIRTUALENV": "0"}
    try:
        pip = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    except OSError as error:
        raise NotInstalledError(f"pip could not be started: {error.strerror or error}.") from error
    try:
        assert pip.stdout is not None
        for line in pip.stdout:
            found = _RAW_PROGRESS.match(line)
            if found:
                progress(int(found[1]), int(found[2]))
            elif line.strip() and not line.startswith("WARNING"):
                told.append(line.strip())
        failed = pip.wait() != 0
    finally:
        if pip.poll() is None:  # we are asked to end
            pip.terminate()
            pip.wait()
    if failed:
        raise NotInstalledError(
            f"pip could not install {name}: {' '.join(told[-3:])}",
            advice="Check the connection and the free disk space, then try again.",
        )


def _pip_version() -> tuple[int, ...]:
    try:
        return _numbers(importlib.metadata.version("pip"))
    except importlib.metadata.PackageNotFoundError:
        return (0,)


def _torch_version() -> tuple[int, ...]:
    """The installed torch's (major, minor), which is not imported; a new one where there is none."""
    try:
        return _numbers(importlib.metadata.version("torch"))
    except importlib.metadata.PackageNotFoundError:
        return (99,)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def _remove_halves(parent: Path) -> None:
    """Remove what installations left that were ended: those whose process lives still are filling theirs."""
    for part in parent.glob(f"{_PART}*"):
        pid = part.name.removeprefix(_PART).partition("-")[0]
        if not (pid.isdecimal() and _lives(int(pid))):
            shutil.rmtree(part, ignore_errors=True)


def _lives(pid: int) -> bool:
    if os.name == "nt":
        return False  # a folder with open files is not removed there
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _remove_old(extra: Extra, keep: Path) -> None:
    for old in keep.parent.glob(f"{extra.name}-*"):
        if old != keep:
            shutil.rmtree(old, ignore_errors=True)
