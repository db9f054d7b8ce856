"""Identifier and class: what the subject is called by, and whether the captions say it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .. import tokens
from ..captions import example
from ..model import Finding, Fix, PlannedImage
from ..words import count, name_some

if TYPE_CHECKING:
    from ....options.dataset_config import SubsetSpec

_MOST_TOKENS = 3  # of an identifier


class Words(NamedTuple):
    """What the subject of a folder is called by; empty where there is none."""

    identifier: str
    class_name: str


def words_of(spec: SubsetSpec) -> Words:
    """What the class tokens say: `sks frog` is an identifier and a class, one word alone is a class."""
    first, _, rest = (spec.class_tokens or "").strip().partition(" ")
    return Words(first, rest.strip()) if rest else Words("", first)


def findings(spec: SubsetSpec, images: Sequence[PlannedImage], said: Words) -> Iterator[Finding]:
    """Findings about the words of one folder of training images."""
    if not said.identifier or not images:
        return
    folder = str(spec.place)
    yield from _absent(spec, [image for image in images if image.has_caption], said, folder)
    yield from _as_tokens(said.identifier, folder)
    if not said.class_name:
        message = f"the images are called {said.identifier!r} and nothing else: no class says what kind of thing it is."
        yield Finding("info", message, folder, "class_name", "class_missing")


def in_regularisation(spec: SubsetSpec, images: Sequence[PlannedImage], identifiers: Sequence[str]) -> Iterator[Finding]:
    """Captions of regularisation images that name the subject."""
    for identifier in dict.fromkeys(filter(None, identifiers)):
        naming = [image for image in images if image.has_caption and has_word(image.caption, identifier)]
        if naming:
            some = name_some(Path(image.path).name for image in naming)
            captions = count(len(naming), "caption of a regularisation image", "captions of regularisation images")
            message = f"{identifier!r} stands in {captions}: {some}."
            files = tuple(image.path for image in naming)
            fix = Fix("remove_words", {"text": identifier})
            yield Finding("warning", message, str(spec.place), "reg_data_dir", "identifier_in_reg", files, fix)


def _absent(spec: SubsetSpec, own: Sequence[PlannedImage], said: Words, folder: str) -> Iterator[Finding]:
    lacking = [image for image in own if not has_word(example(image.caption, spec), said.identifier)]
    if not lacking:
        return
    some = name_some(Path(image.path).name for image in lacking)
    message = f"{len(lacking)} of {count(len(own), 'caption does', 'captions do')} not say {said.identifier!r}: {some}."
    fix = Fix("add_words", {"text": said.identifier})
    files = tuple(image.path for image in lacking)
    yield Finding("warning", message, folder, "class_tokens", "identifier_absent", files, fix)


def _as_tokens(identifier: str, folder: str) -> Iterator[Finding]:
    parts = tokens.parts(identifier)
    if len(parts) > _MOST_TOKENS:
        cut = "·".join(part.removesuffix("</w>") for part in parts)
        message = f"the identifier {identifier!r} is {len(parts)} tokens for the model ({cut})."
        yield Finding("info", message, folder, "class_tokens", "identifier_tokens")
    elif tokens.is_common(identifier):
        message = f"the identifier {identifier!r} is a common word, which the model connects with something already."
        yield Finding("warning", message, folder, "class_tokens", "identifier_common")


def has_word(text: str, word: str) -> bool:
    """Whether `text` says `word` (or words), in any case, and not as a part of a longer word."""
    return re.search(rf"(?<!\w){re.escape(word.lower())}(?!\w)", text.lower()) is not None
