"""The model in training: from a batch to its loss."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from ..data.dataset import Batch
from ..models import Model
from ..models.conditioning import Conditioning
from ..models.sending import sent
from ..randomness import seed_of
from .conditioning import TextStates
from .encoding import Encoder
from .noise import DrawnNoise, NoiseSettings, draw_batch
from .objective import Objective
from .picture_losses import PictureLosses
from .precision import Precision
from .trained import Trained


@dataclass(frozen=True)
class Inputs:
    """What the loss of a batch is computed from, on the device: latents [B, 4, h, w] float32, text, what was drawn, masks
    [B, h, w] or None, and how much each sample counts, [B]."""

    latents: torch.Tensor
    conditioning: Conditioning
    drawn: DrawnNoise
    masks: torch.Tensor | None
    weights: torch.Tensor


@dataclass(frozen=True)
class Trainee:
    """The model (with the network on it) and everything that the loss depends on; nothing of how the weights are changed.

    `network` is asked for to give it the strength of the data set at hand (network_multiplier); `pictures` hears of each
    sample's loss. `always_computes`: also in a batch of which this process has no sample, because others need its part of the
    weights.
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
    always_computes: bool = False
    _early: dict[int, tuple[Batch, Inputs]] = field(default_factory=dict, repr=False)  # by step: its first batch

    def batch_loss(self, batch: Batch, *, step: int, offset: int, samples: int) -> torch.Tensor:
        """Return this batch's part of the loss of optimizer step `step`, a scalar with gradients.

        The loss of a step is the mean over its `samples` samples, of all its batches and processes: every sample counts the
        same, however the step is cut. `offset` is the number of samples in the step's earlier batches.
        """
        positions = [offset + index for index in batch["indices"].tolist()]
        if not positions and self.always_computes:
            return self._nothing()
        if not positions:  # a process without a sample in this batch
            return torch.zeros((), device=self.precision.device, requires_grad=True)
        self.set_strength(batch["network_multiplier"])
        torch.manual_seed(seed_of(self.seed, "dropout", step, positions[0]))
        early = self._early.pop(step, None)
        given = early[1] if early is not None and early[0] is batch else self._inputs(batch, step, positions)
        losses = self.objective.losses(self.model, given.latents, given.conditioning, given.drawn, self.precision, given.masks)
        if self.pictures is not None:
            self.pictures.add(step, batch["image_ids"], given.drawn.timesteps, losses, given.masks)
        return (losses * given.weights).sum() / samples

    def _nothing(self) -> torch.Tensor:
        """0, with gradients of 0 for all that is trained: of a sample as small as there is."""
        device = self.precision.device
        text = self.text.of_any_caption()
        if text.pooled is not None:
            text = text.with_sizes(*(torch.zeros(1, 2) for _ in range(3)))
        latents, timesteps = torch.zeros(1, 4, 8, 8, device=device), torch.zeros(1, dtype=torch.long, device=device)
        return (self.objective.errors(self.model, latents, text, latents, timesteps, self.precision) * 0.0).sum()

    def prepare(self, batch: Batch, step: int) -> None:
        """Make now what the first batch of `step` will be computed from, while the device is at work on what comes before.

        Only where that depends on nothing that changes, and takes no memory of weight: kept latents, and texts that are not
        trained. All of it is a pure function of seed, step and place, so nothing but the time is another.
        """
        if not self.text.trained and batch.get("latents") is not None and len(batch["captions"]):
            self._early[step] = batch, self._inputs(batch, step, batch["indices"].tolist())

    def forget_prepared(self) -> None:
        """Keep nothing on the device for the next step: somebody else wants the memory. It is made anew when it is needed."""
        self._early.clear()

    def _inputs(self, batch: Batch, step: int, positions: list[int]) -> Inputs:
        device, kept = self.precision.device, batch.get("latents")
        latents = self.encoder.at_step(batch["images"], step, positions) if kept is None else sent(kept, device).float()
        known = latents if kept is None else kept  # where its values can be read without waiting
        drawn = draw_batch(known, self.noise, seed=self.seed, step=step, positions=positions, device=device)
        text = self.text(batch["captions"])
        if text.pooled is not None:  # a UNet that reads no summary reads no sizes
            text = text.with_sizes(batch["original_sizes"], batch["crop_top_lefts"], batch["target_sizes"])
        masks = sent(batch["masks"], device) if "masks" in batch else None
        return Inputs(latents, text, drawn, masks, sent(batch["loss_weights"], device).float())

    def set_strength(self, multiplier: float) -> None:
        """Let the network have `multiplier` times its effect until another one is set: also in the backward pass, which may
        compute the forward pass again."""
        if self.network is not None and self.network.multiplier != (multiplier, multiplier):
            self.network.set_multiplier(multiplier)
