"""What a person asks for while it trains, by the control file: how often, and how much of that was done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..runs.control import Control


@dataclass
class Asked:
    """`control()` tells how often was asked for each; `saves`, `drawings` and `lives` count what was done: files, sample
    pictures, and the file that is kept up to date.

    They begin at nothing with every worker and are in no state: the host begins the control file anew before a run goes on
    (`runs.resuming.prepare`), and all that it holds then was asked of this worker, however early.
    """

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
