"""The training loop: steps, and what happens between them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ..data.dataset import Batch
from ..data.plan import DataPlan, PlannedBatch, StepCounts
from ..errors import NotFiniteError
from ..models.card import peak_memory
from ..runs.events import Reporter
from .distributed import Processes
from .gradients import Gradients
from .interrupt import StopOnSignal
from .metrics import LossAverage, Speed
from .parking import Parking
from .picture_losses import PictureLosses
from .position import Position
from .previews import Previews
from .saver import Saver
from .sharing import Result, Sharing
from .state_saver import StateSaver
from .update import Updater
from .validation import Validation


@dataclass
class Loop:
    """One training on its way. `epochs_done` counts whole epochs, `position` says which batch comes next.

    `saver`, `states` and `previews` are None in all processes but the main one.
    """

    gradients: Gradients
    updater: Updater
    plan: DataPlan
    counts: StepCounts
    accumulation: int
    processes: Processes
    reporter: Reporter
    signals: StopOnSignal
    parking: Parking
    validation: Validation | None = None
    saver: Saver | None = None
    states: StateSaver | None = None
    previews: Previews | None = None
    position: Position = Position()
    epochs_done: int = 0
    stopped: bool = False
    average: LossAverage = field(init=False)
    sharing: Sharing = field(init=False)
    _speed: Speed = field(default_factory=Speed)
    _parks: float = 0  # how many processes were asked to leave the card
    _saves: int = 0  # how often saving was asked for and done
    _drawings: int = 0  # the same for drawing samples
    _lives: int = 0  # and for the file that is kept up to date
    _replaced: set[str] = field(default_factory=set)  # what was told of images that could not be read

    def __post_init__(self) -> None:
        self.average = LossAverage(self.counts.steps_per_epoch)
        self.sharing = Sharing(self.parking, self._serve_if_asked)

    @property
    def step(self) -> int:
        """How many optimizer steps were made."""
        return self.updater.steps

    @property
    def pictures(self) -> PictureLosses | None:
        """What hears of each picture's losses; None in all processes but the main one, and where nobody wants to know."""
        return self.gradients.trainee.pictures

    def run(self, batches: Iterator[Batch]) -> None:
        """Train until the last step, or until somebody asks to stop. Raises NotFiniteError, saying at which step."""
        self._begin()
        for epoch in range(self.position.epoch, self.counts.epochs):
            for group in self._groups(epoch):
                try:
                    loss = self.make_step(group, batches)
                except RuntimeError:  # a data-loader process that ended of the same signal as we were asked to stop by
                    if not self.signals.asked:
                        raise
                    self.stopped = True
                    return
                if loss is None:
                    self.stopped = True
                    return
                average = self.average.add(loss)
                self.position = Position(epoch, self.position.batch + len(group))
                self._report(loss, average, epoch + 1, sum(len(planned.images) for planned in group))
                self._after_step()
                self._leave_card_if_asked()
                if self.stopped:
                    return
            self.epochs_done = epoch + 1
            self._after_epoch()

    def _begin(self) -> None:
        self.epochs_done = self.position.epoch
        if self.saver is not None:
            self.saver.begin(self.step, self.epochs_done)
        if self.states is not None:
            self.states.begin(self.step)
        if not self.step:
            self._validate()
            self._draw_samples(at_first=True)
        self._speed.resume()

    def _groups(self, epoch: int) -> Iterator[Sequence[PlannedBatch]]:
        """The batches of each optimizer step that is left of `epoch`; an epoch's last step may have fewer."""
        planned = self.plan.batches(epoch)
        for start in range(self.position.batch, len(planned), self.accumulation):
            if self.step >= self.counts.total_steps:
                return
            yield planned[start : start + self.accumulation]

    @property
    def _epoch_is_whole(self) -> bool:
        return self.position.batch >= self.counts.batches_per_epoch

    def state_dict(self) -> dict[str, Any]:
        """For the training state, which tells step and position by itself."""
        measured: dict[str, Any] = {} if self.validation is None else {"validation": self.validation.state_dict()}
        if self.pictures is not None:
            measured["pictures"] = self.pictures.state_dict()
        return {
            "average": self.average.state_dict(),
            "saves": self._saves,
            "drawings": self._drawings,
            "lives": self._lives,
            **measured,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave. A control file that was begun anew counts from its beginning."""
        self.average.load_state_dict(state["average"])
        if self.validation is not None and "validation" in state:
            self.validation.load_state_dict(state["validation"])
        if self.pictures is not None and "pictures" in state:
            self.pictures.load_state_dict(state["pictures"])
        asked = self.reporter.control()
        self._saves, self._drawings = min(state["saves"], asked.save), min(state["drawings"], asked.sample)
        self._lives = min(state.get("lives", 0), asked.live)

    def make_step(self, group: Sequence[PlannedBatch], batches: Iterator[Batch]) -> float | None:
        """Train on `group`; return the loss, the mean over its samples, or None when it was told to stop before."""
        samples = sum(len(planned.images) for planned in group)
        own = [(self._told(next(batches)), planned.first - group[0].first) for planned in group]
        return self.sharing.step(lambda is_shared: self._step_on(own, samples, may_split=not is_shared), self.step)

    def _step_on(self, own: Sequence[tuple[Batch, int]], samples: int, *, may_split: bool) -> float:
        """Make the step of these batches, each with the number of samples before it.

        Raises NotFiniteError for a loss or gradients that are no number, before they have changed a weight.
        """
        number = self.updater.start()
        total = self.gradients.add(own, step=number, samples=samples, may_split=may_split)
        control = self.reporter.control()
        norm = self.updater.gather()
        stops, parks = self.signals.asked or control.stop, self.parking.is_asked()
        loss, asked, self._parks = self.processes.add_up([total.item(), float(stops), float(parks)])
        _check_finite(loss, norm, number)
        self.updater.step()
        self.stopped = bool(asked) and number < self.counts.total_steps  # after the last step there is nothing to stop
        return loss

    def _told(self, batch: Batch) -> Batch:
        """`batch`; which of its images could not be read is told once."""
        for message in batch["replaced"]:
            if message not in self._replaced:
                self._replaced.add(message)
                self.reporter.emit({"type": "warning", "message": message})
        return batch

    def _report(self, loss: float, average: float, epoch: int, samples: int) -> None:
        self._speed.add(samples)
        rates = self.updater.rates
        self.reporter.emit(
            {
                "type": "step",
                "step": self.step,
                "epoch": epoch,
                "loss": loss,
                "loss_average": average,
                "lr": next((rate for name, rate in rates.items() if name.startswith("unet")), next(iter(rates.values()))),
                "rates": rates,
                "seconds_per_step": self._speed.seconds_per_step,
                "samples_per_second": self._speed.samples_per_second,
                "seconds_left": self._seconds_left(self.step),
                "peak_memory": peak_memory(self.processes.device),
                **self.parking.measured(),
            }
        )

    def _seconds_left(self, first: int) -> float | None:
        """What the training will take yet: its steps, and the samples that are drawn after step `first` and later ones.

        None before a step was made.
        """
        if not self.step:
            return None
        left = self._speed.seconds_per_step * (self.counts.total_steps - self.step)
        if self.validation is not None:
            left += self.validation.seconds_to_come(first, self.epochs_done, self.counts.epochs)
        if self.previews is None:
            return left
        times = self.previews.schedule.times_to_come(
            (first, self.counts.total_steps), (self.epochs_done + 1, self.counts.epochs)
        )
        return left + self.previews.seconds_to_come(times, self._speed.samples_per_second)

    def _after_step(self) -> None:
        """Measure, save, then draw, if this step or the user asks for it."""
        if self.pictures is not None:
            self.pictures.after_step(self.step)
        self._validate()
        if self.saver is None:
            return
        before = self.saver.last_step
        self.saver.after_step(self.step, self.epochs_done)
        self._save_if_asked()
        renewed = self._renew_live()
        drawn = self._draw_samples(asked=self.reporter.control().sample > self._drawings)
        if not (self.stopped or self._epoch_is_whole or self.step >= self.counts.total_steps):
            self._keep_state()  # else after what the epoch's end brings
        if drawn or renewed or self.saver.last_step != before:
            self._speed.resume()

    def _leave_card_if_asked(self) -> None:
        """Let somebody else have the card, in all processes at once; after the last step nothing is left to go on with."""
        self.parking.tell_room(self.step)
        asked = self._parks if self.processes.world_size > 1 else self.parking.is_asked()
        if asked and not self.stopped and self.step < self.counts.total_steps:
            self.stopped = self.parking.together(self.step, self._while_waiting)
            self._speed.resume()

    def _save_if_asked(self) -> None:
        """Save what was trained so far when the user wants it now; before the first step there is nothing yet."""
        wanted = self.reporter.control().save
        if self.saver is not None and self.step and wanted > self._saves:
            self._saves = wanted
            self.saver.on_demand(self.step, self.epochs_done)

    def _renew_live(self) -> bool:
        """Renew the file to try meanwhile, when its step has come or somebody asks; at the end there is a better one."""
        assert self.saver is not None
        asked = self.reporter.control()
        every = self.saver.plan.live_every if asked.live_every is None else asked.live_every
        is_due = asked.live > self._lives or bool(every) and self.step % every == 0  # type: ignore[operator]
        self._lives = asked.live
        if not is_due or self.stopped or self.step >= self.counts.total_steps:
            return False
        self.saver.live(self.step, self.epochs_done)
        return True

    def _while_drawing(self) -> bool:
        """Asked before each step of a sampler: whether to break off. Who asks to save does not wait for the pictures."""
        self._save_if_asked()
        if self.step:
            self.parking.tell_room(self.step)
        return self.parking.obey(self.step, self._serve_if_asked) or self.signals.asked or bool(self.reporter.control().stop)

    def _while_waiting(self) -> None:
        """Off the card between two steps."""
        self._serve_if_asked()
        if self.saver is not None and self.saver.has_fresh and not self._epoch_is_whole:
            self._keep_state()

    def _serve_if_asked(self) -> None:
        """Off the card: save, and renew the file to try, when the user wants it now. The weights lie in main memory."""
        self._save_if_asked()
        if self.saver is not None and self.reporter.control().live > self._lives:
            self._renew_live()

    def _validate(self, epoch: int | None = None) -> None:
        """Measure the loss on the images kept aside, if it is time to, and save the best."""
        if self.validation is None or self.stopped:
            return
        validation = self.validation
        is_best = self.attempt(lambda: validation.after(self.step, self.epochs_done, epoch))
        if is_best is None:
            return
        if is_best and self.saver is not None:
            self.saver.best(self.step, self.epochs_done, self.validation.best)
        self.reporter.emit({"type": "phase", "name": "training", "done": 0, "total": 0})
        self._speed.resume()

    def attempt(self, work: Callable[[], Result]) -> Result | None:
        """`work()`, again where a shared card was too full for it; None when it was told to stop before."""
        done = self.sharing.attempt(work, self.step)
        self.stopped = self.stopped or self.sharing.was_stopped
        return done

    def _after_epoch(self) -> None:
        self._validate(self.epochs_done)
        if self.saver is not None:
            self.saver.after_epoch(self.step, self.epochs_done, self.counts.epochs)
            self._draw_samples(epoch=self.epochs_done)
        if self._epoch_is_whole:  # not where the last step cut it short: more steps would go on in it
            self.position = Position(self.epochs_done)
        self._keep_state()
        self._speed.resume()

    def _keep_state(self) -> None:
        """Save the states that are due, when all else of this step is done: what goes on from one has nothing to do again."""
        if self.states is not None and self.saver is not None:
            self.states.after(self.step, self.position, self.saver.take_saved())

    def _draw_samples(self, *, at_first: bool = False, asked: bool = False, epoch: int | None = None) -> bool:
        """Draw the sample pictures that are due now; what was trained is on the disk before. Returns whether any was."""
        if (
            self.previews is None
            or self.stopped
            or not (asked or self.previews.schedule.is_due(self.step, at_first=at_first, epoch=epoch))
        ):
            return False
        assert self.saver is not None
        self.saver.before_sample(self.step, self.epochs_done)
        previews, left = self.previews, self._seconds_left(self.step + 1)
        numbered = 0 if at_first else epoch
        self.attempt(lambda: previews.draw(self.step, numbered, self._while_drawing, left))
        self._drawings = self.reporter.control().sample  # who asked meanwhile has them
        self.reporter.emit({"type": "phase", "name": "training", "done": 0, "total": 0})
        return True


def _check_finite(loss: float, norm: torch.Tensor | None, step: int) -> None:
    """Raise NotFiniteError when the loss or the gradients of `step` are NaN or infinite."""
    for what, value in (("loss", loss), ("gradients", 0.0 if norm is None else norm.item())):
        if not math.isfinite(value):
            raise NotFiniteError(f"The {what} became NaN or infinite at step {step}.")
