"""What the host asks of a worker: `control.json`, replaced whole, obeyed at the next step boundary."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..foreign.json_text import read_number, read_table
from ..paths import write_text_atomic


@dataclass(frozen=True, kw_only=True)
class Control:
    """`stop` once true stays true. `save` and `sample` are counters that only grow: each growth asks for one."""

    stop: bool = False
    save: int = 0
    sample: int = 0


def read_control(path: Path) -> Control:
    """What is asked now; nothing when there is no file or it cannot be read."""
    found = read_table(path)
    save, sample = (max(0, int(read_number(found, counter) or 0)) for counter in ("save", "sample"))
    return Control(stop=bool(found.get("stop")), save=save, sample=sample)


def ask(path: Path, *, stop: bool = False, save: bool = False, sample: bool = False) -> Control:
    """Add to what is asked, atomically. Called by the host alone, one call at a time. Raises SaveError (disk full)."""
    now = read_control(path)
    wanted = replace(now, stop=now.stop or stop, save=now.save + save, sample=now.sample + sample)
    write_text_atomic(path, json.dumps(asdict(wanted)) + "\n")
    return wanted
