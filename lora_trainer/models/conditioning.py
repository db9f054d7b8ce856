"""What a UNet reads besides latents and timestep: the caption as text states, and for SDXL a summary of it and the sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from .sending import sent


@dataclass(frozen=True)
class Conditioning:
    """The conditioning of a batch.

    `states` [B, positions, C]: the text states. `pooled` [B, P]: the caption as a whole, for SDXL; None for the others.
    `sizes` [B, 6] float32: original height and width, top and left of the crop, height and width of the picture, in pixels,
    for SDXL ("micro-conditioning", Podell et al. 2023); None where nobody has given them.
    """

    states: torch.Tensor
    pooled: torch.Tensor | None = None
    sizes: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.states)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Conditioning:
        """Move to `device`; states and summary get `dtype`. Sizes stay float32: half precision cannot tell 1023 from 1024."""
        return Conditioning(
            self.states.to(device, dtype),
            None if self.pooled is None else self.pooled.to(device, dtype),
            None if self.sizes is None else self.sizes.to(device),
        )

    def sent(self, device: torch.device) -> Conditioning:
        """Send it to `device`, for which nobody waits."""
        return self._each(lambda tensor: sent(tensor, device))

    def with_sizes(self, original: torch.Tensor, crop: torch.Tensor, target: torch.Tensor) -> Conditioning:
        """Add sizes: (height, width), (top, left) and (height, width), each [B, 2] in pixels."""
        sizes = torch.cat([original, crop, target], dim=1).float()
        return Conditioning(self.states, self.pooled, sent(sizes, self.states.device))

    def expand(self, count: int) -> Conditioning:
        """The conditioning of one sample for `count` of them (no memory is used); one of `count` samples as it is."""
        return self._each(lambda tensor: tensor.expand(count, *tensor.shape[1:]))

    def rows(self) -> list[Conditioning]:
        """The samples, each as a batch of one."""
        return [self._each(lambda tensor, at=at: tensor[at : at + 1]) for at in range(len(self))]

    def zeros(self) -> Conditioning:
        """Zeros in place of states and summary."""
        return Conditioning(
            torch.zeros_like(self.states), None if self.pooled is None else torch.zeros_like(self.pooled), self.sizes
        )

    def clone(self) -> Conditioning:
        """A copy with memory of its own."""
        return self._each(torch.clone)

    @staticmethod
    def join(parts: Sequence[Conditioning]) -> Conditioning:
        """One batch of all samples, which have the same number of positions."""

        def joined(tensors: Sequence[torch.Tensor | None]) -> torch.Tensor | None:
            there = [tensor for tensor in tensors if tensor is not None]
            return torch.cat(there) if there else None

        states = torch.cat([part.states for part in parts])
        return Conditioning(states, joined([part.pooled for part in parts]), joined([part.sizes for part in parts]))

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Conditioning:
        pooled = None if self.pooled is None else change(self.pooled)
        return Conditioning(change(self.states), pooled, None if self.sizes is None else change(self.sizes))
