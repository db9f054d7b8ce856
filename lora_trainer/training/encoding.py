"""From images to latents, with noise that depends on the image alone (cached) or on the step (not cached)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from ..data.cache import LatentsCache
from ..data.masks import Masks, has_masks
from ..data.plan import DataPlan
from ..models import Model, vae
from ..options.dataset import DatasetOptions
from ..randomness import seed_of
from .memory import Resting
from .phases import Emit, phase


class Encoder:
    """The VAE as a function from images to scaled latents; every image has a draw of its own."""

    def __init__(self, model: Model, seed: int, device: torch.device, resting: Resting | None = None) -> None:
        self._model = model
        self._seed = seed
        self._device = device
        self.resting = resting or Resting(device)

    def __call__(self, images: torch.Tensor, image_ids: Sequence[int]) -> torch.Tensor:
        """Return latents [B, 4, H/8, W/8], float32 on the device, for images [B, 3, H, W] in -1..1 and their ids."""
        return self._encode(images, [("latents", int(image)) for image in image_ids])

    def at_step(self, images: torch.Tensor, step: int, positions: Sequence[int]) -> torch.Tensor:
        """The same with new draws at every step."""
        return self._encode(images, [("latents at step", step, position) for position in positions])

    def means(self, images: torch.Tensor, image_ids: Sequence[int]) -> torch.Tensor:
        """The same without a draw: the middle of what the VAE finds likely, which no seed changes."""
        return self._encode(images, [None] * len(image_ids))

    def free(self) -> None:
        """The VAE is not needed for now."""
        self.resting.put_away(self._model.vae)

    def _encode(self, images: torch.Tensor, keys: Sequence[tuple | None]) -> torch.Tensor:
        """Latents with a draw by each of `keys`, without one where it is None."""
        shape = (4, images.shape[-2] // vae.FACTOR, images.shape[-1] // vae.FACTOR)
        noise = torch.stack([torch.zeros(shape) if key is None else self._draw(shape, key) for key in keys])
        self._model.vae.to(self._device)
        scale = self._model.family.latent_scale
        return vae.encode(self._model.vae, images.to(self._device), noise.to(self._device), scale=scale)

    def _draw(self, shape: Sequence[int], key: tuple) -> torch.Tensor:
        return torch.randn(*shape, generator=torch.Generator("cpu").manual_seed(seed_of(self._seed, *key)))


def cached_latents(
    options: DatasetOptions, plan: DataPlan, encoder: Encoder, emit: Emit, should_stop: Callable[[], bool]
) -> LatentsCache | None:
    """Encode all images once and free the VAE's memory; None when it is not wanted, or was stopped."""
    if not options.cache_latents:
        return None
    cache = LatentsCache.build(
        plan,
        encoder,
        batch_size=options.vae_batch_size,
        progress=phase(emit, "encoding the images"),
        should_stop=should_stop,
    )
    encoder.free()
    return cache


def kept_masks(latents: LatentsCache | None, plan: DataPlan, emit: Emit) -> Masks | None:
    """The masks of a plan, read once where its latents are kept, too: without these each image may be cut anew at each use."""
    if latents is None or not has_masks(plan):
        return None
    return Masks.read(plan, [image for image in plan.images if image.repeats], phase(emit, "reading the masks"))
