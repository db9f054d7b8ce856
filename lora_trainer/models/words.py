"""Words that a model did not know: embeddings (textual inversion, Gal et al. 2022, arXiv 2208.01618).

An added word is a row of vectors, which the text encoder reads where it reads the vectors of its vocabulary's tokens. A caption
has the word where the tokens of its name stand, as the Web UI finds it, in either case of letters. The tokens of added words
have numbers from `FIRST` on, which no vocabulary has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ..errors import InputError
from . import layered
from .conditioning import Conditioning

FIRST = 1 << 20
_MOST_KNOWN = 16384  # texts whose tokens are remembered: a few hundred bytes each
_KNOWN: WeakKeyDictionary[Any, dict[str, tuple[int, ...]]] = WeakKeyDictionary()  # by tokenizer
Unit = tuple[int, ...]  # tokens that belong together


class Model(Protocol):
    """What of a model a word is for (`family.Model`)."""

    unet: Any
    text_encoders: list[Any]
    tokenizers: list[Any]
    source: str


@dataclass
class AddedWords:
    """The added words of a model by their names: for each of its text encoders vectors [n, width of it], or [layers, n, width]
    of a word that has others for each cross-attention layer (`layered`); `layer` is the one that is encoded for.

    The tokenizers and the text encoders of the model share it, so that both know of a word at once.
    """

    vectors: dict[str, tuple[Tensor, ...]] = field(default_factory=dict)
    layer: int = 0
    hooks: list[Any] = field(default_factory=list)  # on the UNet, while a word has vectors for each layer

    @property
    def is_layered(self) -> bool:
        """Whether a word has vectors for each layer."""
        return any(vectors[0].dim() == 3 for vectors in self.vectors.values())

    def tokens_of(self, name: str) -> Unit:
        """The numbers of a word's tokens."""
        names = list(self.vectors)
        first = FIRST + sum(self.vectors[before][0].shape[-2] for before in names[: names.index(name)])
        return tuple(range(first, first + self.vectors[name][0].shape[-2]))

    def table(self, encoder: int) -> Tensor:
        """All vectors for one text encoder, [tokens, width], float32."""
        found = [vectors[encoder].float() for vectors in self.vectors.values()]
        return torch.cat([one[self.layer] if one.dim() == 3 else one for one in found])

    def at_layer(self, layer: int) -> None:
        """Encode for this layer from now on."""
        self.layer = layer


class WordTokenizer:
    """A tokenizer that finds added words. In all else it is the one that it was made from."""

    def __init__(self, tokenizer: Any, words: AddedWords) -> None:
        self.known, self.words = tokenizer, words
        self._names: dict[str, list[int]] = {}

    def __getattr__(self, name: str) -> Any:
        if name == "known":  # not there yet: while it is copied
            raise AttributeError(name)
        return getattr(self.known, name)

    def units(self, text: str) -> list[Unit]:
        """The tokens of `text`, those of an added word together. Of two words that begin alike the longer one is meant."""
        ids = _ids(self.known, text)
        names = sorted(((self._name_ids(name), name) for name in self.words.vectors), key=lambda pair: -len(pair[0]))
        units: list[Unit] = []
        at = 0
        while at < len(ids):
            own, name = next((pair for pair in names if ids[at : at + len(pair[0])] == pair[0]), ([ids[at]], None))
            units.append((ids[at],) if name is None else self.words.tokens_of(name))
            at += len(own)
        return units

    def _name_ids(self, name: str) -> list[int]:
        """A word's name in the vocabulary's tokens; asked for at every caption, so it is worked out once."""
        if name not in self._names:
            self._names[name] = _ids(self.known, name)
        return self._names[name]


class WordEmbedding(nn.Module):
    """The token embedding of a text encoder, with the vectors of added words behind its own."""

    def __init__(self, known: nn.Embedding, words: AddedWords, encoder: int) -> None:
        super().__init__()
        self.known, self.words, self.encoder = known, words, encoder

    @property
    def weight(self) -> Tensor:
        """The vocabulary's vectors."""
        return self.known.weight

    def forward(self, ids: Tensor) -> Tensor:
        """Vectors [..., width] in the vocabulary's dtype for token numbers [...]."""
        added = (ids - FIRST).clamp(min=0)
        known = self.known(torch.where(ids < FIRST, ids, torch.zeros_like(ids)))
        table = self.words.table(self.encoder).to(known.device)
        return torch.where((ids < FIRST)[..., None], known, table[added.clamp(max=len(table) - 1)].to(known.dtype))


