"""An embedding in training: the vectors that stand for a word (textual inversion, Gal et al. 2022, arXiv 2208.01618)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..options.block_arguments import Shape
from . import files


class Embedding(nn.Module):
    """`vectors`: one parameter [n, width], float32, for each text encoder, or [layers, n, width] with others for each
    cross-attention layer (XTI). The model reads them where a caption has `word`."""

    needs_autocast = False  # the model reads them in its own type

    def __init__(self, word: str, starts: Iterable[Tensor]) -> None:
        super().__init__()
        self.word = word
        self.vectors = nn.ParameterList(nn.Parameter(start.detach().float().clone()) for start in starts)
        self.multiplier = (1.0, 1.0)

    @property
    def shape(self) -> Shape:
        """The number of vectors stands for rank and alpha."""
        count = self.vectors[0].shape[-2]
        return Shape(count, float(count))

    def set_multiplier(self, text_encoder: float, unet: float | None = None) -> None:
        """A word has no strength besides its weight in a prompt: none but 1 can be asked for."""
        assert (text_encoder, unet) in ((1.0, None), (1.0, 1.0)), "an embedding has no strength"

    def adapters(self, part: str | None = None) -> Sequence[nn.Module]:
        """Itself, on the text encoders."""
        return [] if part == "unet" else [self]

    def parameter_groups(
        self, text_encoder_lr: float | Sequence[float] | None, unet_lr: float | None, default_lr: float | None
    ) -> list[dict[str, Any]]:
        """One group, of the general rate. Raises InputError when that is 0."""
        if not default_lr:
            advice = "Give a learning rate above 0, for example 5e-3."
            raise InputError("there is nothing to train: learning_rate is 0.", field="learning_rate", advice=advice)
        return [{"params": list(self.vectors), "lr": default_lr, "name": "embedding"}]

    def trained_parameters(self, part: str | None = None) -> list[nn.Parameter]:
        """The vectors, which are on the text encoders."""
        return [] if part == "unet" else list(self.vectors)

    def start_step(self, step: int) -> None:
        """Every step is like the others."""

    def end_step(self) -> None:
        """Nothing was prepared for it."""

    @torch.no_grad()
    def apply_max_norm(self, max_norm: float) -> Tensor:
        """Limit the length of each vector; [3]: how many were shrunk, mean and greatest length after it."""
        lengths = [vectors.norm(dim=-1, keepdim=True) for vectors in self.vectors]
        for vectors, length in zip(self.vectors, lengths, strict=True):
            vectors.mul_((max_norm / length.clamp(min=1e-12)).clamp(max=1.0))
        before = torch.cat([length.flatten() for length in lengths])
        after = before.clamp(max=max_norm)
        return torch.stack([(before > max_norm).sum().float(), after.mean(), after.max()])

    def training_state(self) -> dict[str, Tensor]:
        """The vectors by the names of their parameters."""
        return {name: tensor.detach() for name, tensor in self.named_parameters()}

    def state_dict(self, *_: Any, **__: Any) -> dict[str, Any]:
        """The vectors by the names of the file format."""
        return files.tensors_of([vectors.detach() for vectors in self.vectors])

    def files_beside(self) -> Mapping[str, Mapping[str, Tensor]]:
        """Nothing is saved beside a word."""
        return {}
