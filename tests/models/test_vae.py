"""Latents: scale, noise, slices, and half precision that overflows."""

from __future__ import annotations

import logging

import pytest
import torch
from diffusers import AutoencoderKL
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from lora_trainer.errors import TrainingError
from lora_trainer.models import vae as latents
from tests.tiny import make_parts


@pytest.fixture
def vae():
    return make_parts()[1]


@pytest.fixture
def images():
    return torch.rand(3, 3, 32, 24, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_without_noise_the_latents_are_the_scaled_mean(vae, images):
    with torch.no_grad():
        expected = vae.encode(images).latent_dist.mean * 0.18215
    assert torch.equal(latents.encode(vae, images), expected)


def test_noise_is_scaled_by_the_posterior_s_deviation(vae, images):
    noise = torch.randn(3, 4, 4, 3, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        posterior = vae.encode(images).latent_dist
    expected = (posterior.mean + posterior.std * noise) * 0.18215
    assert torch.allclose(latents.encode(vae, images, noise), expected, atol=1e-6)


def test_slices_do_not_change_the_latents_nor_the_pictures(vae, images):
    whole = latents.encode(vae, images, batch_size=None)
    assert whole.shape == (3, 4, 4, 3) and whole.dtype == torch.float32 and not whole.requires_grad
    assert torch.allclose(latents.encode(vae, images, batch_size=2), whole, atol=1e-3)
    pictures = latents.decode(vae, whole)
    assert pictures.shape == images.shape and pictures.abs().max() <= 1
    assert torch.allclose(latents.decode(vae, whole, batch_size=3), pictures, atol=1e-3)


def test_decoding_undoes_the_scale(vae, images):
    z = latents.encode(vae, images)
    with torch.no_grad():
        expected = vae.decode(z / 0.18215).sample.clamp(-1, 1)
    assert torch.allclose(latents.decode(vae, z), expected, atol=1e-3)


def computes_in_half() -> bool:
    try:
        torch.nn.Conv2d(1, 1, 1).half()(torch.zeros(1, 1, 1, 1, dtype=torch.float16))
    except RuntimeError:  # torch before 2.3 on the CPU
        return False
    return True


needs_half = pytest.mark.skipif(not computes_in_half(), reason="this torch has no convolutions in half precision on the CPU")


def overflowing(vae):
    """Scale two layers so that what lies between them overflows in half precision only."""
    with torch.no_grad():
        vae.encoder.conv_in.weight.mul_(1e5)
        vae.encoder.conv_in.bias.mul_(1e5)
        vae.post_quant_conv.weight.mul_(1e5)
    return vae


@needs_half
def test_half_precision_that_overflows_goes_on_in_float32_with_a_warning(vae, images, caplog):
    expected = latents.encode(overflowing(vae), images)
    vae.half()
    with caplog.at_level(logging.WARNING):
        found = latents.encode(vae, images, batch_size=1)
    assert vae.dtype == torch.float32
    assert [record for record in caplog.records if "NaN in float16" in record.message and "no_half_vae" in record.message]
    assert len(caplog.records) == 1
    assert found.isfinite().all() and (found - expected).abs().max() < 0.05 * expected.abs().max()


@needs_half
def test_decoding_falls_back_too(vae):
    vae = overflowing(vae).half()
    assert latents.decode(vae, torch.randn(2, 4, 4, 4)).isfinite().all()
    assert vae.dtype == torch.float32


def test_nan_that_float32_does_not_cure_is_an_error(vae, images):
    images[1, 0, 0, 0] = torch.nan
    with pytest.raises(TrainingError, match="1 of 3 pictures cannot be encoded"):
        latents.encode(vae, images)


class Local(torch.nn.Module):
    """A decoder that makes of each latent a square of its own: whatever it is cut into, the picture is the same."""

    def __init__(self, most: int = 1 << 30) -> None:
        super().__init__()
        self.most, self.sides = most, []

    def forward(self, z, latent_embeds=None):
        if z.shape[-1] * z.shape[-2] > self.most:
            raise torch.cuda.OutOfMemoryError("full")
        self.sides.append(tuple(z.shape[-2:]))
        return z[:, :3].repeat_interleave(8, dim=2).repeat_interleave(8, dim=3)


def test_squares_run_into_each_other_without_a_seam_or_a_gap(vae):
    vae.decoder = Local()
    z = torch.randn(1, 4, 21, 37, generator=torch.Generator().manual_seed(2)) * 0.05
    whole = latents.decode(vae, z)
    tiled = latents.decode(vae, z, tile=16)
    assert tiled.shape == whole.shape == (1, 3, 168, 296)
    assert torch.allclose(tiled, whole, atol=1e-6)
    assert vae.decoder.sides[0] == (21, 37) and max(max(side) for side in vae.decoder.sides[1:]) == 16
    assert not vae.use_tiling, "the next one is asked anew"


def test_a_picture_that_does_not_fit_as_a_whole_is_decoded_in_squares(vae):
    z = torch.randn(2, 4, 72, 72, generator=torch.Generator().manual_seed(3)) * 0.05
    vae.decoder = Local()
    whole = latents.decode(vae, z)
    vae.decoder = Local(most=latents.TILE**2)
    assert torch.allclose(latents.decode(vae, z), whole, atol=1e-6)
    assert max(max(side) for side in vae.decoder.sides) == latents.TILE
    vae.decoder = Local(most=100)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        latents.decode(vae, z)


def test_where_several_pictures_do_not_fit_they_are_encoded_one_by_one(vae, images, monkeypatch):
    whole = latents.encode(vae, images)
    encode, counts = vae.encode, []

    def full(pixels):
        counts.append(len(pixels))
        if len(pixels) > 1:
            raise torch.cuda.OutOfMemoryError("full")
        return encode(pixels)

    monkeypatch.setattr(vae, "encode", full)
    assert torch.allclose(latents.encode(vae, images), whole, atol=1e-3)
    assert counts == [3, 1, 1, 1]
    monkeypatch.setattr(vae, "encode", lambda pixels: (_ for _ in ()).throw(torch.cuda.OutOfMemoryError("full")))
    with pytest.raises(torch.cuda.OutOfMemoryError):
        latents.encode(vae, images, batch_size=1)


class _Live(TorchDispatchMode):
    """Counts the bytes of the tensors that are alive at once."""

    most = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        alive = self.__dict__.setdefault("alive", {})
        for tensor in tree_flatten(found)[0]:
            storage = tensor.untyped_storage()
            alive.setdefault(storage._cdata, (StorageWeakRef(storage), storage.nbytes()))
        self.alive = {key: one for key, one in alive.items() if not one[0].expired()}
        self.most = max(self.most, sum(size for _, size in self.alive.values()))
        return found


def test_what_decoding_holds_at_once_is_what_is_told_of_it():
    blocks = {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "latent_channels": 4}
    kinds = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    with torch.device("meta"):
        vae = AutoencoderKL(**blocks, **kinds)
        z = torch.empty(1, 4, 64, 64)
    with torch.no_grad(), _Live() as live:
        vae.decode(z, return_dict=False)
    assert live.most == pytest.approx(latents.decoding_memory(vae, 512, 512), rel=0.01)
    assert latents.decoding_memory(vae.half(), 512, 512) == pytest.approx(live.most / 2, rel=0.01)
