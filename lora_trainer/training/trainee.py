"""The model in training: from a batch to its loss."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..data.dataset import Batch
from ..models import Model
from ..randomness import seed_of
from .conditioning import TextStates
from .encoding import Encoder
from .noise import NoiseSettings, draw_batch
from .objective import Objective
from .picture_losses import PictureLosses
from .precision import Precision
from .trained import Trained


@dataclass(frozen=True)
class Trainee:
    """The model (with the network on it) and everything that the loss depends on; nothing of how the weights are changed.

    `network` is asked for to give it the strength of the data set at hand (network_multiplier); `pictures` hears of each
    sample's loss.
    """

    model: Model
    text: TextStates
    encoder: Encoder
    objective: Objective
    noise: NoiseSettings
    precision: Precision
    seed: int
    network: Trained | None = None
    pictures: PictureLosses | None = None

    def batch_loss(self, batch: Batch, *, step: int, offset: int, samples: int) -> torch.Tensor:
        """Return this batch's part of the loss of optimizer step `step`, a scalar with gradients.

        The loss of a step is the mean over its `samples` samples, of all its batches and processes: every sample counts the
        same, however the step is cut. `offset` is the number of samples in the step's earlier batches.
        """
        positions = [offset + int(index) for index in batch["indices"]]
        if not positions:  # a process without a sample in this batch
            return torch.zeros((), device=self.precision.device, requires_grad=True)
        self.set_strength(batch["network_multiplier"])
        torch.manual_seed(seed_of(self.seed, "dropout", step, positions[0]))
        latents = self._latents(batch, step, positions)
        drawn = draw_batch(latents, self.noise, seed=self.seed, step=step, positions=positions)
        text = self.text(batch["captions"])
        sized = text.with_sizes(batch["original_sizes"], batch["crop_top_lefts"], batch["target_sizes"])
        masks = batch["masks"].to(latents.device, non_blocking=True) if "masks" in batch else None
        losses = self.objective.losses(self.model, latents, sized, drawn, self.precision, masks)
        if self.pictures is not None:
            self.pictures.add(step, batch["image_ids"], drawn.timesteps, losses, masks)
        weights = batch["loss_weights"].to(losses.device, losses.dtype, non_blocking=True)
        return (losses * weights).sum() / samples

    def set_strength(self, multiplier: float) -> None:
        """Let the network have `multiplier` times its effect until another one is set: also in the backward pass, which may
        compute the forward pass again."""
        if self.network is not None and self.network.multiplier != (multiplier, multiplier):
            self.network.set_multiplier(multiplier)

    def _latents(self, batch: Batch, step: int, positions: list[int]) -> torch.Tensor:
        if batch.get("latents") is not None:
            return batch["latents"].to(self.precision.device, torch.float32, non_blocking=True)
        return self.encoder.at_step(batch["images"], step, positions)
