"""What the host asks of a worker: `control.json`, replaced whole, obeyed at the next step boundary."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..paths import write_text_atomic


@dataclass(frozen=True, kw_only=True)
class Control:
    """`stop` once true stays true. `save` and `sample` are counters that only grow: each growth asks for one."""

    stop: bool = False
    save: int = 0
    sample: int = 0


def read_control(path: Path) -> Control:
    """What is asked now; nothing when there is no file or it cannot be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Control(stop=bool(found.get("stop")), save=int(found.get("save", 0)), sample=int(found.get("sample", 0)))
    except (OSError, ValueError, TypeError, AttributeError):
        return Control()


def ask(path: Path, *, stop: bool = False, save: bool = False, sample: bool = False) -> Control:
    """Add to what is asked, atomically. Called by the host alone, one call at a time. Raises SaveError (disk full)."""
    now = read_control(path)
    wanted = replace(now, stop=now.stop or stop, save=now.save + save, sample=now.sample + sample)
    write_text_atomic(path, json.dumps(asdict(wanted)) + "\n")
    return wanted
