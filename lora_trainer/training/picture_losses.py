"""How well each picture was learned: its losses in the training, compared with those of the others at the same noise levels.

A loss depends on the noise level far more than on the picture. So each is divided by the mean of all pictures at levels like
it, and a picture's value is the mean of that: 1 is usual, and one that shows something else than its caption says stands out.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..data.plan import DataPlan
from ..errors import SaveError
from ..log import logger
from ..paths import write_text_atomic

BINS = 20  # of noise levels
_BATCHES = 64  # that are kept on the device before they are fetched
_SECONDS = 30.0  # between two times that the file is written
VERSION = 1


@dataclass
class PictureLosses:
    """Gathers the losses that a training computes anyway, and writes what they say into `file` now and then.

    Nothing waits for the device: losses stay there until some batches have come together. In a training of several processes
    the main one alone gathers, from its share of each batch.
    """

    plan: DataPlan
    file: Path
    timesteps: int = 1000
    sums: torch.Tensor = field(init=False)  # [pictures, BINS] float64
    counts: torch.Tensor = field(init=False)  # [pictures, BINS] int32
    _pending: list[tuple[int, torch.Tensor, torch.Tensor, torch.Tensor]] = field(default_factory=list)
    _written: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.sums = torch.zeros(len(self.plan.images), BINS, dtype=torch.float64)
        self.counts = torch.zeros(len(self.plan.images), BINS, dtype=torch.int32)

    def add(
        self, step: int, ids: torch.Tensor, timesteps: torch.Tensor, losses: torch.Tensor, masks: torch.Tensor | None = None
    ) -> None:
        """Take the losses [B] of pictures `ids` [B] at `timesteps` [B] of optimizer step `step`; `masks` [B, 1, h, w] or None.

        What a mask hides has a loss of 0, so the loss is taken over what it shows.
        """
        own = losses.detach()
        if masks is not None:
            own = own / masks.float().flatten(1).mean(1).clamp(min=1e-3)
        self._pending.append((step, ids, timesteps, own))

    def forget(self, step: int) -> None:
        """Step `step` is computed anew."""
        self._pending = [one for one in self._pending if one[0] != step]

    def after_step(self, step: int) -> None:
        """Fetch what came together, and write the file when it is time to."""
        if len(self._pending) >= _BATCHES:
            self._fetch()
            if time.monotonic() - self._written > _SECONDS:
                self.write(step)

    def write(self, step: int) -> None:
        """Write what is known after `step`. A full disk costs the file and no training."""
        self._fetch()
        self._written = time.monotonic()
        content = {"version": VERSION, "step": step, "pictures": self.rows()}
        try:
            write_text_atomic(self.file, json.dumps(content, ensure_ascii=True, allow_nan=False))
        except SaveError as error:
            logger.warning("How well each picture was learned could not be written: %s", error)

    def rows(self) -> list[dict[str, Any]]:
        """`{path, caption, loss, relative, seen}` of each training picture that was seen, the worst learned first."""
        self._fetch()
        seen = self.counts.sum(1)
        plain = self.sums.sum(1) / seen.clamp(min=1)
        relative = compared(self.sums, self.counts)
        images = [image for image in self.plan.images if seen[image.id] and not image.is_reg]
        rows = [
            {
                "path": image.path,
                "caption": image.caption,
                "loss": float(plain[image.id]),
                "relative": float(relative[image.id]),
                "seen": int(seen[image.id]),
            }
            for image in images
        ]
        return sorted(rows, key=lambda row: -row["relative"])

    def state_dict(self) -> dict[str, Any]:
        """For the training state."""
        self._fetch()
        return {"pictures": self._digest(), "sums": self.sums, "counts": self.counts}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave; of other pictures nothing is known."""
        if state["pictures"] == self._digest() and state["sums"].shape == self.sums.shape:
            self.sums, self.counts = state["sums"].clone(), state["counts"].clone()

    def _digest(self) -> str:
        names = "\n".join(f"{image.path}\t{image.caption}" for image in self.plan.images)
        return hashlib.sha256(names.encode("utf-8", "surrogatepass")).hexdigest()

    def _fetch(self) -> None:
        if not self._pending:
            return
        ids = torch.cat([one[1].cpu() for one in self._pending])
        timesteps = torch.cat([one[2] for one in self._pending]).cpu()
        losses = torch.cat([one[3] for one in self._pending]).double().cpu()
        self._pending = []
        places = ids * BINS + (timesteps * BINS // self.timesteps).clamp(0, BINS - 1)
        good = losses.isfinite()
        self.sums.view(-1).index_add_(0, places[good], losses[good])
        self.counts.view(-1).index_add_(0, places[good], torch.ones(int(good.sum()), dtype=torch.int32))


def compared(sums: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Mean over each picture's losses of (loss / mean of all pictures' losses at its noise level), [pictures].

    `sums` and `counts` are [pictures, bins]. A picture that was not seen has 0.
    """
    means = sums.sum(0) / counts.sum(0).clamp(min=1)
    shares = sums / means.clamp(min=torch.finfo(sums.dtype).tiny)
    return shares.sum(1) / counts.sum(1).clamp(min=1)