def check(model: Model, name: str, vectors: Sequence[Tensor]) -> None:
    """Raise InputError for a name without a token, for vectors of another width than the text encoders', and where their
    numbers differ."""
    if not _ids(model.tokenizers[0], name):
        raise InputError(f"{name!r} is no word: nothing of it can stand in a caption.", advice="Take letters or digits.")
    widths = [encoder.get_input_embeddings().weight.shape[1] for encoder in model.text_encoders]
    given = [tuple(tensor.shape) for tensor in vectors]
    if any(len(shape) == 3 for shape in given) and (len(widths) > 1 or layers_of(model) != given[0][0]):
        raise InputError(
            f"{name!r} has vectors for each of {given[0][0]} layers (XTI), which {model.source} has not.",
            advice="Such a word is for Stable Diffusion 1 and 2.",
        )
    if [shape[-1] for shape in given] != widths or len({shape[-2] for shape in given}) != 1:
        raise InputError(
            f"the vectors of {name!r} are of the shapes {given}, but the text encoders of {model.source} read "
            f"{' and '.join(str(width) for width in widths)} numbers for a token.",
            advice="An embedding fits models of the family that it was made for alone.",
        )


def teach(model: Model, name: str, vectors: Sequence[Tensor]) -> None:
    """Let `model` know the word `name`, by vectors [n, width] for each of its text encoders, which are not copied.

    A word that it was taught before gets the new vectors. Raises as `check` does.
    """
    check(model, name, vectors)
    words = _words_of(model)
    words.vectors[name] = tuple(vectors)
    _look_at_layers(model, words)


def vectors_of(model: Model, name: str) -> tuple[Tensor, ...] | None:
    """The vectors by which `model` knows the word, for each of its text encoders; None where it knows none."""
    first = model.tokenizers[0]
    return first.words.vectors.get(name) if isinstance(first, WordTokenizer) else None


def forget(model: Model, name: str) -> None:
    """Undo `teach`; a model without added words is as it was loaded."""
    words = _words_of(model)
    words.vectors.pop(name, None)
    _look_at_layers(model, words)
    if not words.vectors:
        model.tokenizers[:] = [one.known for one in model.tokenizers]
        for encoder in model.text_encoders:
            encoder.set_input_embeddings(encoder.get_input_embeddings().known)


def layers_of(model: Model) -> int:
    """How many cross-attention layers the model's UNet has."""
    return len(layered.transformers(model.unet))


def encoded(model: Model, encode: Callable[[], Conditioning]) -> Conditioning:
    """What `encode` makes of captions; for each layer, where a word has vectors of its own for each."""
    first = model.tokenizers[0]
    if not isinstance(first, WordTokenizer) or not first.words.is_layered:
        return encode()
    return layered.joined(encode, first.words.at_layer, layers_of(model))


def _look_at_layers(model: Model, words: AddedWords) -> None:
    if words.is_layered and not words.hooks:
        words.hooks = layered.give_each_its_part(model.unet)
    elif not words.is_layered:
        for hook in words.hooks:
            hook.remove()
        words.hooks = []


def units(tokenizer: Any, text: str) -> list[Unit]:
    """The tokens of `text`, one at a time but for those of an added word.

    They are not cut off, and there is no warning of many, as the tokenizer's own call has it: the chunks are ours.
    """
    if isinstance(tokenizer, WordTokenizer):
        return tokenizer.units(text)
    return [(token,) for token in _ids(tokenizer, text)]


def start_vectors(model: Model, word: str | None, count: int, seed: int) -> tuple[list[Tensor], str]:
    """Vectors [count, width], float32, for each text encoder to begin a new word with, and what there is to say of them.

    They are those of the tokens of `word`, again from the first where it has fewer; what it has more of is left out. Without a
    word they are drawn (from `seed`): as far from the vocabulary's mean as its vectors are.
    """
    found, note = [], ""
    for tokenizer, encoder in zip(model.tokenizers, model.text_encoders, strict=True):
        table = encoder.get_input_embeddings().weight.detach().float()
        if word is None:
            draw = torch.Generator().manual_seed(seed)
            noise = torch.randn((count, table.shape[1]), generator=draw)
            found.append(table.mean(0).cpu() + noise * table.std(0).cpu())
            continue
        ids = [token for unit in units(tokenizer, word) for token in unit]
        if not ids:
            raise InputError(f"init_word {word!r} has no token.", field="init_word", advice="Give an ordinary word.")
        if len(ids) > count:
            note = f"init_word {word!r} has {len(ids)} tokens: the first {count} are begun with (num_vectors_per_token)."
        found.append(table[[ids[number % len(ids)] for number in range(count)]].cpu().clone())
    return found, note


def _ids(tokenizer: Any, text: str) -> list[int]:
    """The tokens of `text` in the vocabulary of a tokenizer, which does not change. Remembered: where a text encoder is trained
    the same captions come again in each epoch."""
    known = _KNOWN.setdefault(tokenizer, {})
    if text not in known:
        if len(known) >= _MOST_KNOWN:
            known.clear()
        known[text] = tuple(tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text)))
    return list(known[text])


def _words_of(model: Model) -> AddedWords:
    """The model's added words; it has the place for them from now on."""
    first = model.tokenizers[0]
    if isinstance(first, WordTokenizer):
        return first.words
    words = AddedWords()
    model.tokenizers[:] = [WordTokenizer(one, words) for one in model.tokenizers]
    for number, encoder in enumerate(model.text_encoders):
        encoder.set_input_embeddings(WordEmbedding(encoder.get_input_embeddings(), words, number))
    return words
