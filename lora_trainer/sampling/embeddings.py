"""Embedding files while pictures are drawn: a prompt that holds the name of one means it, as in the Web UI."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..embeddings import files
from ..errors import EmbeddingFileError, InputError
from ..foreign.reading import is_file
from ..log import logger
from ..models import words
from ..paths import is_hidden

if TYPE_CHECKING:
    from torch import Tensor

    from ..models import Model

SUFFIXES = (".safetensors", ".pt", ".bin")


def in_folders(folders: Iterable[Path]) -> dict[str, Path]:
    """The embedding files in `folders` and below by their words, which are their names without ending; the first one counts."""
    found: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in SUFFIXES and not is_hidden(path, folder) and is_file(path):
                found.setdefault(path.stem, path)
    return found


@contextlib.contextmanager
def known(model: Model, by_word: Mapping[str, Path], texts: Iterable[str]) -> Iterator[dict[str, str]]:
    """Let `model` know the words that stand in `texts`, and forget them at the end; gives the Web UI's hashes by the words.

    A file that is no embedding, or is one for another family of models, costs a warning: its word is an ordinary one then, as
    it is in the Web UI.
    """
    whole = " ".join(texts).lower()
    taught: dict[str, str] = {}
    before: dict[str, tuple[Tensor, ...] | None] = {}  # a LoRA on the model may have brought the word
    try:
        for word, path in by_word.items():
            if word.lower() not in whole:
                continue
            try:
                vectors = [one.to(model.device) for one in files.load(path)]
                before[word] = words.vectors_of(model, word)
                words.teach(model, word, vectors)
                taught[word] = hashlib.sha256(path.read_bytes()).hexdigest()[:10]
            except (EmbeddingFileError, InputError) as error:
                logger.warning("%s is not used as an embedding: %s", word, error)
        yield taught
    finally:
        for word in taught:
            if (earlier := before[word]) is None:
                words.forget(model, word)
            else:
                words.teach(model, word, earlier)
