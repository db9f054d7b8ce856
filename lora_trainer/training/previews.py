"""Sample pictures while training. A picture that fails costs a warning, never the training."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..checkpoints.sharding import is_sharded
from ..data.plan import DataPlan
from ..errors import LoraTrainerError, OutOfMemoryError
from ..log import logger
from ..models import Model
from ..options.sampling import SamplingOptions
from ..sampling import preview, sample_requests
from ..sampling.prompts import SamplePrompt, parse_prompt_file
from ..sampling.turns import Turns, turns
from .checkpoint import SavePlan
from .memory import Resting
from .phases import Emit
from .precision import Precision
from .trained import Trained
from .trainee import Trainee

PHASE = "drawing samples"
_SECONDS_BETWEEN_PHASES = 1.0
_SHARE_OF_A_STEP = 2 / 3  # two forward passes a sampler step (with and without the prompt) against one and its gradients


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """When pictures are drawn."""

    every_steps: int | None = None
    every_epochs: int | None = None
    at_first: bool = False

    @classmethod
    def of(cls, options: SamplingOptions) -> Schedule:
        """What the options say."""
        return cls(
            every_steps=options.sample_every_n_steps,
            every_epochs=options.sample_every_n_epochs,
            at_first=options.sample_at_first,
        )

    def is_due(self, step: int, *, at_first: bool = False, epoch: int | None = None) -> bool:
        """Whether pictures are drawn now: before the first step, after `step`, or at the end of `epoch` (from 1).

        `every_epochs` takes the place of `every_steps`.
        """
        if at_first:
            return self.at_first
        if epoch is not None or self.every_epochs:
            return bool(epoch and self.every_epochs) and epoch % self.every_epochs == 0
        return bool(self.every_steps) and step % self.every_steps == 0

    def times_to_come(self, steps: tuple[int, int], epochs: tuple[int, int]) -> int:
        """How often pictures will be drawn: after which of the steps and epochs (first, last) that are still to end."""
        every, (first, last) = (self.every_epochs, epochs) if self.every_epochs else (self.every_steps, steps)
        return last // every - (first - 1) // every if every else 0


@dataclass(frozen=True)
class Previews:
    """Draws `prompts` into `folder` when it is time to. The pictures' randomness is their own: training is not changed.

    `size` (width, height) is that of a prompt that gives none, the training's own. Within `with shown():` the network's weights
    are those to draw with. `attempt(work)` is how one is drawn (Sharing.attempt).
    """

    model: Model
    network: Trained
    prompts: Sequence[SamplePrompt]
    folder: Path
    name: str
    seed: int
    sampler: str
    clip_skip: int
    size: tuple[int, int]
    precision: Precision
    emit: Emit
    schedule: Schedule
    shown: Callable[[], AbstractContextManager[None]] = nullcontext
    resting: Resting | None = None
    attempt: Callable[[Callable[[], Any]], Any] = lambda work: work()
    watch: DrawingTime = field(default_factory=lambda: DrawingTime())

    @classmethod
    def of(
        cls,
        options: SamplingOptions,
        prompts: Sequence[SamplePrompt],
        trainee: Trainee,
        network: Trained,
        saving: SavePlan,
        plan: DataPlan,
        emit: Emit,
        shown: Callable[[], AbstractContextManager[None]] = nullcontext,
        attempt: Callable[[Callable[[], Any]], Any] = lambda work: work(),
    ) -> Previews | None:
        """What draws `prompts`; None when there are none. The pictures go to the folder `sample` of the output folder."""
        if not prompts:
            return None
        return cls(
            model=trainee.model,
            network=network,
            prompts=prompts,
            folder=saving.folder / "sample",
            name=saving.name or "",
            seed=trainee.seed,
            sampler=options.sample_sampler,
            clip_skip=trainee.text.clip_skip,
            size=max(plan.datasets, key=lambda dataset: dataset.train_images).resolution,
            precision=trainee.precision,
            emit=emit,
            schedule=Schedule.of(options),
            resting=trainee.encoder.resting,
            shown=shown,
            attempt=attempt,
        )

    def seconds_to_come(self, times: int, samples_per_second: float) -> float:
        """How long drawing `times` more often will take: as it took before, at first guessed from the training's speed."""
        if not times:
            return 0.0
        if self.watch.seconds is not None:
            return times * self.watch.seconds
        area = self.size[0] * self.size[1]
        images = [self.request(prompt) for prompt in self.prompts]
        work = sum(image.steps * image.width * image.height / area for image in images)
        return times * work * _SHARE_OF_A_STEP / max(samples_per_second, 1e-9)

    def draw(self, step: int, epoch: int | None, should_stop: Callable[[], bool], seconds_after: float | None = None) -> None:
        """Draw all prompts with the weights as they are now.

        `should_stop` is asked before each step of the sampler. `seconds_after` is what remains of the training afterwards,
        None where that is not known yet; the time left that is told meanwhile comes from it.
        """
        parts = [part for part in (*self.model.text_encoders, self.model.vae) if not is_sharded(part)]
        places = [next(part.parameters()).device for part in parts]
        numbered = [one if one.enum is not None else replace(one, enum=number) for number, one in enumerate(self.prompts)]
        try:
            self.network.set_multiplier(1.0)
            self.watch.begin([self.request(prompt).steps for prompt in numbered], seconds_after)
            in_turns = self._turns()
            for part in parts if in_turns is None else ():
                part.to(self.precision.device)
            with self.shown():
                for number, prompt in enumerate(numbered):
                    if not should_stop():
                        self._draw_one(number, prompt, step, epoch, should_stop, in_turns)
            if not should_stop():
                self.watch.end()
        except OutOfMemoryError as error:  # of all weights of a model in parts, before the first picture
            self.emit({"type": "warning", "message": f"No sample pictures of step {step} were drawn: {error}"})
        finally:
            for part, place in zip(parts, places, strict=True):
                part.to(place)
            (self.resting or Resting(self.precision.device)).give_back()

    def _turns(self) -> Turns | None:
        """How the pictures are drawn with the memory that is free now: text encoders and VAE one after the other, where they do
        not find room beside what is trained."""
        resting = self.resting or Resting(self.precision.device)
        if resting.stays or any(map(is_sharded, self.model.text_encoders)):
            return None
        requests = [self.request(prompt) for prompt in self.prompts]
        largest = max(((one.width, one.height) for one in requests), key=math.prod)
        return turns(self.model, largest, self.precision.device, resting.put_away)

    def request(self, prompt: SamplePrompt) -> preview.ImageRequest:
        """What is drawn for a prompt."""
        return sample_requests.request_of(prompt, sampler=self.sampler, clip_skip=self.clip_skip, size=self.size)

    def _tell(self, number: int, done: int, steps: int = 0) -> None:
        """Say which picture is being drawn, how far (`done` of its `steps`), and how long the training will take yet."""
        left = self.watch.left(number, done)
        known = {} if left is None else {"seconds_left": left}
        share = (number + (done / steps if steps else 0)) / len(self.prompts)
        self.emit({"type": "phase", "name": PHASE, "done": number + 1, "total": len(self.prompts), "share": share, **known})

    def _draw_one(
        self,
        number: int,
        prompt: SamplePrompt,
        step: int,
        epoch: int | None,
        should_stop: Callable[[], bool],
        in_turns: Turns | None,
    ) -> None:
        self._tell(number, 0)
        said = time.monotonic()

        def told(done: int, steps: int) -> None:
            nonlocal said
            if time.monotonic() - said >= _SECONDS_BETWEEN_PHASES:
                said = time.monotonic()
                self._tell(number, done, steps)

        try:
            with self.precision.autocast():
                drawn = self.attempt(
                    lambda: preview.draw(
                        self.model,
                        [prompt],
                        self.folder,
                        name=self.name,
                        step=step,
                        epoch=epoch,
                        seed=self.seed,
                        sampler=self.sampler,
                        clip_skip=self.clip_skip,
                        size=self.size,
                        network=self.network,
                        turns=in_turns,
                        progress=told,
                        should_stop=should_stop,
                    )
                )
        except Exception as error:  # whatever it is, the training goes on
            logger.warning(
                "sample picture %d of step %d failed", number, step, exc_info=not isinstance(error, LoraTrainerError)
            )
            self.emit({"type": "warning", "message": f"A sample picture of step {step} could not be drawn: {error}"})
            return
        for sample in drawn or ():
            self.emit({"type": "sample", "path": str(sample.path), "step": step, "prompt": sample.prompt, "seed": sample.seed})


