"""What a family of base models is: data and callables, so that another family is one more file (as sd1.py) and one line.

FAMILIES in loading.py lists them; the kind that `modelfile.probe` names chooses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ..modelfile import SIDES
from . import text, words
from .conditioning import Conditioning

if TYPE_CHECKING:
    from pathlib import Path

    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    from .compiling import Compiled
    from .weights import Target, Weights

EPSILON, V_PREDICTION = "epsilon", "v_prediction"
UNET, TEXT, VAE = "unet", "text_encoder", "vae"  # names of the parts; of two text encoders text_encoder1 and text_encoder2


def text_names(count: int) -> list[str]:
    """The names of one or two text encoders."""
    return [TEXT] if count == 1 else [f"{TEXT}{number + 1}" for number in range(count)]


@dataclass(frozen=True, kw_only=True)
class Family:
    """A family of base models.

    `name` is the kind that `modelfile.probe` returns. `load_file(weights, target, with_vae)` and
    `load_folder(folder, target, with_vae)` return Parts.
    `read(text_encoders, ids, clip_skip)` takes token ids [B, n, 77], one tensor for each encoder, and returns the layer that
    the UNet reads of each, [B, n, 77, C], and the summary [B, P] or None.
    `predict(unet, noisy latents, timesteps, conditioning)` returns the UNet's output.
    `latent_scale` gives the VAE's latents a variance of about 1.
    `answer(unet)` asks a UNet whether it predicts noise or velocity, in families that have both; see prediction.py.
    `zero_empty_negative`: an empty negative prompt stands for zeros when pictures are drawn.
    """

    name: str
    title: str
    load_file: Callable[[Weights, Target, bool], Parts]
    load_folder: Callable[[Path, Target, bool], Parts]
    read: Callable[[Sequence[CLIPTextModel], Sequence[torch.Tensor], int], tuple[list[torch.Tensor], torch.Tensor | None]]
    predict: Callable[[Callable[..., Any], torch.Tensor, torch.Tensor, Conditioning], torch.Tensor]
    latent_scale: float
    answer: Callable[[UNet2DConditionModel], str] | None = None
    zero_empty_negative: bool = False

    @property
    def size(self) -> int:
        """The side, in pixels, of pictures whose size nobody gives."""
        return SIDES[self.name]


class _Named:
    """What has the modules of a model."""

    unet: Any
    vae: Any
    text_encoders: list[Any]

    @property
    def named(self) -> dict[str, Any]:
        """The modules by the names of their parts."""
        return {
            UNET: self.unet,
            **dict(zip(text_names(len(self.text_encoders)), self.text_encoders, strict=True)),
            VAE: self.vae,
        }


@dataclass(kw_only=True)
class Parts(_Named):
    """What a family's loaders return. `vae` is None when it was not asked for.

    `prediction_type` is what is written of the model, None where nothing is; `said_by` names where. `zero_terminal_snr`: it
    is marked as one whose last noise level is pure noise.
    """

    unet: UNet2DConditionModel
    vae: AutoencoderKL | None
    text_encoders: list[CLIPTextModel]
    tokenizers: list[CLIPTokenizer]
    prediction_type: str | None = None
    said_by: str = ""
    zero_terminal_snr: bool = False


@dataclass(kw_only=True)
class Model(_Named):
    """A loaded base model: frozen, in eval mode, in the compute precision.

    `prediction_type` is "epsilon" or "v_prediction". `zero_terminal_snr`: its noise levels end in pure noise (Lin et al.
    2023): it is trained and drawn with on `sampling.schedules.zero_terminal`. `source` is what was given as path, for messages
    and metadata.
    `path` is the file or folder that it was read from.
    `notes` are warnings about how it was understood. `compiled` is how the UNet computes where gradients are wanted, None: as
    it is; see `compute_with`.
    """

    family: Family
    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoders: list[CLIPTextModel]
    tokenizers: list[CLIPTokenizer]
    prediction_type: str
    source: str
    path: Path | None = None
    notes: tuple[str, ...] = ()
    compiled: Compiled | None = None
    zero_terminal_snr: bool = False

    @property
    def device(self) -> torch.device:
        """The UNet's device."""
        return self.unet.device

    @property
    def dtype(self) -> torch.dtype:
        """The UNet's precision; the VAE's may be another."""
        return self.unet.dtype

    def encode(
        self, captions: Sequence[str], *, max_token_length: int = 75, clip_skip: int = 1, weighted: bool = False
    ) -> Conditioning:
        """Return the conditioning for `captions`, with states [B, max_token_length + 2, C] (see text.py) and no sizes; with so
        many for each layer where a word has vectors for each (`layered`)."""
        return words.encoded(self, lambda: self._encode(captions, max_token_length, clip_skip, weighted))

    def _encode(self, captions: Sequence[str], max_token_length: int, clip_skip: int, weighted: bool) -> Conditioning:
        if weighted:
            pairs = [text.tokenize_weighted(tokenizer, captions, max_token_length) for tokenizer in self.tokenizers]
            chunks = self.encode_chunks([ids for ids, _ in pairs], [weights for _, weights in pairs], clip_skip)
        else:
            ids = [text.tokenize(tokenizer, captions, max_token_length) for tokenizer in self.tokenizers]
            chunks = self.encode_chunks(ids, None, clip_skip)
        return Conditioning(text.join_chunks(chunks.states), chunks.pooled)

    def encode_chunks(
        self,
        ids: Sequence[torch.Tensor],
        weights: Sequence[torch.Tensor] | None,
        clip_skip: int = 1,
        *,
        restore_mean: bool = False,
    ) -> Conditioning:
        """Return states [B, n, 77, C] and the summary for token ids [B, n, 77] of each tokenizer.

        `weights`, of the same shapes, multiply the states (`text.weigh`).
        """
        states, pooled = self.family.read(self.text_encoders, ids, clip_skip)
        if weights is not None:
            states = [text.weigh(part, own, restore_mean=restore_mean) for part, own in zip(states, weights, strict=True)]
        return Conditioning(states[0] if len(states) == 1 else torch.cat(states, dim=-1), pooled)

    def predict(self, latents: torch.Tensor, timesteps: torch.Tensor, conditioning: Conditioning) -> torch.Tensor:
        """Return the UNet's output [B,4,h,w] for noisy `latents` [B,4,h,w] at `timesteps` [B] (0..999)."""
        return self.family.predict(self.unet, latents, timesteps, conditioning)

    def compute_with(self, compiled: Compiled | None) -> None:
        """From now on let the UNet compute by what was `compiled` of it, None: as it is. Not between a forward and its backward
        pass, which may compute parts again."""
        if self.compiled is not None:
            self.compiled.off()
        self.compiled = compiled
        if compiled is not None:
            compiled.on()

    def let_go_of_graphs(self) -> None:
        """Let CUDA graphs that were recorded go, and their memory: they know where the weights lay. They are made anew."""
        if self.compiled is not None and self.compiled.way.has_graphs:
            self.compiled.forget()
