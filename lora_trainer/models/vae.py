"""Pictures to scaled latents and back. The scale makes the latents' variance about 1 (Rombach et al., 2022, appendix G).

SDXL has a VAE, and therefore a scale, of its own (`Family.latent_scale`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from ..errors import TrainingError, is_out_of_memory
from ..log import logger
from .main_memory import free_card

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

SD_SCALE = 0.18215
SDXL_SCALE = 0.13025
FACTOR = 8  # pixels along each side of one latent position
TILE = 64  # latents along a side of the squares that a picture is decoded in where it does not fit as a whole
# What decoding holds at once for each pixel, with the VAE of SD and SDXL: counted on torch's meta device. Not the scores of the
# attention in the middle, which torch's kernels do not keep.
NUMBERS_A_PIXEL = 770
# exp(logvar) is kept in the range that the VAE was trained with.
LOGVAR_RANGE = (-30.0, 20.0)


def encode(
    vae: AutoencoderKL,
    images: torch.Tensor,
    noise: torch.Tensor | None = None,
    *,
    batch_size: int | None = None,
    scale: float = SD_SCALE,
) -> torch.Tensor:
    """Return the scaled latents [B,4,H/8,W/8], float32 on the VAE's device, of `images` [B,3,H,W] in -1..1.

    `noise` [B,4,H/8,W/8], standard normal, draws from the posterior; without it the latents are the posterior's mean. See
    `posterior` for the rest.
    """
    mean, std = posterior(vae, images, batch_size=batch_size).chunk(2, dim=1)
    return (mean if noise is None else mean + std * noise.to(mean)) * scale


def posterior(vae: AutoencoderKL, images: torch.Tensor, *, batch_size: int | None = None) -> torch.Tensor:
    """Return mean and standard deviation, [B,8,H/8,W/8], float32 on the VAE's device, of the unscaled latents of `images`
    [B,3,H,W] in -1..1.

    At most `batch_size` images are encoded at a time, and one where the memory is too full for several. Where half precision
    overflows, the VAE is put into float32 for good (with a warning); raises TrainingError when the numbers are not finite even
    then.
    """

    def run(pixels: torch.Tensor) -> torch.Tensor:
        return vae.encode(pixels.to(vae.dtype)).latent_dist.parameters.float()

    with torch.no_grad():
        parameters = _where_there_is_room(
            lambda: _finite(vae, run, images, batch_size, "encoded"),
            None if min(batch_size or len(images), len(images)) == 1 else lambda: _finite(vae, run, images, 1, "encoded"),
            "The memory is too full to encode several pictures at once: it is done one by one.",
        )
        mean, logvar = parameters.chunk(2, dim=1)
        return torch.cat([mean, torch.exp(0.5 * logvar.clamp(*LOGVAR_RANGE))], dim=1)


def posterior_to_keep(vae: AutoencoderKL, images: torch.Tensor) -> torch.Tensor:
    """`posterior` with the digits that it has on the disk (the deviation those of half precision), so that the disk makes no
    difference."""
    mean, std = posterior(vae, images).chunk(2, dim=1)
    return torch.cat([mean, std.half().float()], dim=1)


def decode(
    vae: AutoencoderKL,
    latents: torch.Tensor,
    *,
    batch_size: int | None = 1,
    scale: float = SD_SCALE,
    tile: int | None = None,
) -> torch.Tensor:
    """Return the pictures [B,3,H,W], float32 in -1..1 on the VAE's device, of scaled `latents` [B,4,H/8,W/8].

    At most `batch_size` are decoded at a time. With `tile` a picture of more latents than that along a side is decoded in
    squares of so many, which overlap by a quarter and run into each other there: next to the same picture (norms see a square
    in place of all of it) for a fraction of the memory. Where the card is too full for a whole one it is done so, too.
    Half precision that overflows is handled as in `encode`.
    """

    def run(part: torch.Tensor) -> torch.Tensor:
        return vae.decode((part.float() / scale).to(vae.dtype), return_dict=False)[0].float()

    def decoded(side: int | None) -> torch.Tensor:
        with _tiles(vae, side):
            return _finite(vae, run, latents, batch_size, "decoded").clamp(-1, 1)

    with torch.no_grad():
        return _where_there_is_room(
            lambda: decoded(tile),
            None if tile is not None or max(latents.shape[-2:]) <= TILE else lambda: decoded(TILE),
            "The memory is too full to decode a picture at once: it is done in parts.",
        )


def _where_there_is_room(
    work: Callable[[], torch.Tensor], smaller: Callable[[], torch.Tensor] | None, said: str
) -> torch.Tensor:
    """`work()`; where the memory is too full for it, that is `said`, and `smaller()` is done, which needs less."""
    try:
        return work()
    except (RuntimeError, MemoryError) as error:
        if smaller is None or not is_out_of_memory(error):
            raise
    logger.info(said)  # the error is gone by here, and with it what its frames kept
    free_card()
    return smaller()


def decoding_memory(vae: AutoencoderKL, width: int, height: int) -> int:
    """About how many bytes decoding one picture of this size holds at once, beside the VAE itself."""
    widest = vae.config.block_out_channels[0] / 128
    return int(NUMBERS_A_PIXEL * widest * width * height * vae.dtype.itemsize)


@contextmanager
def _tiles(vae: AutoencoderKL, side: int | None) -> Iterator[None]:
    """While this holds, `vae` decodes in squares of `side` latents; None: all at once."""
    wanted = {"use_tiling": side is not None}
    if side is not None:
        wanted |= {"tile_latent_min_size": side, "tile_sample_min_size": side * FACTOR, "tile_overlap_factor": 0.25}
    before = {name: getattr(vae, name) for name in wanted}
    vars(vae).update(wanted)
    try:
        yield
    finally:
        vars(vae).update(before)


def _finite(vae: AutoencoderKL, run, inputs: torch.Tensor, batch_size: int | None, verb: str) -> torch.Tensor:
    """Return `run` over slices of `inputs`, once more in float32 where half precision gives NaN or infinity."""
    slices = inputs.to(vae.device).split(batch_size or len(inputs))
    outputs = []
    for part in slices:
        output = run(part)
        if not output.isfinite().all() and part.isfinite().all() and vae.dtype in (torch.float16, torch.bfloat16):
            logger.warning(
                "The VAE gives NaN in %s; it goes on in float32, which needs more memory (no_half_vae starts so).",
                str(vae.dtype).removeprefix("torch."),
            )
            vae.float()
            output = run(part)
        if not output.isfinite().all():
            wrong = [i for i in range(len(output)) if not output[i].isfinite().all()]
            raise TrainingError(
                f"The VAE gives NaN or infinity: {len(wrong)} of {len(output)} pictures cannot be {verb}.",
                advice="Choose another VAE (vae), and look at the images for damage.",
            )
        outputs.append(output)
    return torch.cat(outputs)