@dataclass
class DrawingTime:
    """How long drawing all prompts once takes. `seconds`: as last time, None before the first."""

    seconds: float | None = None
    _began: float = 0.0
    _steps: Sequence[int] = ()
    _after: float | None = None

    def begin(self, steps: Sequence[int], after: float | None) -> None:
        """Begin to draw pictures of so many sampler steps each; `after` seconds of training remain then."""
        self._began, self._steps, self._after = time.monotonic(), steps, after

    def end(self) -> None:
        """All have been drawn."""
        self.seconds = time.monotonic() - self._began

    def left(self, number: int, done: int) -> float | None:
        """Seconds until the training ends, when picture `number` (from 0) has `done` steps; None while nobody can say."""
        total, before = sum(self._steps), sum(self._steps[:number]) + done
        if self._after is None or not before and self.seconds is None:
            return None
        spent = time.monotonic() - self._began
        here = self.seconds - spent if self.seconds is not None else spent * (total - before) / before
        return self._after + max(0.0, here)


def sample_prompts(options: SamplingOptions) -> list[SamplePrompt]:
    """Return the prompts to draw while training; none when nothing says when. Raises InputErrors for bad ones."""
    wanted = options.sample_every_n_steps or options.sample_every_n_epochs or options.sample_at_first
    if not options.sample_prompts or not wanted:
        return []
    prompts = parse_prompt_file(options.sample_prompts)
    sample_requests.check(prompts, options.sample_sampler)
    return prompts
