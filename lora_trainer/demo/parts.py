"""The demo model's parts: exactly Stable Diffusion 1's topology, narrower. At most 40 MiB together in half precision.

Some residual blocks of the VAE begin as the identity (their last convolution is zero). While they are, `skipped` leaves them
out of the computation, which is three quarters of it: at full resolution the picture is flat, and little is to be computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel

VAE_CHANNELS = (96, 32, 64, 96)
UNET_CHANNELS = (64, 96, 96, 96)
TEXT_WIDTH = 64  # one head, as CLIP's heads are 64 wide
TEXT_LAYERS = 3
# Residual blocks of the VAE that stay without a branch: all at 64x64, and one on each side at 32x32.
IDENTITIES = (
    "encoder.down_blocks.0.resnets.0",
    "encoder.down_blocks.0.resnets.1",
    "encoder.down_blocks.1.resnets.1",
    "decoder.up_blocks.2.resnets.2",
    "decoder.up_blocks.3.resnets.0",
    "decoder.up_blocks.3.resnets.1",
    "decoder.up_blocks.3.resnets.2",
)
ANCHOR = 3.0  # see start_linear
POSTERIOR_LOGVAR = -5.0  # where the posterior's log-variance begins: a standard deviation of 0.08


def make_vae(seed: int, channels: tuple[int, ...] = VAE_CHANNELS) -> AutoencoderKL:
    """Return a new VAE, in training mode."""
    from diffusers import AutoencoderKL

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vae = AutoencoderKL(
            block_out_channels=list(channels),
            down_block_types=["DownEncoderBlock2D"] * 4,
            up_block_types=["UpDecoderBlock2D"] * 4,
            layers_per_block=2,
        )
    start_linear(vae)
    return vae.train()


def start_linear(vae: AutoencoderKL) -> None:
    """Let the VAE begin as nearly a linear map: from 8x8 pixels to their mean colour, and from there to a smooth picture.

    Every residual branch begins at 0. What the norms before the last convolutions would take away, a picture's mean, passes:
    of the three channels of a group one carries the signal and two are held at +ANCHOR and -ANCHOR, which fix the group's
    mean and variance. SiLU passes too, since silu(s) - silu(-s) = s.
    """
    with torch.no_grad():
        for module in vae.modules():
            if hasattr(module, "conv2"):
                module.conv2.weight.zero_()
                module.conv2.bias.zero_()
            if hasattr(module, "to_out"):
                module.to_out[0].weight.zero_()
                module.to_out[0].bias.zero_()
        encoder, decoder = vae.encoder, vae.decoder
        _carry(encoder.conv_in, 3 * [1.0], row=_plain)
        for block in encoder.down_blocks:
            if block.resnets[0].conv_shortcut is not None:
                last = block is encoder.down_blocks[-1]
                _carry(block.resnets[0].conv_shortcut, 3 * [1.0], row=_grouped if last else _plain)
            if block.downsamplers:
                # A quarter of each of 2x2 pixels; the third row and column reach beyond them.
                _carry(block.downsamplers[0].conv, 3 * [1.0], row=_plain, kernel=[0.5, 0.5, 0.0])
        _carry(decoder.conv_in, 3 * [1.0], row=_grouped)
        for index, block in enumerate(decoder.up_blocks):
            if block.resnets[0].conv_shortcut is not None:
                _carry(
                    block.resnets[0].conv_shortcut,
                    3 * [1.0],
                    row=_grouped if index == 3 else _plain,
                    column=_grouped if index == 1 else _plain,
                )
            if block.upsamplers:
                wide = index == 0
                row = _grouped if wide else _plain
                _carry(block.upsamplers[0].conv, 3 * [1.0], row=row, column=row, kernel=[0.25, 0.5, 0.25])
        for part in (encoder, decoder):
            part.conv_norm_out.weight.fill_(ANCHOR * (2 / 3) ** 0.5)
            part.conv_out.weight[:3].zero_()
            part.conv_out.bias[:3].zero_()
            for index in range(3):
                part.conv_out.weight[index, 3 * index, 1, 1] = 1.0
                part.conv_out.weight[index, 9 + 3 * index, 1, 1] = -1.0
        vae.quant_conv.weight.copy_(torch.eye(8)[:, :, None, None])
        vae.quant_conv.bias.zero_()
        encoder.conv_out.weight[4:].mul_(0.1)
        encoder.conv_out.bias[4:].fill_(POSTERIOR_LOGVAR)
        vae.post_quant_conv.weight.copy_(torch.eye(4)[:, :, None, None])
        vae.post_quant_conv.bias.zero_()


def _plain(signal: int) -> int:
    return signal


def _grouped(signal: int) -> int:
    return 3 * signal


def _carry(conv: torch.nn.Conv2d, gains, *, row, column=_plain, kernel=None) -> None:
    """Let `conv` carry the three colour channels through: from channel column(i) to row(i), smoothed by the separable `kernel`.

    Where the outputs are grouped, the colours' negatives go to the next three groups, and each group gets its anchors.
    """
    size = conv.kernel_size[0]
    line = torch.tensor(kernel or [0.0] * (size // 2) + [1.0] + [0.0] * (size // 2))
    taps = line[:, None] * line[None, :]
    grouped = row is _grouped
    for index, gain in enumerate(gains):
        for sign in (0, 1) if grouped else (0,):
            target = row(index + 3 * sign)
            conv.weight[target] = 0
            conv.weight[target, column(index)] = taps * gain * (-1) ** sign
            conv.bias[target] = 0
    if grouped:
        for channel in range(conv.out_channels):
            if channel % 3:
                conv.weight[channel] = 0
                conv.bias[channel] = ANCHOR if channel % 3 == 1 else -ANCHOR


@contextmanager
def skipped(vae: AutoencoderKL) -> Iterator[None]:
    """Leave the residual branches of IDENTITIES out of the computation; they must be 0."""

    def shortcut_of(block: torch.nn.Module) -> Callable[..., torch.Tensor]:
        return lambda x, *_, **__: x if block.conv_shortcut is None else block.conv_shortcut(x)

    blocks = [vae.get_submodule(name) for name in IDENTITIES]
    for block in blocks:
        block.forward = shortcut_of(block)
    try:
        yield
    finally:
        for block in blocks:
            del block.forward


def fold_scale(vae: AutoencoderKL, mean: torch.Tensor, std: torch.Tensor) -> None:
    """Change the VAE in place, so that its latents times 0.18215 have mean 0 and variance 1 in each channel.

    `mean` and `std` [4] are those of the posterior's mean before. The 1x1 convolution after the encoder takes the change, the
    one before the decoder takes it back: pictures stay the same. The posterior's log-variances move along.
    """
    from ..models.vae import SD_SCALE

    gain = 1 / (std * SD_SCALE)
    with torch.no_grad():
        quant, post = vae.quant_conv, vae.post_quant_conv
        post.bias += (post.weight[:, :, 0, 0] * mean).sum(1)
        post.weight /= gain[None, :, None, None]
        quant.weight[:4] *= gain[:, None, None, None]
        quant.bias[:4] = (quant.bias[:4] - mean) * gain
        quant.bias[4:] += 2 * gain.log()


def make_unet(seed: int, channels: tuple[int, ...] = UNET_CHANNELS, context: int = TEXT_WIDTH) -> UNet2DConditionModel:
    """Return a new UNet of 12/1/12 blocks with 8 heads, in training mode; its output is 0 at first."""
    from diffusers import UNet2DConditionModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(
            block_out_channels=list(channels),
            cross_attention_dim=context,
            attention_head_dim=8,  # diffusers' name for the number of heads
        )
    with torch.no_grad():
        unet.conv_out.weight.zero_()
        unet.conv_out.bias.zero_()
    return unet.train()


def make_text_encoder(seed: int, width: int = TEXT_WIDTH, layers: int = TEXT_LAYERS, vocabulary: int = 49408) -> CLIPTextModel:
    """Return a new CLIP text encoder with 77 positions, in training mode; CLIP's real vocabulary has 49408 tokens."""
    from transformers import CLIPTextConfig, CLIPTextModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = CLIPTextConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=layers,
            num_attention_heads=max(1, width // 64),
            projection_dim=width,
        )
        return CLIPTextModel(config).train()
