"""Captions to tokens and to the text states that the UNet reads.

A caption of up to 75 tokens is one row of 77: start, tokens, end. A longer one is cut into chunks of 75 tokens, each between a
start and an end of its own; each chunk is encoded alone, and the states are joined with the first chunk's start and the last
chunk's end: 77, 152 or 227 positions for max_token_length 75, 150, 225.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from .. import prompt_weights
from ..errors import InputError
from . import words

if TYPE_CHECKING:
    from transformers import CLIPTextModel, CLIPTokenizer

CHUNK = 75  # tokens between the start and the end


def tokenize(tokenizer: CLIPTokenizer, captions: Sequence[str], max_token_length: int | None = 75) -> torch.LongTensor:
    """Return token ids [B, max_token_length / 75, 77], int64. What is longer is cut off; what is shorter is padded.

    `max_token_length` is a multiple of 75; None means 75.
    """
    pieces = [[(caption, 1.0)] for caption in captions]
    return _tokenize(tokenizer, pieces, max_token_length)[0]


def tokenize_weighted(
    tokenizer: CLIPTokenizer, captions: Sequence[str], max_token_length: int | None = 75
) -> tuple[torch.LongTensor, torch.Tensor]:
    """Return (ids, weights), both [B, max_token_length / 75, 77], of captions in the Web UI's attention syntax.

    The brackets and numbers are no tokens; start, end and padding have weight 1. Weights are float32.
    """
    return _tokenize(tokenizer, [prompt_weights.parse(caption) for caption in captions], max_token_length)


def count_tokens(tokenizer: CLIPTokenizer, caption: str, *, weighted: bool = False) -> int:
    """Return how many tokens `caption` has, without start and end; `weighted` leaves out the attention syntax."""
    texts = [text for text, _ in prompt_weights.parse(caption)] if weighted else [caption]
    return sum(len(_ids(tokenizer, text)) for text in texts)


def _ids(tokenizer: CLIPTokenizer, text: str) -> list[int]:
    return [token for unit in words.units(tokenizer, text) for token in unit]


def _tokenize(
    tokenizer: CLIPTokenizer, captions: Sequence[Sequence[tuple[str, float]]], max_token_length: int | None
) -> tuple[torch.LongTensor, torch.Tensor]:
    length = CHUNK if max_token_length is None else max_token_length
    if length <= 0 or length % CHUNK:
        raise InputError(
            f"max_token_length is {length}, expected a multiple of {CHUNK}.",
            field="max_token_length",
            advice="Choose 75, 150 or 225.",
        )
    start, end, pad = tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id
    ids = torch.full((len(captions), length // CHUNK, CHUNK + 2), pad, dtype=torch.long)
    weights = torch.ones(ids.shape)
    for row, pieces in enumerate(captions):
        tokens = [(token, weight) for text, weight in pieces for token in _ids(tokenizer, text)][:length]
        for chunk in range(length // CHUNK):
            part = tokens[chunk * CHUNK : (chunk + 1) * CHUNK]
            line = [start, *(token for token, _ in part), end]
            ids[row, chunk, : len(line)] = torch.tensor(line)
            weights[row, chunk, 1 : 1 + len(part)] = torch.tensor([weight for _, weight in part])
    return ids, weights


def weigh(states: torch.Tensor, weights: torch.Tensor, *, restore_mean: bool = False) -> torch.Tensor:
    """Multiply each token's state by its weight: states [B, n, 77, C], weights [B, n, 77].

    `restore_mean` then scales each chunk back to the mean that it had, as the Web UI does when it draws; training does not.
    """
    weighted = states * weights.to(states)[..., None]
    if restore_mean:
        before = states.float().mean(dim=(-2, -1), keepdim=True)
        after = weighted.float().mean(dim=(-2, -1), keepdim=True)
        weighted = (weighted.float() * (before / after)).to(states.dtype)
    return weighted


def join_chunks(states: torch.Tensor) -> torch.Tensor:
    """Return [B, n*75+2, C] from [B, n, 77, C]: the first chunk's start, all tokens, the last chunk's end."""
    tokens = states[:, :, 1:-1].flatten(1, 2)
    return torch.cat([states[:, 0, :1], tokens, states[:, -1, -1:]], dim=1)


def layer(text_encoder: CLIPTextModel, input_ids: torch.Tensor, clip_skip: int | None = 1) -> torch.Tensor:
    """Return the states [B, n, 77, C] of token ids [B, n, 77], in the encoder's dtype and on its device.

    `clip_skip` 1 (or None) takes the last layer, 2 the one before; the encoder's final layer norm is applied in either case.
    Raises InputError when the encoder has not that many layers.
    """
    batch, chunks, _ = input_ids.shape
    flat = input_ids.flatten(0, 1).to(text_encoder.device)
    if clip_skip in (None, 1):
        states = text_encoder(flat).last_hidden_state
    else:
        # The embeddings count as a layer, so that a list of 13 comes from 12 layers.
        hidden = text_encoder(flat, output_hidden_states=True).hidden_states
        if not 1 <= clip_skip <= len(hidden):
            raise InputError(
                f"clip_skip is {clip_skip}, but the text encoder has {len(hidden) - 1} layers.",
                field="clip_skip",
                advice="Choose 1 or 2.",
            )
        states = text_encoder.text_model.final_layer_norm(hidden[-clip_skip])
    return states.unflatten(0, (batch, chunks))
