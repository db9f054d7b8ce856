"""The Web UI's own classes for the demo model's sizes. Imported in the Web UI's process, where this extension runs.

The Web UI builds a model from the `target`s of its YAML and wants widths that are whole multiples of the first. The demo
model's are not (64 and 96), so its YAML names the functions below.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


class Multiple(float):
    """A number that gives a whole one when it is multiplied: the Web UI's classes use `channels * multiple` as a count."""

    def __mul__(self, other: object) -> int:  # type: ignore[override]
        return round(super().__mul__(other))  # type: ignore[operator]

    __rmul__ = __mul__


def unet(channel_mult: Iterable[float], **others: Any) -> Any:
    """Return the Web UI's UNet, whose widths need not be whole multiples of the first; called by it, as the YAML says."""
    from ldm.modules.diffusionmodules.openaimodel import UNetModel

    return UNetModel(channel_mult=[Multiple(share) for share in channel_mult], **others)


def vae(ddconfig: Mapping[str, Any], **others: Any) -> Any:
    """Return the Web UI's VAE, in the same way."""
    from ldm.models.autoencoder import AutoencoderKL

    return AutoencoderKL(ddconfig={**ddconfig, "ch_mult": tuple(map(Multiple, ddconfig["ch_mult"]))}, **others)
