"""How well each picture was learned: its losses in the training, compared with those of the others at the same noise levels.

A loss depends on the noise level far more than on the picture. So each is divided by the mean of all pictures at levels like
it, and a picture's value is the mean of that: 1 is usual, and one that shows something else than its caption says stands out.
Of the noise levels the upper half counts: there the caption decides what is found, below it the details that can be seen yet
(on the demo model with a third of the captions wrong, a wrong one has more than a right one in 9 of 10 pairs; over all levels
in 8, at the lower ones in 4). What was seen long ago, before anything was learned, counts less and less.
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

BINS = 40  # of noise levels
_VIEWS = 6  # of each picture, in the mean, after which what was seen before counts half
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
    counts: torch.Tensor = field(init=False)  # [pictures, BINS] float64
    seen: torch.Tensor = field(init=False)  # [pictures] int64: how often each was seen
    _pending: list[tuple[int, torch.Tensor, torch.Tensor, torch.Tensor]] = field(default_factory=list)
    _written: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.sums = torch.zeros(len(self.plan.images), BINS, dtype=torch.float64)
        self.counts = torch.zeros(len(self.plan.images), BINS, dtype=torch.float64)
        self.seen = torch.zeros(len(self.plan.images), dtype=torch.int64)

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
        plain = self.sums.sum(1) / self.counts.sum(1).clamp(min=1e-9)
        relative = compared(self.sums, self.counts)
        images = [image for image in self.plan.images if self.seen[image.id] and not image.is_reg]
        rows = [
            {
                "path": image.path,
                "caption": image.caption,
                "loss": float(plain[image.id]),
                "relative": float(relative[image.id]),
                "seen": int(self.seen[image.id]),
            }
            for image in images
        ]
        return sorted(rows, key=lambda row: -row["relative"])

    def state_dict(self) -> dict[str, Any]:
        """For the training state."""
        self._fetch()
        return {"pictures": self._digest(), "sums": self.sums, "counts": self.counts, "seen": self.seen}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave; of other pictures nothing is known."""
        if state["pictures"] == self._digest() and state["sums"].shape == self.sums.shape:
            self.sums, self.counts, self.seen = (state[name].clone() for name in ("sums", "counts", "seen"))

    def _digest(self) -> str:
        names = "\n".join(f"{image.path}\t{image.caption}" for image in self.plan.images)
        return hashlib.sha256(names.encode("utf-8", "surrogatepass")).hexdigest()

    def _fetch(self) -> None:
        if not self._pending:
            return
        losses = torch.cat([one[3] for one in self._pending]).double().cpu()
        timesteps = torch.cat([one[2] for one in self._pending]).cpu()
        bins = (timesteps * BINS // self.timesteps).clamp(0, BINS - 1)
        at = 0
        for _, ids, _, _ in self._pending:  # one after the other: when what was before is halved depends on nothing else
            self._take(ids.cpu(), bins[at : at + len(ids)], losses[at : at + len(ids)])
            at += len(ids)
        self._pending = []

    def _take(self, ids: torch.Tensor, bins: torch.Tensor, losses: torch.Tensor) -> None:
        good = losses.isfinite()
        places = (ids * BINS + bins)[good]
        self.sums.view(-1).index_add_(0, places, losses[good])
        self.counts.view(-1).index_add_(0, places, torch.ones(len(places), dtype=torch.float64))
        views = _VIEWS * len(self.plan.images)
        before = int(self.seen.sum()) // views
        self.seen.index_add_(0, ids, torch.ones(len(ids), dtype=torch.int64))
        if int(self.seen.sum()) // views > before:
            self.sums /= 2
            self.counts /= 2


def compared(sums: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Mean over each picture's losses of (loss / mean of all pictures' losses at its noise level), [pictures].

    `sums` and `counts` are [pictures, bins of noise levels]; of the bins that were trained the upper half counts. A picture
    that was not seen there has 1: nothing is known of it.
    """
    used = counts.sum(0).nonzero().flatten()
    if not len(used):
        return torch.ones(len(sums), dtype=sums.dtype)
    first = int(used[0] + used[-1] + 1) // 2
    sums, counts = sums[:, first:], counts[:, first:]
    means = sums.sum(0) / counts.sum(0).clamp(min=1e-9)
    shares = (sums / means.clamp(min=torch.finfo(sums.dtype).tiny)).sum(1)
    seen = counts.sum(1)
    return torch.where(seen > 0, shares / seen.clamp(min=1e-9), 1.0)
