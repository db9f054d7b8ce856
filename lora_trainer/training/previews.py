"""Sample pictures while training. A picture that fails costs a warning, never the training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..models import Model
from ..networks.network import Network
from ..options import TrainOptions
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
    options: TrainOptions
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
        self.network.eval()
        try:
            for part in parts:
                part.to(self.precision.device)
            self._draw(step, epoch, should_stop)
        except Exception as error:  # noqa: BLE001 - whatever it is, the training goes on
            self.emit({"type": "warning", "message": f"The sample pictures of step {step} failed: {error}", "step": step})
        finally:
            self.network.train()
            for part, place in zip(parts, places, strict=True):
                part.to(place)
            if self.precision.device.type == "cuda":
                torch.cuda.empty_cache()

    def _draw(self, step: int, epoch: int | None, should_stop: Callable[[], bool]) -> None:
        from ..sampling import preview

        raise NotImplementedError(preview)


def sample_prompts(options: TrainOptions) -> list[SamplePrompt]:
    """Return the prompts to draw while training; none when nothing says when. Raises InputErrors for a bad prompt file."""
    chosen = options.sampling
    wanted = chosen.sample_every_n_steps or chosen.sample_every_n_epochs or chosen.sample_at_first
    return parse_prompt_file(chosen.sample_prompts) if chosen.sample_prompts and wanted else []


def previews(
    options: TrainOptions,
    prompts: Sequence[SamplePrompt],
    model: Model,
    network: Network,
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
        options=options,
        precision=precision,
        emit=emit,
        every_steps=chosen.sample_every_n_steps,
        every_epochs=chosen.sample_every_n_epochs,
        at_first=chosen.sample_at_first,
    )
