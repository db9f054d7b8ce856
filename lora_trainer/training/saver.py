"""Saving what is trained: when, under which name, with which metadata; a full disk costs no training."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..checkpoints.folders import weights_file
from ..errors import LoraFileError, NotFiniteError, SaveError
from ..log import logger
from ..networks import files
from ..paths import free_path
from . import pivotal
from .checkpoint import SavePlan
from .phases import Emit, aside
from .results import Results, SmallFiles, copied
from .trained import Trained, is_finite

_TRIES = 3
_NAMED = 3
_SECONDS_BETWEEN_TRIES = 2.0
# The folder for files of an earlier training under our names. Lists of LoRA files (the Web UI's too) leave out what begins
# with a dot: where output_dir is the LoRA folder, <lora:name> still means one file.
REPLACED = ".replaced"


@dataclass
class Saver:
    """Writes the files of what is trained. Only the main process has one.

    `metadata(stem, step, epoch)` returns a file's metadata; `emit` takes events; `precision` is save_precision; within
    `with shown():` the weights of `trained` are those to save. Files of an earlier training under the same names are not lost:
    each is moved into the folder REPLACED when its place is needed. A training that goes on from a state gives the `session`
    that its files tell: they are its own.
    """

    trained: Trained
    plan: SavePlan
    metadata: Callable[[str, int, int], dict[str, str]]
    emit: Emit
    precision: str | None = None
    shown: Callable[[], AbstractContextManager[None]] = nullcontext
    session: int | None = None
    results: Results | None = None  # how it is written: as a network, where nothing else is said
    last_path: Path | None = None
    last_step: int = 0
    _failed: set[str] = field(default_factory=set)
    _written: set[Path] = field(default_factory=set)
    _fresh: list[Path] = field(default_factory=list)  # written since `take_saved`

    def __post_init__(self) -> None:
        self.results = self.results or SmallFiles(self.trained)

    def begin(self, step: int = 0, epoch: int = 0) -> None:
        """The training begins after `step` steps and `epoch` epochs: say which files of an earlier one are in its way."""
        self._remove_halves()
        there = [path for path in self._in_folder() if self._is_ours(path) and path not in self._written]
        self._written.update(path for path in there if self._is_of_session(path))
        in_the_way = [path for path in there if self._is_ours(path, step, epoch)]
        earlier = sorted(path.name for path in in_the_way if path not in self._written)
        if earlier:
            named = ", ".join(earlier[:_NAMED]) + (f" and {len(earlier) - _NAMED} more" if len(earlier) > _NAMED else "")
            self.emit(
                {
                    "type": "warning",
                    "message": f"{self.plan.folder} holds files of an earlier training of this name: {named}. "
                    f"One whose name is needed is moved to {self.plan.folder / REPLACED}.",
                }
            )

    def _remove_halves(self) -> None:
        """Remove the temporary files (paths.write_atomic) that a killed training of this name left: half of a file is nobody's.

        Killed before its first state was whole, it begins at the beginning, and by no session are they known as its own.
        """
        for path in self._in_folder():
            if path.suffix == ".tmp" and self._is_ours(path.with_name(path.name.rsplit(".", 2)[0])):
                with suppress(OSError):
                    _delete(path)

    def take_saved(self) -> list[Path]:
        """The files written since this was last asked, but for the best, and what was trained before pictures are drawn."""
        fresh, self._fresh = [path for path in self._fresh if path not in (self.plan.unfinished, self.plan.best)], []
        return fresh

    @property
    def has_fresh(self) -> bool:
        """Whether `take_saved` has something to tell."""
        return bool(self._fresh)

    def state_dict(self) -> dict[str, Any]:
        """For the training state."""
        return {
            "last": self.last_path.name if self.last_path else None,
            "last_step": self.last_step,
            "written": sorted(path.name for path in self._written if path.parent == self.plan.folder),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave; where something else is trained now, the files of before are not its own."""
        if self.session is None:
            return
        self._written = {self.plan.folder / Path(name).name for name in state["written"]}
        last = self.plan.folder / Path(state["last"]).name if state["last"] else None
        if last is not None and last.exists():
            self.last_path, self.last_step = last, state["last_step"]

    def after_step(self, step: int, epoch: int) -> None:
        """Save if `step` is to be saved, and remove the file that is outdated by it. `epoch` counts finished epochs."""
        if self.plan.saves_step(step) and self._save_or_warn(self.plan.at_step(step), step, epoch):
            self._remove(self.plan.outdated_by_step(step))

    def after_epoch(self, step: int, epoch: int, epochs: int) -> None:
        """The same at the end of `epoch` (from 1)."""
        if self.plan.saves_epoch(epoch, epochs) and self._save_or_warn(self.plan.at_epoch(epoch), step, epoch):
            self._remove(self.plan.outdated_by_epoch(epoch))

    def on_demand(self, step: int, epoch: int) -> None:
        """Save because the user asked for it."""
        self._save_or_warn(self.plan.at_step(step), step, epoch)

    def best(self, step: int, epoch: int, loss: float) -> None:
        """Save the best so far by the loss on the images kept aside, where that is wanted, in place of the best before."""
        if self.plan.saves_best:
            self._save_or_warn(self.plan.best, step, epoch, {"ss_validation_loss": f"{loss:.6g}"})

    def live(self, step: int, epoch: int) -> None:
        """Write the weights as they are under a name that stays the same, for who tries them while it trains.

        The file goes with the training's end: nothing counts it as saved.
        """
        try:
            path = self._write(self.plan.live, step, epoch)
        except SaveError as error:
            self.emit({"type": "warning", "message": f"{error} Training goes on.", "step": step})
            return
        self.emit({"type": "live", "path": str(path), "step": step})

    def before_sample(self, step: int, epoch: int) -> None:
        """Make sure that what was trained is on the disk; the file is removed when the next one has been written."""
        if step > self.last_step:
            self._save_or_warn(self.plan.unfinished, step, epoch)

    def rescue(self, step: int, epoch: int) -> Path | None:
        """Save what was trained after something else went wrong; return the last good file, or None when there is none."""
        try:
            if step > self.last_step:
                self._save_or_warn(self.plan.at_step(step), step, epoch)
        except NotFiniteError as error:  # the weights are worth nothing
            self.emit({"type": "warning", "message": error.message, "step": step})
        return self.last_path

    def final(self, step: int, epoch: int) -> Path:
        """Save the result. Raises SaveError when all tries fail: then it lies in a folder of its own in the temp folder."""
        for left in reversed(range(_TRIES)):
            try:
                path = self._save(self.plan.last, step, epoch, final=True)
                self._remove(self.plan.live)
                return path
            except SaveError as error:
                if left:
                    self.emit({"type": "warning", "message": f"{error} Trying again."})
                    time.sleep(_SECONDS_BETWEEN_TRIES)
                    continue
                try:
                    folder = Path(
                        tempfile.mkdtemp(prefix=f"lora-trainer-{self.plan.stem_of(self.plan.last)[:80]}-")
                    )  # nobody else's
                    elsewhere = self._save(folder / self.plan.last.name, step, epoch, final=True)
                except (SaveError, OSError):
                    raise error from None
                raise SaveError(
                    f"{error.message} The result was saved as {elsewhere} instead.", advice="Move it away from there."
                ) from error
        raise AssertionError("unreachable")

    def check_finite(self, step: int) -> None:
        """Raise NotFiniteError when a weight is NaN or infinite, after `step`."""
        if not is_finite(self.trained):
            raise NotFiniteError(f"The trained weights became NaN or infinite at step {step}.")

    def _save_or_warn(self, path: Path, step: int, epoch: int, more: Mapping[str, str] | None = None) -> bool:
        try:
            self._save(path, step, epoch, final=False, more=more)
        except SaveError as error:
            self.emit({"type": "warning", "message": f"{error} Training goes on.", "step": step})
            return False
        return True

    def _save(self, path: Path, step: int, epoch: int, *, final: bool, more: Mapping[str, str] | None = None) -> Path:
        self._write(path, step, epoch, more)
        self._fresh.append(path)
        self.last_path, self.last_step = path, step
        if path != self.plan.unfinished and path.parent == self.plan.folder:
            self._remove(self.plan.unfinished)
        self.emit({"type": "saved", "path": str(path), "step": step, "epoch": epoch, "final": final})
        return path

    def _write(self, path: Path, step: int, epoch: int, more: Mapping[str, str] | None = None) -> Path:
        assert self.results is not None
        metadata = {**self.metadata(self.plan.stem_of(path), step, epoch), **(more or {})}
        with aside(self.emit, f"saving {path.name}"), self.shown():
            self.check_finite(step)
            precision = self._precision(self.results)
            for part, own in self.trained.files_beside().items():  # first: whoever hears of the LoRA finds them there
                beside = _beside(path, part)
                self._keep_earlier(beside)
                files.save(beside, copied(own), pivotal.metadata_beside(metadata), precision)
                self._written.add(beside)
            self._keep_earlier(path)
            self.results.save(path, metadata, precision, step=step, epoch=epoch)
        self._written.add(path)
        return path

    def _precision(self, results: Results) -> str | None:
        """save_precision, or float32 where a weight is too large for fp16."""
        if self.precision != "fp16" or (largest := results.largest()) <= torch.finfo(torch.float16).max:
            return self.precision
        if "fp16" not in self._failed:
            self._failed.add("fp16")
            self.emit({"type": "warning", "message": f"A weight of {largest:.3g} is too large for fp16: saving in float32."})
        return "float"

    def _keep_earlier(self, path: Path) -> None:
        """Move what is at `path`, or of its name, and not of this training out of the way."""
        for other in self.plan.of_one_name(path):
            if other not in self._written and other.exists():
                self._move_away(other)

    def _move_away(self, path: Path) -> None:
        try:
            (path.parent / REPLACED).mkdir(exist_ok=True)
            kept = free_path(path.parent / REPLACED / path.name)
            shutil.move(path, kept)
        except OSError as error:
            raise SaveError(
                f"{path} is there from an earlier training and could not be moved away: {error.strerror or error}.",
                advice="Move it yourself, or give another output_name.",
            ) from error
        logger.info("%s, of an earlier training, is now %s", path.name, kept)

    def _is_ours(self, path: Path, *when: int) -> bool:
        """As `plan.is_ours`, of what lies beside a file of ours, too."""
        stems = [path.stem, *(path.stem.removesuffix(part) for part in self.trained.files_beside())]
        return any(self.plan.is_ours(path.with_stem(stem), *when) for stem in stems)

    def _is_of_session(self, path: Path) -> bool:
        try:
            file = weights_file(path) if path.is_dir() else path
            return self.session is not None and files.read_metadata(file).get("ss_session_id") == str(self.session)
        except LoraFileError:
            return False

    def _in_folder(self) -> list[Path]:
        try:
            return list(self.plan.folder.iterdir())
        except OSError:
            return []

    def _remove(self, path: Path | None) -> None:
        """Remove a file of this training, and what lies beside it."""
        for part in self.trained.files_beside() if path is not None else ():
            self._remove_one(_beside(path, part))
        self._remove_one(path)

    def _remove_one(self, path: Path | None) -> None:
        if path is None or path not in self._written or not path.exists():
            return
        try:
            _delete(path)
        except OSError as error:
            self.emit({"type": "warning", "message": f"{path} could not be removed: {error.strerror or error}."})


def _beside(path: Path, part: str) -> Path:
    """The file that belongs to `path`, by what its name has besides."""
    return path.with_name(f"{path.stem}{part}{path.suffix}")


def _delete(path: Path) -> None:
    """Remove a file, or a folder with what is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
