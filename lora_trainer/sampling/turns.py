"""Where the parts of a model are while a picture is made: all on the card, or each while it is its turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from ..models import vae
from ..models.card import spare

if TYPE_CHECKING:
    from ..models import Model

_TIGHT = 0.92  # of what is free: more may not be there the next time


@dataclass(frozen=True)
class Turns:
    """Text encoders and VAE come to `device` for their part of a picture and are `put_away` after it; the UNet stays there.

    The VAE then decodes `tile` latents at a time (models.vae.decode), where that is not None.
    """

    device: torch.device
    put_away: Callable[..., object]
    tile: int | None = None

    @contextmanager
    def of(self, parts: Iterable[nn.Module]) -> Iterator[None]:
        """While this holds, it is the turn of `parts`."""
        parts = list(parts)
        try:
            for part in parts:
                part.to(self.device)
            yield
        finally:
            self.put_away(*parts)


def needed(model: Model, size: tuple[int, int], device: torch.device) -> tuple[int, int]:
    """(the bytes that the text encoders and the VAE have yet to take on `device`, what decoding a picture of `size`, its width
    and height, takes beside them)."""
    parts = [*model.text_encoders, model.vae]
    elsewhere = [p for part in parts for p in (*part.parameters(), *part.buffers()) if p.device.type != device.type]
    return sum(tensor.nbytes for tensor in elsewhere), vae.decoding_memory(model.vae, *size)


def turns(model: Model, size: tuple[int, int], device: torch.device, put_away: Callable[..., object]) -> Turns | None:
    """How pictures of `size` are drawn with what is free now: None where everything finds room on the card at once."""
    there = spare(device)
    if there is None or sum(needed(model, size, device)) <= _TIGHT * there:
        return None
    alone = sum(p.nbytes for p in model.vae.parameters()) + vae.decoding_memory(model.vae, *size)
    return Turns(device, put_away, None if alone <= _TIGHT * there else vae.TILE)
