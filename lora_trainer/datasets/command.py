"""`edit_captions`: what the data set page does to many captions at once, from the command line.

python -m lora_trainer edit_captions frogs --filter "untagged OR tokens>75" --add "sls frog" --at start --dry_run
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..data.plan.words import count
from ..errors import InputError
from ..foreign.reading import is_folder
from ..paths import ROOT_DIR, user_path
from . import queries
from .changing import Force, Outcome
from .dataset import DataSet
from .edits import Edit, read_edit
from .library import Library
from .model import Picture

_SHOWN = 20  # captions in a dry run
_HOURS = 24 * 3600.0  # reading a data set takes as long as it takes
_LIST = {"add": "tags", "remove": "tags"}
_ONE = {"prefix": "text", "suffix": "text"}
_TWO = {"rename": ("tag", "to"), "replace": ("find", "with"), "regex": ("pattern", "replacement")}
_ALONE: dict[str, dict[str, Any]] = {
    "sort": {"kind": "sort"},
    "deduplicate": {"kind": "deduplicate"},
    "tidy": {"kind": "tidy"},
    "encoding": {"kind": "encoding"},
    "lower": {"kind": "case", "to": "lower"},
    "spaces": {"kind": "underscores", "to": "spaces"},
    "underscores": {"kind": "underscores", "to": "underscores"},
    "delete": {"kind": "delete"},
}


def main(argv: Sequence[str]) -> int:
    """Do the edits in the order they are named, each a step; returns the exit status. Raises InputError, SaveError."""
    given = _parser().parse_args(list(argv))
    folders = [user_path(text).absolute() for text in given.folders]
    for folder in folders:
        if not is_folder(folder):
            raise InputError(f"{folder} is no folder.", field="folders", advice="Name the folder that the pictures lie in.")
    edits = [_with_place(edit, given.at) for edit in given.edits]
    library = Library(Path(user_path(given.data_dir)))
    try:
        dataset = library.open(folders, given.caption_extension)
        dataset.wait(_HOURS)
        library.adopt(dataset)
        if given.undo or given.redo:
            return _told(library.undo(dataset, _force(given)) if given.undo else library.redo(dataset, _force(given)))
        pictures = queries.matching(dataset, given.filter)
        if not edits:
            _say(*(f"{dataset.path_of(one)}: {one.caption.text or ''}" for one in pictures))
            return 0
        if given.dry_run:
            return _try_out(dataset, [read_edit(edit) for edit in edits], pictures)
        return max(_told(library.edit(dataset, read_edit(one), _ids(pictures), force=_force(given))) for one in edits)
    finally:
        library.close()


def _ids(pictures: list[Picture]) -> list[int]:
    return [one.id for one in pictures]


def _force(given: argparse.Namespace) -> Force:
    return Force(skip=given.skip, overwrite=given.force)


def _with_place(edit: dict[str, Any], place: str) -> dict[str, Any]:
    if edit["kind"] != "add":
        return edit
    return {**edit, "at": int(place) if place.isascii() and place.isdigit() else place}


def _try_out(dataset: DataSet, edits: list[Edit], pictures: list[Picture]) -> int:
    """Say what would become of the captions."""
    if any(edit.of != "text" for edit in edits):
        _say(f"{len(pictures)} pictures would be deleted: {', '.join(one.name for one in pictures[:_SHOWN])}")
        return 0
    before = [one.caption.text or "" for one in pictures]
    after = before
    for edit in edits:
        after = edit.apply(after)
    changed = [one for one in zip(pictures, before, after, strict=True) if one[1] != one[2]]
    _say(*(f"{dataset.path_of(one)}\n  - {old}\n  + {new}" for one, old, new in changed[:_SHOWN]))
    _say(f"{len(changed)} of {len(pictures)} captions would change; nothing was written.")
    return 0


def _told(outcome: Outcome) -> int:
    """Say what was done; 1 where something stood in the way."""
    _say(f"{count(outcome.changed, 'picture', 'pictures')} changed." if outcome.step is not None else "Nothing was changed.")
    for conflict in outcome.conflicts[:_SHOWN]:
        _say(f"  {conflict.name}: {conflict.message}")
    if outcome.conflicts and outcome.step is None:
        _say("Use --skip to leave these as they are and change the others, or --force.")
    return 1 if outcome.conflicts else 0


def _say(*lines: str) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)


class _AddEdit(argparse.Action):
    """Puts the edit that an option means at the end of `edits`."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: str | None = None) -> None:
        kind = self.dest
        if kind in _ALONE:
            edit = dict(_ALONE[kind])
        elif kind in _LIST:
            edit = {"kind": kind, _LIST[kind]: [tag.strip() for tag in values.split(",") if tag.strip()]}
        elif kind in _ONE:
            edit = {"kind": kind, _ONE[kind]: values}
        else:
            edit = {"kind": kind, **dict(zip(_TWO[kind], values, strict=True))}
        namespace.edits.append(edit)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lora_trainer edit_captions",
        description="Change the captions of many pictures. Edits are done in the order they are named, each as a step of the "
        "data set page's history. Without an edit the captions are listed.",
    )
    parser.set_defaults(edits=[])
    parser.add_argument("folders", nargs="+", help="folders of pictures; together they are one data set")
    parser.add_argument("--filter", default="", help="only these pictures (the language of the data set page)")
    parser.add_argument(
        "--add", action=_AddEdit, metavar="TAGS", help="add tags, with commas between, where they are not there"
    )
    parser.add_argument("--at", default="end", metavar="PLACE", help="where --add puts them: start, end, a number, after:TAG")
    parser.add_argument("--remove", action=_AddEdit, metavar="TAGS", help="remove tags (* stands for anything)")
    parser.add_argument("--rename", action=_AddEdit, nargs=2, metavar=("TAG", "TO"), help="rename a tag")
    parser.add_argument("--replace", action=_AddEdit, nargs=2, metavar=("TEXT", "BY"), help="replace text")
    parser.add_argument("--regex", action=_AddEdit, nargs=2, metavar=("PATTERN", "BY"), help="replace by a regular expression")
    parser.add_argument("--prefix", action=_AddEdit, metavar="TEXT", help="put text in front of the first line")
    parser.add_argument("--suffix", action=_AddEdit, metavar="TEXT", help="put text behind the first line")
    for name, what in (
        ("sort", "sort the tags"),
        ("deduplicate", "remove tags that are there twice"),
        ("tidy", "single spaces, no empty tags and lines"),
        ("encoding", "write as UTF-8 without byte order mark"),
        ("lower", "small letters"),
        ("spaces", "spaces in place of underscores"),
        ("underscores", "underscores in place of spaces"),
        ("delete", "move the pictures with their captions into the folder .lora-trainer-trash"),
    ):
        parser.add_argument(f"--{name}", action=_AddEdit, nargs=0, help=what)
    parser.add_argument("--undo", action="store_true", help="undo the last step of these folders")
    parser.add_argument("--redo", action="store_true", help="do again what was undone")
    parser.add_argument("--dry_run", action="store_true", help="say what would change, and write nothing")
    parser.add_argument(
        "--skip", action="store_true", help="leave out files that cannot be changed, or that somebody else changed"
    )
    parser.add_argument("--force", action="store_true", help="overwrite what somebody else changed; the history keeps it")
    parser.add_argument("--caption_extension", help="ending of the caption files (default: .txt, or what the folders have)")
    parser.add_argument("--data_dir", default=str(ROOT_DIR / "user"), help="the program's data folder, which has the history")
    return parser
