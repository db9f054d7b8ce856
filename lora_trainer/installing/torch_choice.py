"""Which build of torch fits this machine, and how large it is.

PyPI's wheel for Windows is CPU only, and PyPI's wheel for Linux brings gigabytes of CUDA; PyTorch's own indexes
hold the others.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

TORCH = "torch==2.13.0"
PYTORCH_INDEX = "https://download.pytorch.org/whl/"
CHOICES = ("auto", "cuda", "cpu", "pypi")

# Newest CUDA build that a driver can run: `nvidia-smi` prints the CUDA version that its driver supports.
_CUDA_BUILDS = (((13, 0), "cu130"), ((12, 8), "cu128"), ((12, 6), "cu126"))


@dataclass(frozen=True)
class Machine:
    """What the choice depends on: platform.system(), and the (major, minor) CUDA version of the driver (None: no card)."""

    system: str
    machine: str
    cuda: tuple[int, int] | None
    python: tuple[int, int]


@dataclass(frozen=True)
class TorchChoice:
    """A requirement for pip, the index that has it (None = PyPI), and what to tell the user."""

    requirement: str
    index: str | None
    size: str
    reason: str

    def pip_arguments(self) -> list[str]:
        """The words behind `pip install`."""
        return [self.requirement] + (["--index-url", self.index] if self.index else [])


def detect() -> Machine:
    """The machine that this program runs on."""
    return Machine(platform.system(), platform.machine().lower(), _driver_cuda(), sys.version_info[:2])


def choose(machine: Machine, override: str = "auto", read_index: Callable[[str], str | None] | None = None) -> TorchChoice:
    """The torch build for `machine`.

    `override`: one of CHOICES, or the address of a wheel index (https://...). `read_index(url)` returns the text of a
    wheel index page, or None when it does not answer at once. Raises ValueError for another override.
    """
    read = read_index or read_page
    if override.startswith("https://"):
        return TorchChoice(TORCH, override, "unknown size", "the index that was asked for")
    if override not in CHOICES:
        raise ValueError(f"--torch {override}: expected one of {', '.join(CHOICES)} or the https:// address of a wheel index.")
    if override == "pypi":
        return TorchChoice(TORCH, None, "0.1 to 3 GB", "PyPI's build, as asked for")
    if machine.system == "Darwin":
        return TorchChoice(TORCH, None, "about 90 MB", "macOS")
    if override == "cuda" or (override == "auto" and machine.cuda):
        return _with_card(machine, read)
    return _without_card(machine, read)


def _with_card(machine: Machine, read: Callable[[str], str | None]) -> TorchChoice:
    if machine.system != "Windows":
        return TorchChoice(TORCH, None, "about 3 GB", "Linux with an NVIDIA card: PyPI's build has CUDA")
    fitting = [name for version, name in _CUDA_BUILDS if machine.cuda is None or machine.cuda >= version] or [
        _CUDA_BUILDS[-1][1]
    ]
    build = next((name for name in fitting if _has_wheel(read, name, machine)), fitting[0])
    return TorchChoice(
        TORCH, PYTORCH_INDEX + build, "about 3 GB", f"Windows with an NVIDIA card: PyTorch's own build for CUDA ({build})"
    )


def _without_card(machine: Machine, read: Callable[[str], str | None]) -> TorchChoice:
    if _has_wheel(read, "cpu", machine):
        return TorchChoice(
            TORCH, PYTORCH_INDEX + "cpu", "about 200 MB", f"{machine.system} without an NVIDIA card: the CPU build"
        )
    if machine.system == "Windows":
        return TorchChoice(TORCH, None, "about 120 MB", "Windows without an NVIDIA card: PyPI's build is for the CPU")
    size = "0.2 GB where a CPU build is at hand, else about 3 GB"
    return TorchChoice(TORCH, None, size, "Linux without an NVIDIA card; PyTorch's CPU index did not answer, so PyPI's build")


def _has_wheel(read: Callable[[str], str | None], build: str, machine: Machine) -> bool:
    page = read(f"{PYTORCH_INDEX}{build}/torch/")
    version = re.escape(TORCH.split("==")[1])
    tag = f"cp{machine.python[0]}{machine.python[1]}"
    suffix = {"Windows": "win", "Linux": "(?:many)?linux"}.get(machine.system, "")
    return page is not None and re.search(rf"torch-{version}(?:%2B|\+){build}-{tag}-[^\"<>]*{suffix}", page) is not None


def read_page(url: str) -> str | None:
    """The text at `url`, or None when it does not answer within three seconds."""
    try:
        with urllib.request.urlopen(url, timeout=3) as answer:
            return answer.read().decode("utf-8", "replace")
    except (OSError, ValueError):
        return None


def _driver_cuda() -> tuple[int, int] | None:
    """The CUDA version of the NVIDIA driver; (0, 0) when it cannot be read, None without a card."""
    command = shutil.which("nvidia-smi")
    if not command:
        return None
    try:
        found = subprocess.run([command], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if found.returncode != 0:
        return None
    match = re.search(r"CUDA Version:\s*(\d+)\.(\d+)", found.stdout)
    return (int(match[1]), int(match[2])) if match else (0, 0)
