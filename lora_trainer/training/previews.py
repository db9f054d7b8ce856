"""Sample pictures while training. A picture that fails costs a warning, never the training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..log import logger
from ..models import Model
from ..networks.network import Network
from ..options import TrainOptions
from ..sampling import preview
from ..sampling.prompts import SamplePrompt, parse_prompt_file
from .precision import Precision


@dataclass(frozen=True)
class Previews:
    """Draws `prompts` into `folder` when it is time to. The pictures' randomness is their own: training is not changed."""

    model: Model
    network: Network
    prompts: Sequence[SamplePrompt]
    folder: Path
    name: str
    seed: int
    sampler: str
    clip_skip: int
    precision: Precision
    emit: Callable[[dict[str, Any]], object]
    every_steps: int | None = None
    every_epochs: int | None = None
    at_first: bool = False

    def is_due(self, step: int, *, at_first: bool = False, epoch: int | None = None) -> bool:
        """Whether pictures are drawn now: before the first step, after `step`, or at the end of `epoch` (from 1)."""
        if at_first:
            return self.at_first
        if epoch is not None:
            return bool(self.every_epochs) and epoch % self.every_epochs == 0
        return bool(self.every_steps) and step % self.every_steps == 0

    def draw(self, step: int, epoch: int | None, should_stop: Callable[[], bool]) -> None:
        """Draw all prompts with the weights as they are now."""
        parts = [*self.model.text_encoders, self.model.vae]
        places = [next(part.parameters()).device for part in parts]
        try:
            for part in parts:
                part.to(self.precision.device)
            for number, prompt in enumerate(self.prompts):
                if not should_stop():
                    self._draw_one(number, prompt, step, epoch, should_stop)
        finally:
            for part, place in zip(parts, places, strict=True):
                part.to(place)
            if self.precision.device.type == "cuda":
                torch.cuda.empty_cache()

    def _draw_one(
        self, number: int, prompt: SamplePrompt, step: int, epoch: int | None, should_stop: Callable[[], bool]
    ) -> None:
        numbered = prompt if prompt.enum is not None else replace(prompt, enum=number)
        try:
            with self.precision.autocast():
                drawn = preview.draw(
                    self.model,
                    [numbered],
                    self.folder,
                    name=self.name,
                    step=step,
                    epoch=epoch,
                    seed=self.seed,
                    sampler=self.sampler,
                    clip_skip=self.clip_skip,
                    network=self.network,
                    should_stop=should_stop,
                )
        except Exception as error:  # whatever it is, the training goes on
            logger.warning("sample picture %d of step %d failed", number, step, exc_info=True)
            self.emit({"type": "warning", "message": f"A sample picture of step {step} could not be drawn: {error}"})
            return
        for sample in drawn:
            self.emit({"type": "sample", "path": str(sample.path), "step": step, "prompt": sample.prompt, "seed": sample.seed})


def sample_prompts(options: TrainOptions) -> list[SamplePrompt]:
    """Return the prompts to draw while training; none when nothing says when. Raises InputErrors for bad ones."""
    chosen = options.sampling
    wanted = chosen.sample_every_n_steps or chosen.sample_every_n_epochs or chosen.sample_at_first
    if not chosen.sample_prompts or not wanted:
        return []
    prompts = parse_prompt_file(chosen.sample_prompts)
    preview.check(prompts, chosen.sample_sampler)
    return prompts


def previews(
    options: TrainOptions,
    prompts: Sequence[SamplePrompt],
    model: Model,
    network: Network,
    seed: int,
    precision: Precision,
    emit: Callable[[dict[str, Any]], object],
) -> Previews | None:
    """Return what draws `prompts`; None when there are none. The pictures go to the folder `sample` of the output folder."""
    if not prompts:
        return None
    chosen = options.sampling
    return Previews(
        model=model,
        network=network,
        prompts=prompts,
        folder=Path(options.saving.output_dir or ".") / "sample",
        name=options.saving.output_name or "",
        seed=seed,
        sampler=chosen.sample_sampler,
        clip_skip=options.model.clip_skip or 1,
        precision=precision,
        emit=emit,
        every_steps=chosen.sample_every_n_steps,
        every_epochs=chosen.sample_every_n_epochs,
        at_first=chosen.sample_at_first,
    )
