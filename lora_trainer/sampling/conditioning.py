"""From a prompt of any length to what the UNet reads, as the Web UI does it.

The prompt is parsed for weights, cut into chunks of 75 tokens (preferably after a comma; BREAK ends a chunk; an added word
stays whole), each chunk is encoded alone between a start and an end of its own, and the chunks' states are joined whole: 77
positions each. A token's state is multiplied by its weight, then the chunk is scaled back to the mean that it had; with two
text encoders, in each of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .. import prompt_weights
from ..log import logger
from ..models import text
from ..models.conditioning import Conditioning
from ..models.words import FIRST, units
from ..models.words import encoded as for_each_layer
from .prompt_parts import BREAK

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

    from ..models import Model

COMMA_BACKTRACK = 20  # a full chunk is cut after a comma that is at most so many tokens back; the rest moves on

Token = tuple[int, float]  # id, weight


def encode(
    model: Model, prompt: str, clip_skip: int = 1, *, negative: bool = False, max_chunks: int | None = None
) -> Conditioning:
    """Return the conditioning of `prompt`, with states [1, n * 77, C] (or so many for each layer, see
    `models.layered`), in the text encoders' dtype and on their device.

    An empty `negative` prompt is zeros for SDXL, as that model has learned it. What is behind `max_chunks` chunks is cut
    off, with a warning.
    """
    pairs = [tokenize(tokenizer, prompt) for tokenizer in model.tokenizers]
    if max_chunks and len(pairs[0][0]) > max_chunks:
        logger.warning("the prompt is cut off after %d tokens: %s", max_chunks * text.CHUNK, prompt)
        pairs = [(ids[:max_chunks], weights[:max_chunks]) for ids, weights in pairs]
    ids, weights = [ids[None] for ids, _ in pairs], [weights[None] for _, weights in pairs]

    def encoded() -> Conditioning:
        chunks = model.encode_chunks(ids, weights, clip_skip, restore_mean=True)
        return Conditioning(chunks.states.flatten(1, 2), chunks.pooled)

    whole = for_each_layer(model, encoded)
    return whole.zeros() if negative and not prompt and model.family.zero_empty_negative else whole


def with_sizes(told: Conditioning, height: int, width: int, sizes: Mapping[str, int], *, negative: bool) -> Conditioning:
    """Add the sizes (SDXL) of a picture of `height` x `width` pixels; `sizes` are those of `request.Details`."""
    original = [sizes.get("original_height", height), sizes.get("original_width", width)]
    if negative:
        original = [
            sizes.get("original_height_negative", original[0]),
            sizes.get("original_width_negative", original[1]),
        ]
    crop = [sizes.get("crop_top", 0), sizes.get("crop_left", 0)]
    return told.with_sizes(*(torch.tensor([pair]) for pair in (original, crop, [height, width])))


def tokenize(tokenizer: CLIPTokenizer, prompt: str) -> tuple[Tensor, Tensor]:
    """Return (ids int64, weights float32), both [n, 77], of a prompt in attention syntax; n is at least 1."""
    comma = tokenizer.convert_tokens_to_ids(",</w>")
    rows: list[list[Token]] = []
    row: list[Token] = []
    for words, weight in prompt_weights.parse(prompt):
        for number, part in enumerate(BREAK.split(words)):
            if number:  # a BREAK stood before it
                rows.append(row)
                row = []
            for unit in units(tokenizer, part):
                if row and len(row) + len(unit) > text.CHUNK:
                    full, row = (row, []) if unit == (comma,) or unit[0] >= FIRST else _cut(row, comma)
                    rows.append(full)
                row += [(token, weight) for token in unit[: text.CHUNK]]
    if row or not rows:
        rows.append(row)
    return _padded(tokenizer, rows)


def _cut(row: list[Token], comma: int) -> tuple[list[Token], list[Token]]:
    """Return a full chunk and what of it moves into the next one."""
    last = max((i for i, (token, _) in enumerate(row) if token == comma), default=-1)
    if last == -1 or len(row) - last > COMMA_BACKTRACK:
        return row, []
    return row[: last + 1], row[last + 1 :]


def _padded(tokenizer: CLIPTokenizer, rows: Iterable[list[Token]]) -> tuple[Tensor, Tensor]:
    rows = list(rows)
    ids = torch.full((len(rows), text.CHUNK + 2), tokenizer.pad_token_id, dtype=torch.long)
    weights = torch.ones(ids.shape)
    for i, row in enumerate(rows):
        line = [tokenizer.bos_token_id, *(token for token, _ in row), tokenizer.eos_token_id]
        ids[i, : len(line)] = torch.tensor(line)
        weights[i, 1 : 1 + len(row)] = torch.tensor([weight for _, weight in row])
    return ids, weights
