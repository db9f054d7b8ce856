"""What mends a finding of the lint, as an edit of the data set: so it is one step that can be undone."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..data.plan import Finding
from ..data.plan.model import Fix
from .dataset import DataSet
from .edits import Edit, read_edit
from .model import Picture

_Values = Mapping[str, Any]
# Name of a mend -> the edit that does it. `set` and `set_repeats` change options, not the data.
_EDITS: dict[str, Callable[[_Values], dict[str, Any]]] = {
    "add_words": lambda values: {"kind": "add", "tags": _tags(values["text"]), "at": "start"},
    "write_captions": lambda values: {"kind": "add", "tags": _tags(values["text"]), "at": "start"},
    "remove_words": lambda values: {"kind": "regex", "pattern": _word(values["text"]), "ignore_case": True},
    "drop_empty": lambda values: {"kind": "drop_empty"},
    "reencode": lambda values: {"kind": "encoding"},
    "join_lines": lambda values: {"kind": "join"},
    "cut_captions": lambda values: {"kind": "cut", "tokens": values["tokens"]},
    "rename_tags": lambda values: {"kind": "rename_all", "tags": dict(values["tags"])},
    "trim": lambda values: {"kind": "trim"},
    "put_aside": lambda values: {"kind": "delete"},
}
MENDS = frozenset(_EDITS)


def edit_of(fix: Fix) -> Edit:
    """The edit that does what `fix` says. Raises KeyError for one that changes options."""
    return read_edit(_EDITS[fix.name](fix.values))


def pictures_of(dataset: DataSet, paths: Iterable[str]) -> list[int]:
    """The ids of those of `paths` that are in the data set, in order, each once."""
    return list(dict.fromkeys(ids_of(dataset, paths).values()))


def ids_of(dataset: DataSet, paths: Iterable[str]) -> dict[str, int]:
    """Path -> id of those of `paths` that are in the data set, however its folders are named."""
    places = {os.path.realpath(folder.path): folder.pictures for folder in dataset.folders}
    known: dict[str, Mapping[str, Picture]] = {}
    found: dict[str, int] = {}
    for path in paths:
        folder, name = os.path.split(path)
        if folder not in known:
            known[folder] = places.get(os.path.realpath(folder), {})
        if name in known[folder]:
            found[path] = known[folder][name].id
    return found


def mark(dataset: DataSet, findings: Iterable[Finding]) -> None:
    """Remember with each picture what was found about it: the filter `finding:CODE` asks for it."""
    codes: dict[int, set[str]] = {}
    for finding in findings:
        for picture in pictures_of(dataset, finding.files) if finding.code else ():
            codes.setdefault(picture, set()).add(finding.code)
    dataset.put(findings=codes)


def _tags(text: str) -> list[str]:
    return [tag for part in text.split(",") if (tag := part.strip())]


def _word(text: str) -> str:
    """A whole word, with the comma or space behind it."""
    return rf"(?<!\w){re.escape(text)}(?!\w),? ?"
