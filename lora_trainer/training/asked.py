"""What a person asks for while it trains, by the control file: how often, and how much of that was done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..runs.control import Control


@dataclass
class Asked:
    """`control()` tells how often was asked for each; `saves`, `drawings` and `lives` count what was done: files, sample
    pictures, and the file that is kept up to date."""

    control: Callable[[], Control]
    saves: int = 0
    drawings: int = 0
    lives: int = 0

    @property
    def to_save(self) -> bool:
        """Whether a file is wanted now."""
        return self.control().save > self.saves

    @property
    def to_draw(self) -> bool:
        """Whether sample pictures are wanted now."""
        return self.control().sample > self.drawings

    def live_is_due(self, step: int, every: int | None) -> bool:
        """Whether the file to try meanwhile is wanted: now, or by its step (`every` so many, where nobody says otherwise)."""
        control = self.control()
        every = every if control.live_every is None else control.live_every
        return control.live > self.lives or bool(every and step % every == 0)

    def state_dict(self) -> dict[str, int]:
        """For the training state."""
        return {"saves": self.saves, "drawings": self.drawings, "lives": self.lives}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave. A control file that was begun anew counts from its beginning."""
        control = self.control()
        self.saves, self.drawings = min(state["saves"], control.save), min(state["drawings"], control.sample)
        self.lives = min(state.get("lives", 0), control.live)
