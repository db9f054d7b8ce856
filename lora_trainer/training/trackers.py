"""Logs for TensorBoard and Weights & Biases (options logging_dir, log_with, ...), written from the events of a training.

The folders and tags are sd-scripts': LOGGING_DIR/PREFIX20261126090000/network_train; loss/current, loss/average, lr/unet, ...
A log is never worth a training: a tracker that fails is left out from then on, with a warning.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import optional_packages
from ..errors import InputError, LoraTrainerError, NotInstalledError
from ..options import OPTIONS, TrainOptions, located
from ..options.config_file import given
from ..options.saving import SavingOptions
from ..paths import user_path
from ..runs.control import Control
from ..runs.events import Reporter
from .tracked import TITLES, Logged, logged

if TYPE_CHECKING:
    from accelerate.tracking import GeneralTracker

DEFAULT_NAME = "network_train"
_BOARD, _WANDB = "tensorboard", "wandb"
_WRITERS = ("tensorboardX", "tensorboard")  # the first is ours
_WANDB_KEY = "WANDB_API_KEY"  # wandb.login(key=...) would write it into a file of the user's


def wanted(options: SavingOptions) -> list[str]:
    """The trackers that the options ask for: TensorBoard where there is a folder, unless they say otherwise."""
    if options.log_with is None:
        return [_BOARD] if options.logging_dir else []
    return [_BOARD, _WANDB] if options.log_with == "all" else [options.log_with]


def check(options: SavingOptions) -> None:
    """Raise InputError for a log_tracker_config that cannot be used, NotInstalledError for a package that is missing."""
    names = wanted(options)
    _settings(options, names)
    if _BOARD in names:
        _load(_WRITERS, "tensorboardX (or tensorboard)")
    if _WANDB in names:
        _load((_WANDB,), _WANDB)


def _load(modules: tuple[str, ...], package: str) -> None:
    for module in modules:
        try:
            optional_packages.load(module)
            return
        except ImportError as error:
            reason = str(error)
    raise NotInstalledError(
        f"The package {package}, which writes the logs that were asked for, cannot be loaded: {reason}.",
        advice=f"Install it with pip install {modules[0]}, or leave log_with and logging_dir out.",
    )


def _settings(options: SavingOptions, names: list[str]) -> dict[str, dict[str, Any]]:
    """What each tracker is started with: the tables of log_tracker_config, which win, and wandb_run_name."""
    settings: dict[str, dict[str, Any]] = {name: {} for name in names}
    if options.wandb_run_name and _WANDB in settings:
        settings[_WANDB]["name"] = options.wandb_run_name
    if not options.log_tracker_config:
        return settings
    file = located.read(user_path(options.log_tracker_config), field="log_tracker_config")
    for name, table in file.data.items():
        if name not in (_BOARD, _WANDB) or not isinstance(table, Mapping):
            raise InputError(
                f"{name} is no table for a tracker: they are [tensorboard] and [wandb].",
                field="log_tracker_config",
                where=file.where(name),
                advice='Write for example [wandb], and name = "my run" below it.',
            )
        if name in settings:
            settings[name].update(table)
    return settings


@contextmanager
def following(options: TrainOptions, reporter: Reporter, *, is_main: bool) -> Iterator[Reporter]:
    """Give a reporter that also writes the logs which the options ask for (in the main process); they are closed at the end."""
    if not is_main or not wanted(options.saving):
        yield reporter
        return
    trackers = Trackers(options, reporter)
    try:
        yield trackers
    finally:
        trackers.finish()


@dataclass
class Trackers:
    """Passes events on, and writes what they tell. The trackers begin with the event `started`."""

    options: TrainOptions
    reporter: Reporter
    _running: dict[str, GeneralTracker] = field(default_factory=dict)
    _pictures: Counter[int] = field(default_factory=Counter)  # drawn so far, by step
    _epoch: Logged | None = None  # the loss of the epoch that is on its way

    def control(self) -> Control:
        """What the user asks for."""
        return self.reporter.control()

    def emit(self, event: Mapping[str, Any]) -> None:
        """Pass `event` on, and log it."""
        self.reporter.emit(event)
        if event["type"] == "started" and not self._running:
            self._start()
        elif event["type"] == "sample":
            self._log_picture(event)
        for entry in (*self._end_of_epoch(event), *logged(event)):
            self._each(lambda name, tracker, entry=entry: _log(name, tracker, entry))

    def finish(self) -> None:
        """Close what was begun."""
        if self._epoch is not None:
            last, self._epoch = self._epoch, None
            self._each(lambda name, tracker: _log(name, tracker, last))
        self._each(lambda name, tracker: tracker.finish())
        self._running = {}

    def _start(self) -> None:
        saving = self.options.saving
        folder = _folder(saving)
        for name, settings in _settings(saving, wanted(saving)).items():
            with self._guarded(name):
                self._running[name] = _begin(name, saving, folder, settings)
        if saving.log_config:
            values = _shown_options(self.options)
            self._each(lambda name, tracker: tracker.store_init_configuration(values))

    def _end_of_epoch(self, event: Mapping[str, Any]) -> list[Logged]:
        """The mean loss of an epoch, once it is over."""
        if event["type"] != "step" or not event.get("epoch"):
            return []
        before, self._epoch = self._epoch, Logged.of_epoch(event)
        return [before] if before is not None and before.epoch != self._epoch.epoch else []

    def _log_picture(self, event: Mapping[str, Any]) -> None:
        step = int(event["step"])
        tag = f"sample_{self._pictures[step]}"
        self._pictures[step] += 1
        self._each(lambda name, tracker: _PICTURE[name](tracker, tag, event))

    def _each(self, act: Callable[[str, Any], None]) -> None:
        for name, tracker in list(self._running.items()):
            with self._guarded(name):
                act(name, tracker)

    @contextmanager
    def _guarded(self, name: str) -> Iterator[None]:
        """A tracker that fails, of whatever it may be (no network, a full disk, no account), is left out from then on."""
        try:
            with optional_packages.visible():
                yield
        except LoraTrainerError:
            raise
        except Exception as error:
            self._running.pop(name, None)
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
            self.reporter.emit(
                {
                    "type": "warning",
                    "message": f"The log for {TITLES[name]} ends here: {reason.rstrip('.')}. The training goes on.",
                }
            )


def _folder(options: SavingOptions) -> Path | None:
    """The folder of this training's logs, as the reference calls it: LOGGING_DIR/PREFIX20261126090000."""
    if not options.logging_dir:
        return None
    return user_path(options.logging_dir) / f"{options.log_prefix or ''}{time.strftime('%Y%m%d%H%M%S')}"


