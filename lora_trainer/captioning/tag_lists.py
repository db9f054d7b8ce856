"""The list of tags that comes with a tagger: what each of its outputs means."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BaseModelError
from ..foreign.json_text import read_json
from ..foreign.reading import errors_as, read_text

GENERAL, CHARACTER, COPYRIGHT, ARTIST, META, MODEL = "general", "character", "copyright", "artist", "meta", "model"
RATING, QUALITY = "rating", "quality"
KINDS = (GENERAL, CHARACTER, COPYRIGHT, ARTIST, META, MODEL, RATING, QUALITY)
_NUMBERS = {"0": GENERAL, "1": ARTIST, "3": COPYRIGHT, "4": CHARACTER, "5": META, "9": RATING}  # Danbooru's
_LIMIT = 1 << 26  # bytes; the largest lists have some megabytes
_AGAIN = "Take the list of tags that belongs to the tagger."


@dataclass(frozen=True)
class Tag:
    """A tag as the list has it, and its kind, one of KINDS or another word of the list."""

    name: str
    kind: str


@dataclass(frozen=True)
class TagList:
    """The tags in the order of the tagger's outputs. `is_sorted`: what is found is written by how sure it is, not so."""

    path: Path
    tags: tuple[Tag, ...]
    is_sorted: bool = False


def read(path: Path) -> TagList:
    """Read `selected_tags.csv` (a table with the columns name and category) or `tag_mapping.json`.

    Raises BaseModelError for another or a damaged file.
    """
    with errors_as(BaseModelError, path):
        if path.suffix.lower() == ".json":
            return TagList(path, _from_json(path, read_json(path, limit=_LIMIT)), is_sorted=True)
        return TagList(path, _from_csv(path, read_text(path, limit=_LIMIT)))


def _from_csv(path: Path, text: str) -> tuple[Tag, ...]:
    rows = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    columns = rows.fieldnames or []
    if not {"name", "category"} <= set(columns):
        found = ", ".join(columns[:6]) or "nothing"
        raise BaseModelError(
            f"{path} is no list of tags: its first line is to name the columns name and category, but says {found}.",
            advice=_AGAIN,
        )
    tags = []
    for row in rows:
        if not row["name"] or row["category"] is None:
            raise BaseModelError(f"{path} is damaged: line {rows.line_num} lacks a name or a category.", advice=_AGAIN)
        tags.append(Tag(row["name"], _kind(row["category"])))
    if not tags:
        raise BaseModelError(f"{path} holds no tags.", advice=_AGAIN)
    return tuple(tags)


def _from_json(path: Path, content: Any) -> tuple[Tag, ...]:
    """`{"0": {"tag", "category"}}`, or `{"idx_to_tag": {"0": tag}, "tag_to_category": {tag: category}}`."""
    names: Any = content.get("idx_to_tag") if isinstance(content, Mapping) else None
    if isinstance(names, Mapping):
        kinds = content.get("tag_to_category")
        kinds = kinds if isinstance(kinds, Mapping) else {}
        content = {index: {"tag": name, "category": kinds.get(name, GENERAL)} for index, name in names.items()}
    try:
        numbered = {int(index): Tag(str(one["tag"]), _kind(str(one["category"]))) for index, one in content.items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BaseModelError(
            f'{path} is no list of tags: entries like "0": {{"tag": ..., "category": ...}} are expected.', advice=_AGAIN
        ) from error
    if sorted(numbered) != list(range(len(numbered))):
        raise BaseModelError(f"{path} does not number its {len(numbered)} tags from 0.", advice=_AGAIN)
    return tuple(numbered[index] for index in range(len(numbered)))


def _kind(category: str) -> str:
    category = category.strip().lower()
    return _NUMBERS.get(category, category)
