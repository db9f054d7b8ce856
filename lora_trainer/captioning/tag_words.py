"""From how sure a tagger is of each tag to the words that are written. Pure functions of list, options and numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .tag_lists import CHARACTER, GENERAL, QUALITY, RATING, Tag, TagList

_SHORT = 3  # letters: faces like ^_^ keep their underscore


@dataclass(frozen=True, kw_only=True)
class Wording:
    """How tags are chosen and written.

    thresholds: by kind; a kind that is not named is not written. replacements: old word -> new word, both as written. first:
    tags that come first, in this order. ratings, qualities: where the likeliest one goes: "first", "last" or "".
    """

    thresholds: Mapping[str, float]
    undesired: frozenset[str] = frozenset()
    remove_underscore: bool = False
    expand_characters: bool = False
    replacements: Mapping[str, str] = field(default_factory=dict)
    first: Sequence[str] = ()
    characters_first: bool = False
    ratings: str = ""
    qualities: str = ""


class Words:
    """What is written of pictures. `counts` is how often each word was found."""

    def __init__(self, tags: TagList, wording: Wording) -> None:
        self._wording = wording
        self._is_sorted = tags.is_sorted
        undesired = {_plain(word) for word in wording.undesired}
        self._words = [
            () if _plain(tag.name) in undesired else tuple(w for w in written(tag, wording) if _plain(w) not in undesired)
            for tag in tags.tags
        ]
        kinds = [tag.kind for tag in tags.tags]
        self._indices = {kind: np.array([i for i, one in enumerate(kinds) if one == kind], np.intp) for kind in set(kinds)}
        self.counts: Counter[str] = Counter()

    def of(self, sureness: NDArray[np.float32]) -> list[str]:
        """The words for one picture; sureness [tags] in 0..1."""
        kinds = {kind: self._found(kind, least, sureness) for kind, least in self._wording.thresholds.items()}
        characters = kinds.pop(CHARACTER, [])
        general = kinds.pop(GENERAL, [])
        others = [index for found in kinds.values() for index in found]
        if self._wording.characters_first:
            order = [*self._ordered(characters, sureness), *self._ordered([*general, *others], sureness)]
        else:
            order = self._ordered([*general, *characters, *others], sureness)
        words = [word for index in order for word in self._words[index]]
        for kind, place in ((QUALITY, self._wording.qualities), (RATING, self._wording.ratings)):
            chosen = self._likeliest(kind, sureness) if place else []
            words = [*chosen, *words] if place == "first" else [*words, *chosen]
        words = list(dict.fromkeys(words))
        leading = [word for word in self._wording.first if word in words]
        words = [*leading, *(word for word in words if word not in leading)]
        self.counts.update(words)
        return words

    def _found(self, kind: str, least: float, sureness: NDArray[np.float32]) -> list[int]:
        indices = self._indices.get(kind, np.array([], np.intp))
        return [int(index) for index in indices[sureness[indices] >= least]]

    def _ordered(self, indices: Sequence[int], sureness: NDArray[np.float32]) -> list[int]:
        return sorted(indices, key=lambda index: -sureness[index]) if self._is_sorted else list(indices)

    def _likeliest(self, kind: str, sureness: NDArray[np.float32]) -> list[str]:
        indices = self._indices.get(kind, np.array([], np.intp))
        if not len(indices):
            return []
        return list(self._words[int(indices[np.argmax(sureness[indices])])])


def written(tag: Tag, wording: Wording) -> tuple[str, ...]:
    """The words that stand for a tag: one, or two where the name of a character is taken apart."""
    words = [tag.name]
    if wording.expand_characters and tag.kind == CHARACTER:
        words = _expanded(tag.name)
    if wording.remove_underscore:
        words = [word.replace("_", " ") if len(word) > _SHORT else word for word in words]
    return tuple(word for one in words if (word := wording.replacements.get(one, one)))


def _expanded(name: str) -> list[str]:
    """`name_(costume)_(series)` -> `name_(costume)`, `series`."""
    match = re.fullmatch(r"(.+?)_?\(([^()]+)\)", name)
    return [match[1], match[2]] if match else [name]


def _plain(word: str) -> str:
    """A word as it is compared: an undesired tag may be written with underscores or with spaces."""
    return word.strip().replace("_", " ").lower()


def parse_replacements(text: str) -> dict[str, str]:
    r"""`old1,new1;old2,new2` as a table; `\,` and `\;` are a comma and a semicolon in a tag. Raises InputError."""
    found = {}
    for pair in _split(text, ";"):
        if not pair.strip():
            continue
        parts = [re.sub(r"\\([,;])", r"\1", part).strip() for part in _split(pair, ",")]
        if len(parts) != 2 or not parts[0]:
            raise InputError(
                f"{pair.strip()!r} is no replacement.",
                field="tag_replacement",
                where="--tag_replacement",
                advice=r"Write old,new and several with semicolons: old1,new1;old2,new2. A comma in a tag is \, there.",
            )
        found[parts[0]] = parts[1]
    return found


def _split(text: str, mark: str) -> list[str]:
    return re.split(rf"(?<!\\){mark}", text)


def listed(text: str | None) -> list[str]:
    """The tags in a list with commas."""
    return [word.strip() for word in (text or "").split(",") if word.strip()]
