"""The training loop: steps, and what happens between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from ..checkpoints.serving import Shards
from ..data.dataset import Batch
from ..data.plan import DataPlan, PlannedBatch, StepCounts
from ..errors import NotFiniteError
from ..runs.events import Reporter
from . import telling
from .ahead import Ahead
from .asked import Asked
from .card_memory import CardMemory, Peak, Spill
from .distributed import Processes
from .gradients import Gradients
from .interrupt import StopOnSignal
from .made import MadeStep, Numbers, check_finite
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

    `saver`, `states` and `previews` are None in all processes but the main one; where these share one model (`shards`), the
    others serve it meanwhile.
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
    shards: Shards | None = None
    saver: Saver | None = None
    states: StateSaver | None = None
    previews: Previews | None = None
    position: Position = Position()
    epochs_done: int = 0
    stopped: bool = False
    average: LossAverage = field(init=False)
    sharing: Sharing = field(init=False)
    asked: Asked = field(init=False)
    _speed: Speed = field(default_factory=Speed)
    _parks: float = 0  # how many processes were asked to leave the card
    _made: MadeStep | None = None  # the step whose loss was not told yet
    _replaced: set[str] = field(default_factory=set)  # what was told of images that could not be read

    def __post_init__(self) -> None:
        self.average = LossAverage(self.counts.steps_per_epoch)
        self._peak = Peak(self.processes.device)
        self._spill = Spill(lambda: CardMemory.of(self.processes.device))
        self.asked = Asked(self.reporter.control)
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
        coming = Ahead(batches)
        for epoch in range(self.position.epoch, self.counts.epochs):
            for group in self._groups(epoch):
                try:
                    made = self._begin_step(group, coming)
                except RuntimeError:  # a data-loader process that ended of the same signal as we were asked to stop by
                    if not self.signals.asked:
                        raise
                    made = False
                if not made:
                    self.settle()
                    self.stopped = True
                    return
                if self.pictures is not None:
                    self.pictures.after_step(self.step)
                if self._can_go_on():
                    continue
                self.settle()
                self._after_step()
                self._leave_card_if_asked()
                if self.stopped:
                    return
            self.epochs_done = epoch + 1
            self._after_epoch()

    def settle(self) -> None:
        """Tell of the step that was made last, if it was not told yet: all that looks at a training comes after this.

        Raises NotFiniteError, saying at which step; that step has changed nothing.
        """
        made, self._made = self._made, None
        if made is None:
            return
        try:
            loss = made.known_loss()
        except NotFiniteError:
            self.updater.take_back()
            self.position, self.epochs_done = made.position, made.epochs_done
            if self.pictures is not None:
                self.pictures.forget(made.number)
            raise
        self._report(made, loss, self.average.add(loss))

    def _begin(self) -> None:
        self.epochs_done = self.position.epoch
        if self.saver is not None:
            self.saver.begin(self.step, self.epochs_done)
        if self.states is not None:
            self.states.begin(self.step)
        if not self.step:
            self._validate()
            with self.served():
                self._draw_samples(at_first=True)
        self._speed.resume()

    def served(self) -> AbstractContextManager[None]:
        """All processes come here: what the main one does within may need whole weights of a model that they share."""
        return self.shards.served() if self.shards else nullcontext()

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
        return {"average": self.average.state_dict(), **measured}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.average.load_state_dict(state["average"])
        if self.validation is not None and "validation" in state:
            self.validation.load_state_dict(state["validation"])
        if self.pictures is not None and "pictures" in state:
            self.pictures.load_state_dict(state["pictures"])

    def make_step(self, group: Sequence[PlannedBatch], batches: Iterator[Batch]) -> float | None:
        """Train on `group`, wait for it, and return the loss, which nobody is told; None when it was told to stop before.

        Raises NotFiniteError as `run` does.
        """
        self._begin_step(group, Ahead(batches))
        made, self._made = self._made, None
        return None if made is None else made.known_loss()

    def _begin_step(self, group: Sequence[PlannedBatch], batches: Ahead) -> bool:
        """Train on `group`: the step is then `_made`, and is told by `settle`. Whether it was not told to stop before."""
        if self.parking.is_shared:
            self.settle()  # the step may have to be undone, and what is undone to is known
        own = [(self._told(next(batches)), planned.first - group[0].first) for planned in group]
        samples = sum(len(planned.images) for planned in group)
        made = self.sharing.step(lambda is_shared: self._step_on(own, samples, batches, may_split=not is_shared), self.step)
        if made is None:
            return False
        self._made, self.position = made, Position(self.position.epoch, self.position.batch + len(group))
        return True

    def _step_on(self, own: Sequence[tuple[Batch, int]], samples: int, batches: Ahead, *, may_split: bool) -> MadeStep:
        """Make the step of these batches, each with the number of samples before it. The loss is the mean over its samples.

        Raises NotFiniteError for a loss or gradients that are no number, of this step or of the one before, which have changed
        no weight.
        """
        number = self.updater.start()
        total = self.gradients.add(own, step=number, samples=samples, may_split=may_split)
        self.settle()  # the step before, while the device is at work on this one
        numbers = Numbers(total, self.updater.gather())
        stops = self.signals.asked or self.reporter.control().stop
        loss = None
        if self.updater.leaves_out:
            self.updater.step(unless=numbers.send())
            asked = float(stops)
        else:
            self._look_ahead(batches)
            values = numbers.read()
            values[0], asked, self._parks = self.processes.add_up([values[0], float(stops), float(self.parking.is_asked())])
            check_finite(values, number)
            self.updater.step()
            loss = values[0]
        self.stopped = bool(asked) and number < self.counts.total_steps  # after the last step there is nothing to stop
        return MadeStep(
            number=number,
            epoch=self.position.epoch + 1,
            samples=samples,
            rates=self.updater.rates,
            position=self.position,
            epochs_done=self.epochs_done,
            numbers=numbers,
            loss=loss,
        )

    def _look_ahead(self, batches: Ahead) -> None:
        """Read and draw what the step after the one at work begins with, before this one is waited for."""
        following = batches.peek() if self.step + 1 < self.counts.total_steps else None
        if following is not None and self.gradients.parts == 1:
            self.gradients.trainee.prepare(following, self.step + 2)

    def _told(self, batch: Batch) -> Batch:
        """`batch`; which of its images could not be read is told once."""
        for message in batch["replaced"]:
            if message not in self._replaced:
                self._replaced.add(message)
                self.reporter.emit({"type": "warning", "message": message})
        return batch

    def _can_go_on(self) -> bool:
        """Whether the next step may be begun before the loss of this one is known, because nothing else is to be done."""
        return self.updater.leaves_out and not self._something_follows()

    def _something_follows(self, epoch: int | None = None) -> bool:
        """Whether anything but the next step comes after this one, or after the end of `epoch`."""
        ends = self.stopped or self.signals.asked or self.step >= self.counts.total_steps
        if ends or self.reporter.control().is_shared or self.parking.is_asked():
            return True
        if self.validation is not None and self.validation.schedule.is_due(self.step, epoch):
            return True
        if self.saver is None:
            return False
        asked, plan = self.asked, self.saver.plan
        return (
            asked.to_save
            or asked.to_draw
            or asked.live_is_due(self.step, plan.live_every)
            or (plan.saves_step(self.step) if epoch is None else plan.saves_epoch(epoch, self.counts.epochs))
            or (self.states is not None and self.states.is_due())
            or (self.previews is not None and self.previews.schedule.is_due(self.step, epoch=epoch))
        )

    def _report(self, made: MadeStep, loss: float, average: float) -> None:
        spilled = self._spill.after_step(self._speed.add(made.samples), made.samples)
        event = telling.step_event(made, loss, average, self._speed)
        left, peak = self._seconds_left(made.number), self._peak()
        self.reporter.emit({**event, "seconds_left": left, "peak_memory": peak, **self.parking.measured()})
        if spilled:
            self.reporter.emit({"type": "warning", "message": spilled})

    def _seconds_left(self, first: int) -> float | None:
        """What the training will take yet, from what comes after step `first` on; None before a step was made."""
        done = (self.step, self.epochs_done) if self.step else None
        return telling.seconds_left(first, done, self.counts, self._speed, self.validation, self.previews)

    def _after_step(self) -> None:
        """Measure, save, then draw, if this step or the user asks for it."""
        self._validate()
        with self.served():
            if self.saver is not None:
                self._save_and_draw(self.saver)

    def _save_and_draw(self, saver: Saver) -> None:
        before = saver.last_step
        saver.after_step(self.step, self.epochs_done)
        self._save_if_asked()
        renewed = self._renew_live()
        drawn = self._draw_samples(asked=self.asked.to_draw)
        if not (self.stopped or self._epoch_is_whole or self.step >= self.counts.total_steps):
            self._keep_state()  # else after what the epoch's end brings
        if drawn or renewed or saver.last_step != before:
            self._speed.resume()

    def _leave_card_if_asked(self) -> None:
        """Let somebody else have the card, in all processes at once; after the last step nothing is left to go on with."""
        self.parking.tell_room(self.step)
        asked = self._parks if self.processes.world_size > 1 else self.parking.is_asked()
        if asked and not self.stopped and self.step < self.counts.total_steps:
            self.gradients.trainee.forget_prepared()
            self.stopped = self.parking.together(self.step, self._while_waiting)
            self._speed.resume()

    def _save_if_asked(self) -> None:
        """Save what was trained so far when the user wants it now; before the first step there is nothing yet."""
        if self.saver is not None and self.step and self.asked.to_save:
            self.asked.saves = self.reporter.control().save
            self.saver.on_demand(self.step, self.epochs_done)

    def _renew_live(self) -> bool:
        """Renew the file to try meanwhile, when its step has come or somebody asks; at the end there is a better one."""
        assert self.saver is not None
        is_due = self.asked.live_is_due(self.step, self.saver.plan.live_every)
        self.asked.lives = self.reporter.control().live
        if not is_due or self.stopped or self.step >= self.counts.total_steps:
            return False
        self.saver.live(self.step, self.epochs_done)
        return True

    def _while_drawing(self) -> bool:
        """Asked before each step of a sampler: whether to break off. Who asks to save does not wait for the pictures."""
        if not self.shards:  # else the parts of the weights are together now
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
        if self.saver is not None and self.reporter.control().live > self.asked.lives:
            self._renew_live()

    def _validate(self, epoch: int | None = None) -> None:
        """Measure the loss on the images kept aside, if it is time to, and save the best."""
        if self.validation is None or self.stopped:
            return
        validation = self.validation
        is_best = self.attempt(lambda: validation.after(self.step, self.epochs_done, epoch))
        if is_best is None:
            return
        with self.served():
            if is_best and self.saver is not None:
                self.saver.best(self.step, self.epochs_done, validation.best)
        self.reporter.emit({"type": "phase", "name": "training", "done": 0, "total": 0})
        self._speed.resume()

    def attempt(self, work: Callable[[], Result]) -> Result | None:
        """`work()`, again where a shared card was too full for it; None when it was told to stop before."""
        done = self.sharing.attempt(work, self.step)
        self.stopped = self.stopped or self.sharing.was_stopped
        return done

    def _after_epoch(self) -> None:
        goes_on = self._made is not None and not self._something_follows(self.epochs_done)
        if not goes_on:
            self.settle()
            self._validate(self.epochs_done)
            with self.served():
                if self.saver is not None:
                    self.saver.after_epoch(self.step, self.epochs_done, self.counts.epochs)
                    self._draw_samples(epoch=self.epochs_done)
        if self._epoch_is_whole:  # not where the last step cut it short: more steps would go on in it
            self.position = Position(self.epochs_done)
        if not goes_on:
            with self.served():
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
        self.gradients.trainee.forget_prepared()
        previews, left = self.previews, self._seconds_left(self.step + 1)
        numbered = 0 if at_first else epoch
        self.attempt(lambda: previews.draw(self.step, numbered, self._while_drawing, left))
        if self.step:  # who asked meanwhile has them; before the first step they were promised those after it
            self.asked.drawings = self.reporter.control().sample
        self.reporter.emit({"type": "phase", "name": "training", "done": 0, "total": 0})
        return True
