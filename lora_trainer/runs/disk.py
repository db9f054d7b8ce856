"""How much a training writes, by its options: counted before it, for guessed sizes and for measured ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_UNITS = ("B", "KB", "MB", "GB", "TB")
ROLLING = 3  # states that replace each other: two stay while a third is written


@dataclass(frozen=True)
class Written:
    """How many LoRA files and training states a training leaves, at the most at once."""

    files: int
    states: int

    def bytes(self, file: float, state: float) -> int:
        """What they take, by the size of one file and of one state."""
        return int(self.files * file + self.states * state)


def written(values: Mapping[str, Any], steps: int, epochs: int, *, copies: int = 1) -> Written:
    """What a training of so many steps and epochs writes with the options `values` (by name); `copies` of the result are made
    elsewhere. What is removed again (save_last_n_steps and such) counts: it is there until the newer one is."""
    ratio = values["save_n_epoch_ratio"]
    every = max(1, epochs // ratio) if ratio else values["save_every_n_epochs"]
    between = (steps // values["save_every_n_steps"] if values["save_every_n_steps"] else 0) + (epochs // every if every else 0)
    states = between if values["save_state"] else 0
    states += ROLLING if values["save_state_every_n_minutes"] else 0
    states += bool(values["save_state_on_train_end"] or values["save_state"])
    return Written(1 + copies + between, states)


def size_text(size: float) -> str:
    """A number of bytes for a sentence, as the page writes it beside (`formatBytes` of ui/web/base/numbers.js)."""
    unit = min(4, max(0, int(size).bit_length() - 1) // 10)
    value = size / 1024**unit
    return f"{value:.0f} {_UNITS[unit]}" if value >= 100 or not unit else f"{value:.1f} {_UNITS[unit]}"