def _begin(name: str, options: SavingOptions, folder: Path | None, settings: Mapping[str, Any]) -> GeneralTracker:
    from accelerate import PartialState
    from accelerate.tracking import TensorBoardTracker, WandBTracker

    PartialState()  # without one accelerate's own log refuses to speak
    title = options.log_tracker_name or DEFAULT_NAME
    if name == _BOARD:
        assert folder is not None, "a rule wants logging_dir"
        tracker: GeneralTracker = TensorBoardTracker(title, folder, **settings)
    else:
        place = folder or user_path(options.output_dir or ".")
        place.mkdir(parents=True, exist_ok=True)
        if options.wandb_api_key:
            os.environ[_WANDB_KEY] = options.wandb_api_key
        tracker = WandBTracker(title, **{"dir": str(place), **settings})
    tracker.start()
    return tracker


def _shown_options(options: TrainOptions) -> dict[str, str | int | float | bool]:
    """What log_config writes: no secret, and no path, which may hold a name."""
    hidden = {option.name for option in OPTIONS if option.secret or option.path}
    return {
        name: value if isinstance(value, (str, int, float, bool)) else str(value)
        for name, value in given(options).items()
        if name not in hidden
    }


def _log(name: str, tracker: Any, entry: Logged) -> None:
    if name == _BOARD:
        tracker.log(entry.values, step=entry.place)
    else:  # it counts its own steps: the place is a value among others
        tracker.log({**entry.values, "global_step": entry.step, "epoch": entry.epoch})


def _picture_in_board(tracker: Any, tag: str, event: Mapping[str, Any]) -> None:
    import numpy as np
    from PIL import Image

    with Image.open(event["path"]) as picture:
        pixels = np.asarray(picture.convert("RGB"))[None]
    tracker.log_images({tag: pixels}, step=int(event["step"]), dataformats="NHWC")


def _picture_in_wandb(tracker: Any, tag: str, event: Mapping[str, Any]) -> None:
    wandb = optional_packages.load(_WANDB)
    shown = wandb.Image(str(event["path"]), caption=str(event.get("prompt", "")))
    tracker.log({tag: shown, "global_step": int(event["step"])})


_PICTURE = {_BOARD: _picture_in_board, _WANDB: _picture_in_wandb}
