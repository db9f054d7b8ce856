"""When files are saved, what they are called and which older ones go: the names and rules of kohya-ss. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..modelfile import LORA_SUFFIXES
from ..options.saving import SavingOptions, saved_as
from ..options.trained_rules import FOLDERS

DEFAULT_LAST, DEFAULT_EPOCH, DEFAULT_STEP = "last", "epoch", "at"


@dataclass(frozen=True, kw_only=True)
class SavePlan:
    """The options of saving. Every count is None when there is no such saving (or nothing is removed).

    `extension` is "" where a result is a folder.
    """

    folder: Path
    name: str | None = None
    every_steps: int | None = None
    every_epochs: int | None = None
    live_every: int | None = None
    last_steps: int | None = None
    last_epochs: int | None = None
    extension: str = ".safetensors"
    saves_best: bool = False

    @classmethod
    def of(cls, options: SavingOptions, epochs: int) -> SavePlan:
        """What the options say, for a training of so many epochs."""
        ratio = options.save_n_epoch_ratio
        return cls(
            folder=Path(options.output_dir or "."),
            name=options.output_name,
            every_steps=options.save_every_n_steps,
            every_epochs=max(1, epochs // ratio) if ratio else options.save_every_n_epochs,
            live_every=options.save_live_every_n_steps,
            last_steps=options.save_last_n_steps,
            last_epochs=options.save_last_n_epochs,
            extension="" if saved_as(options) in FOLDERS else f".{saved_as(options)}",
            saves_best=options.save_best,
        )

    @property
    def last(self) -> Path:
        """The file at the end: NAME.safetensors."""
        return self._file(self.name or DEFAULT_LAST)

    @property
    def unfinished(self) -> Path:
        """What was trained so far, while pictures are drawn: NAME-unfinished.safetensors."""
        return self._file(f"{self.name or DEFAULT_LAST}-unfinished")

    @property
    def best(self) -> Path:
        """The best by the loss on images kept aside: NAME-best.safetensors."""
        return self._file(f"{self.name or DEFAULT_LAST}-best")

    @property
    def live(self) -> Path:
        """The weights as they are, while it trains: NAME-live.safetensors."""
        return self._file(f"{self.name or DEFAULT_LAST}-live")

    @property
    def losses(self) -> Path:
        """How well each picture was learned: NAME-losses.json."""
        return self.folder / f"{self.name or DEFAULT_LAST}-losses.json"

    def is_ours(self, path: Path, step: int = -1, epoch: int = -1) -> bool:
        """Whether a training with this plan may write to `path`, or to a file that <lora:name> could mean as well, when `step`
        steps and `epoch` epochs are over."""
        if self.extension and path.suffix not in LORA_SUFFIXES:
            return False
        stem = self.stem_of(path)
        of_step = stem.removeprefix(f"{self.name or DEFAULT_STEP}-step")
        of_epoch = stem.removeprefix(f"{self.name or DEFAULT_EPOCH}-")
        if of_step != stem and of_step.isdecimal():
            return int(of_step) > step
        if of_epoch != stem and of_epoch.isdecimal():
            return int(of_epoch) > epoch
        return path.with_name(f"{stem}{self.extension}") in (self.last, self.unfinished, self.live)

    def stem_of(self, path: Path) -> str:
        """The name of a result without its ending; a folder has none."""
        return path.stem if self.extension else path.name

    def of_one_name(self, path: Path) -> list[Path]:
        """The files that are called as `path` is, whatever their ending: <lora:name> would mean each of them."""
        return [path.with_suffix(suffix) for suffix in LORA_SUFFIXES] if self.extension else [path]

    def at_step(self, step: int) -> Path:
        """NAME-step00000250.safetensors"""
        return self._file(f"{self.name or DEFAULT_STEP}-step{step:08d}")

    def at_epoch(self, epoch: int) -> Path:
        """NAME-000003.safetensors; `epoch` counts from 1."""
        return self._file(f"{self.name or DEFAULT_EPOCH}-{epoch:06d}")

    def saves_step(self, step: int) -> bool:
        return bool(self.every_steps) and step % self.every_steps == 0

    def saves_epoch(self, epoch: int, epochs: int) -> bool:
        """Whether the end of `epoch` (from 1) is saved; the last one is not, for the final file holds the same."""
        return bool(self.every_epochs) and epoch % self.every_epochs == 0 and epoch < epochs

    def outdated_by_step(self, step: int) -> Path | None:
        """The file that goes when `step` has been saved: the newest one older than the last `last_steps` steps."""
        if not self.every_steps or not self.last_steps:
            return None
        oldest = step - self.last_steps - 1
        oldest -= oldest % self.every_steps
        return self.at_step(oldest) if oldest > 0 else None

    def outdated_by_epoch(self, epoch: int) -> Path | None:
        """The file that goes when `epoch` has been saved."""
        if not self.every_epochs or not self.last_epochs:
            return None
        oldest = epoch - self.every_epochs * self.last_epochs
        return self.at_epoch(oldest) if oldest > 0 else None

    def _file(self, stem: str) -> Path:
        return self.folder / f"{stem}{self.extension}"
