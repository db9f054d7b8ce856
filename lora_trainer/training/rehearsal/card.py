"""What is free of the memory that a training will use, and who holds the rest."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from . import meter

_ASKED = ["nvidia-smi", "--query-compute-apps=pid,used_memory,process_name", "--format=csv,noheader,nounits"]
_SECONDS = 10.0
TIGHT = 0.92  # of what is free: more may not be there the next time
_MIB = 1 << 20

Ask = Callable[[Sequence[str]], str]


@dataclass(frozen=True)
class Holder:
    """Another process on the card. `bytes` is None where the driver does not tell (Windows)."""

    pid: int
    name: str
    bytes: int | None


@dataclass(frozen=True)
class Room:
    """`free` is what this process may have in all of the `total` bytes; `others` hold the rest, as far as they are known."""

    free: int
    total: int
    others: tuple[Holder, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def room(device: torch.device) -> Room:
    """How much of the card, or of main memory, this process may have. To be asked before anything of ours is there."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return Room(free + torch.cuda.memory_reserved(device), total, holders(_ask))
    import psutil  # comes with accelerate

    memory = psutil.virtual_memory()
    return Room(int(memory.available) + meter.in_main_memory(), int(memory.total))


def holders(ask: Ask) -> tuple[Holder, ...]:
    """The other processes on the card by the driver's list, the largest first; none where there is no such list.

    `ask(words)` runs a command and returns what it says; it may raise OSError or subprocess.SubprocessError.
    """
    try:
        lines = ask(_ASKED).splitlines()
    except (OSError, subprocess.SubprocessError):
        return ()
    found = []
    for line in lines:
        pid, used, name = ([part.strip() for part in line.split(",", 2)] + ["", "", ""])[:3]
        if pid.isdecimal() and int(pid) != os.getpid():
            found.append(Holder(int(pid), Path(name.replace("\\", "/")).name, int(used) * _MIB if used.isdecimal() else None))
    return tuple(sorted(found, key=lambda one: -(one.bytes or 0)))


def _ask(words: Sequence[str]) -> str:
    return subprocess.run(list(words), capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=True).stdout
