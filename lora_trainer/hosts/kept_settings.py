"""What a person has chosen on the page of the program standing alone: kept in its data folder, over restarts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ..foreign.json_text import read_table
from ..paths import write_text_atomic
from ..runs.policies import AUTOMATIC, POLICIES

FILE = "settings.json"


@dataclass(frozen=True, kw_only=True)
class KeptSettings:
    """`pictures` is one of policies.POLICIES."""

    pictures: str = AUTOMATIC


def read(folder: Path) -> KeptSettings:
    """What is kept in `folder`; what is missing there, or damaged, is as it is at first."""
    pictures = read_table(folder / FILE).get("pictures")
    return KeptSettings(pictures=pictures) if pictures in POLICIES else KeptSettings()


def write(folder: Path, settings: KeptSettings) -> None:
    """Keep `settings`, atomically. Raises SaveError."""
    write_text_atomic(folder / FILE, json.dumps(asdict(settings), indent=2) + "\n")
