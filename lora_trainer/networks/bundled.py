"""Words in a LoRA file: embeddings that were trained with it, by the names that the Web UI and OneTrainer read.

bundle_emb.WORD.string_to_param.*                  [n, width]                  SD1 and SD2
bundle_emb.WORD.clip_l, bundle_emb.WORD.clip_g     [n, 768] and [n, 1280]      SDXL's first and second text encoder

The Web UI reads a word's name up to its first dot, and lets it be known while the LoRA is in the prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

PREFIX = "bundle_emb."
_ONE, _TWO = ("string_to_param.*",), ("clip_l", "clip_g")
Value = TypeVar("Value")


def is_bundled(key: str) -> bool:
    """Whether a tensor of this name belongs to a word."""
    return key.startswith(PREFIX) and key.count(".") > 1


def keys_for(word: str, vectors: Sequence[Tensor]) -> dict[str, Tensor]:
    """The tensors of a word, given for each text encoder of the model, by their names in the file."""
    names = _ONE if len(vectors) == 1 else _TWO
    return {f"{PREFIX}{word}.{name}": tensor for name, tensor in zip(names, vectors, strict=True)}


def split(tensors: Mapping[str, Value]) -> tuple[dict[str, Value], dict[str, Value]]:
    """Return (the tensors of the network, those of words), both by their names in the file."""
    network = {key: value for key, value in tensors.items() if not is_bundled(key)}
    return network, {key: value for key, value in tensors.items() if is_bundled(key)}


def words_in(tensors: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, ...]]:
    """{word: its vectors [n, width], float32, for each text encoder} of a file; none of the words that are kept otherwise."""
    parts: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        if is_bundled(key):
            word, _, part = key.removeprefix(PREFIX).partition(".")
            parts.setdefault(word, {})["string_to_param.*" if part.startswith("string_to_param.") else part] = tensor
    found = {}
    for word, own in parts.items():
        names = next((names for names in (_ONE, _TWO) if set(names) <= set(own)), ())
        if names and all(own[name].dim() == 2 for name in names):
            found[word] = tuple(own[name].float() for name in names)
    return found


def names_in(keys: Mapping[str, object] | Sequence[str]) -> list[str]:
    """The words that a file with these keys holds, sorted."""
    return sorted({key.removeprefix(PREFIX).partition(".")[0] for key in keys if is_bundled(key)})
