"""From images to latents, with noise that depends on the image alone (cached) or on the step (not cached)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from ..data.cache import LatentsCache
from ..data.entries import Shelves
from ..data.latents_store import LatentsStore
from ..data.masks import Masks, has_masks
from ..data.plan import DataPlan
from ..data.together import ALONE, Together
from ..models import Model, identity, vae
from ..options.dataset import DatasetOptions
from ..randomness import seed_of
from .memory import Resting
from .phases import Emit, phase


@dataclass(frozen=True)
class Draws:
    """Scaled latents [B, 4, h, w] drawn from `posterior` [B, 8, h, w] (mean and standard deviation), one draw for each image's
    id; without `seed` the middle of what the VAE finds likely, which no seed changes."""

    scale: float
    seed: int | None

    def __call__(self, posterior: torch.Tensor, ids: Sequence[int]) -> torch.Tensor:
        """On the device of `posterior`."""
        mean, std = posterior.chunk(2, dim=1)
        if self.seed is None:
            return mean * self.scale
        noise = torch.stack([_draw(self.seed, ("latents", int(image)), mean.shape[1:]) for image in ids])
        return (mean + std * noise.to(mean.device)) * self.scale


class Encoder:
    """The VAE as a function from images to scaled latents; every image has a draw of its own."""

    def __init__(self, model: Model, seed: int, device: torch.device, resting: Resting | None = None) -> None:
        self._model = model
        self._seed = seed
        self._device = device
        self.resting = resting or Resting(device)

    def __call__(self, images: torch.Tensor, image_ids: Sequence[int]) -> torch.Tensor:
        """Return latents [B, 4, H/8, W/8], float32, for images [B, 3, H, W] in -1..1 and their ids."""
        return self.drawn(images, image_ids)

    @property
    def drawn(self) -> TwoSteps:
        """The same as a function that can stop half way: what the VAE makes, and what is drawn from it."""
        return TwoSteps(self, Draws(self._model.family.latent_scale, self._seed))

    @property
    def means(self) -> TwoSteps:
        """The same without a draw."""
        return TwoSteps(self, Draws(self._model.family.latent_scale, None))

    def at_step(self, images: torch.Tensor, step: int, positions: Sequence[int]) -> torch.Tensor:
        """Latents on the device with new draws at every step."""
        mean, std = self.posterior(images).chunk(2, dim=1)
        keys = [("latents at step", step, position) for position in positions]
        noise = torch.stack([_draw(self._seed, key, mean.shape[1:]) for key in keys])
        return (mean + std * noise.to(mean.device)) * self._model.family.latent_scale

    def posterior(self, images: torch.Tensor) -> torch.Tensor:
        """Mean and standard deviation [B, 8, H/8, W/8] of the unscaled latents, on the device."""
        self._model.vae.to(self._device)
        return vae.posterior_to_keep(self._model.vae, images.to(self._device))

    def made_by(self) -> Mapping[str, str]:
        """What the posterior depends on besides the image: the VAE's weights, and the precision it computes in."""
        return identity.of_vae(self._model.vae)

    @property
    def suffix(self) -> str:
        """What files of sd-scripts with latents of this family end in."""
        return "sdxl" if self._model.family.name == "sdxl" else "sd"

    def free(self) -> None:
        """The VAE is not needed for now."""
        self.resting.put_away(self._model.vae)


@dataclass(frozen=True)
class TwoSteps:
    """An encoder for `LatentsCache.build`: from images to their `posterior`, and with `draw` to latents on the CPU."""

    encoder: Encoder
    draw: Draws

    def posterior(self, images: torch.Tensor) -> torch.Tensor:
        """See Encoder.posterior."""
        return self.encoder.posterior(images)

    def __call__(self, images: torch.Tensor, image_ids: Sequence[int]) -> torch.Tensor:
        """Drawn on the CPU, where what was read from the disk is drawn, too."""
        return self.draw(self.posterior(images).to("cpu"), image_ids)


def _draw(seed: int, key: tuple, shape: Sequence[int]) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator("cpu").manual_seed(seed_of(seed, *key)))


def latents_store(options: DatasetOptions, encoder: Encoder) -> LatentsStore | None:
    """Where the latents are kept for the next run; None when that is not wanted."""
    if not options.cache_latents_to_disk:
        return None
    return LatentsStore(encoder.made_by(), trusting=options.skip_cache_check, suffix=encoder.suffix)


def cached_latents(
    options: DatasetOptions,
    plan: DataPlan,
    encoder: Encoder,
    emit: Emit,
    should_stop: Callable[[], bool],
    store: LatentsStore | None = None,
    together: Together = ALONE,
) -> LatentsCache | None:
    """Encode all images once and free the VAE's memory; None when it is not wanted, or was stopped."""
    if not options.cache_latents:
        return None
    cache = LatentsCache.build(
        plan,
        encoder.drawn,
        batch_size=options.vae_batch_size,
        store=store,
        together=together,
        progress=phase(emit, "encoding the images"),
        should_stop=should_stop,
    )
    tell(store, emit)
    encoder.free()
    return cache


def kept_masks(latents: LatentsCache | None, plan: DataPlan, emit: Emit) -> Masks | None:
    """The masks of a plan, read once where its latents are kept, too: without these each image may be cut anew at each use."""
    if latents is None or not has_masks(plan):
        return None
    return Masks.read(plan, [image for image in plan.images if image.id in plan.shown], phase(emit, "reading the masks"))


def tell(store: LatentsStore | None, emit: Emit) -> None:
    """Say, once, what a store could not use or write, and where it writes when that is not beside the images."""
    if store is None:
        return
    messages = []
    if store.damaged:
        first, count = store.damaged[0], len(store.damaged)
        messages.append(f"Cached latents that could not be used are made again ({count}). The first: {first}")
        store.damaged.clear()
    for folder, count in store.strange.items():
        messages.append(
            f"{folder}: {count} files of kohya-ss (.npz) are not used, because they are older than their images, or of another"
            " size or VAE. With skip_cache_check all that have the right size are used."
        )
    store.strange.clear()
    for message in messages:
        emit({"type": "warning", "message": message})
    tell_shelves(store.shelves, emit)


def tell_shelves(shelves: Shelves, emit: Emit) -> None:
    """Say, once, where caches lie that cannot lie beside the images, and that the disk is full."""
    messages = []
    for folder, place in shelves.moved.items():
        if place != folder:
            messages.append(f"Nothing can be written in {folder}; its caches are kept in {place}.")
        else:
            messages.append(f"Nothing can be written in {folder}; what is cached is not kept for the next training.")
    shelves.moved.clear()
    if shelves.full and not shelves.told:
        shelves.told = True
        messages.append(f"{shelves.full.message} The training goes on with what is in memory; it is not kept.")
    for message in messages:
        emit({"type": "warning", "message": message})
