"""What a training changes, as the pieces of a training see it: a network today, other things by the same few methods."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch

from ..checkpoints.whole_model import WholeModel
from ..networks.targets import Part
from ..options.block_arguments import Shape


class Trained(Protocol):
    """The thing in training. `Updater` changes it, `Saver` writes it; neither knows what it is."""

    @property
    def shape(self) -> Shape:
        """Rank and alpha, for the metadata."""
        ...

    needs_autocast: bool  # whether it computes with weights of another type than the model's, and leaves the casts to torch
    multiplier: tuple[float, float]  # the factors on its effect, on the text encoders and on the UNet

    def set_multiplier(self, text_encoder: float, unet: float | None = None) -> None:
        """Set the factors; one number sets both."""
        ...

    def parameters(self, recurse: bool = True) -> Iterator[torch.nn.Parameter]:
        """All its numbers, float32 on the device (between steps in another type where full_bf16 or full_fp16 say so)."""
        ...

    def adapters(self, part: Part | None = None) -> Sequence[torch.nn.Module]:
        """The modules that it has on one part of the model (on all when None), trained or not."""
        ...

    def parameter_groups(
        self, text_encoder_lr: float | Sequence[float] | None, unet_lr: float | None, default_lr: float | None
    ) -> list[dict[str, Any]]:
        """The optimiser's groups, `{"params": [...], "lr": ..., "name": ...}`, by the parts' rates (None: the default)."""
        ...

    def trained_parameters(self, part: Part | None = None) -> Sequence[torch.nn.Parameter]:
        """What a training changes, of one part (all when None); known after `parameter_groups`."""
        ...

    def start_step(self, step: int) -> None:
        """Called before each optimizer step, from 1."""
        ...

    def end_step(self) -> None:
        """Called when an optimizer step has changed the weights."""
        ...

    def apply_max_norm(self, max_norm: float) -> torch.Tensor:
        """Limit the length of what each layer learns; [3]: how many were shrunk, mean and greatest length after it."""
        ...

    def training_state(self) -> Mapping[str, torch.Tensor]:
        """All that training changes, exactly and in its own dtypes, for a training state: not copies, they are written to."""
        ...

    def state_dict(self) -> Mapping[str, torch.Tensor]:
        """What is saved, by the names of its file format."""
        ...

    def files_beside(self) -> Mapping[str, Mapping[str, torch.Tensor]]:
        """The tensors of files that are saved beside it, by what their names have besides its own: a word of a network."""
        ...


def is_finite(trained: Trained) -> bool:
    """Whether no weight is NaN or infinite."""
    if isinstance(trained, WholeModel):
        return math.isfinite(trained.largest())
    return bool(torch.stack([torch.isfinite(parameter.detach()).all() for parameter in trained.parameters()]).all())
