"""Which files whoever uses the page may name, where the host is open to others without a login (or its owner said so).

`hosts.base.Access.folders` holds the folders; None is every folder. What is outside is refused alike whether it is there or
not. A link inside a folder may lead out of it: whoever put it there meant it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..data.plan.metadata_images import keys_outside
from ..data.plan.words import name_some
from ..errors import InputError, InputErrors
from ..foreign.reading import is_folder, is_there
from ..hosts.base import Access
from ..options import OPTIONS, concepts, flat
from ..options.data_spec import SubsetSpec
from ..options.dataset_keys import KEYS
from ..options.path_checks import looks_local
from ..options.simple import SIMPLE_BY_NAME, RunFiles
from ..paths import user_path
from .drafts import Draft

_PATHS = {option.name: option.path for option in OPTIONS if option.path and option.name != "output_dir"}  # that one is ours
_PATHS |= {name: option.path for name, option in SIMPLE_BY_NAME.items() if option.path}
_LONGEST_NAME, _LONGEST_PATH = 255, 4000  # bytes: what no system has more of
_DATASET_PATHS = {name: key.option.path for name, key in KEYS.items() if key.option.path}


def problem(path: Path, access: Access, field: str) -> InputError | None:
    """Why `path` may not be looked at, or None."""
    if any(len(os.fsencode(part)) > _LONGEST_NAME for part in path.parts) or len(os.fsencode(path)) > _LONGEST_PATH:
        return InputError(f"{str(path)[:80]}... is longer than a path can be.", field=field, advice="Check the path.")
    if access.folders is None or _is_inside(path, access.folders):
        return None
    return InputError(
        f"{path} is in no folder that this program may look into for its page.",
        field=field,
        advice=f"Drop the files onto the page, or let whoever runs the program add the folder: {access.how_to_add_folder}",
    )


def of_draft(draft: Draft, access: Access) -> list[InputError]:
    """What a request names outside of the folders; nothing has been looked at by then."""
    named = [*_named(draft.base, _PATHS), *_named_in_tables(draft.dataset or {})]
    for name, value in concepts.named_values(draft.base):
        named += [(name, text) for _, text in _named({concepts.plain_name(name): value}, concepts.PATHS)]
    return _problems(named, access)


def of_files(files: RunFiles, access: Access) -> list[InputError]:
    """The same for what came out of a request, with what the files say that it names."""
    subsets = [subset for dataset in files.data.datasets for subset in dataset.subsets]
    named = list(_named(flat(files.options), _PATHS))
    for subset in subsets:
        named += _named({name: str(path) for name in _DATASET_PATHS if (path := getattr(subset, name))}, _DATASET_PATHS)
    refused = _problems(named, access)
    if refused or access.folders is None:
        return refused
    return [error for subset in subsets for error in _of_metadata(subset, access)]


def _of_metadata(subset: SubsetSpec, access: Access) -> list[InputError]:
    """The images of a metadata file that lie outside: whoever wrote it could name any file of this machine in it."""
    if subset.metadata_file is None:
        return []
    outside = keys_outside(subset, lambda path: problem(path, access, "metadata_file") is None)
    if not outside:
        return []
    return [
        InputError(
            f"{len(outside)} images are in no folder that this program may look into for its page: {name_some(outside)}.",
            field="metadata_file",
            where=str(subset.metadata_file),
            advice=f"Put them into its image_dir, or let whoever runs the program add the folder: {access.how_to_add_folder}",
        )
    ]


def must_be_there(files: RunFiles) -> None:
    """Raise InputErrors for folders of images that went since they were looked at: another tab's "Remove all"."""
    named = {one.image_dir for each in files.data.datasets for one in each.subsets if one.image_dir}
    gone = [InputError(f"The folder {one} was removed meanwhile.", field="image_dir") for one in named if not is_folder(one)]
    if gone:
        raise InputErrors(gone)


def _problems(named: list[tuple[str, str]], access: Access) -> list[InputError]:
    found = (problem(user_path(text), access, field) for field, text in dict.fromkeys(named))
    return [one for one in found if one is not None]


def _named(values: Mapping[str, Any], kinds: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """(field, path) of what names files in `values`; names of models on Hugging Face are none."""
    for field, kind in kinds.items():
        given = values.get(field)
        for value in given if isinstance(given, (list, tuple)) else [given]:
            text = value.strip() if isinstance(value, str) else ""
            if text and not (kind == "model" and not looks_local(text) and not is_there(user_path(text))):
                yield field, text


def _named_in_tables(tables: Any) -> Iterator[tuple[str, str]]:
    if isinstance(tables, Mapping):
        yield from _named(tables, _DATASET_PATHS)
        tables = list(tables.values())
    for table in tables if isinstance(tables, list) else []:
        yield from _named_in_tables(table)


def _is_inside(path: Path, folders: tuple[Path, ...]) -> bool:
    if "\0" in str(path):
        return False
    whole = path.absolute()
    if ".." not in path.parts and any(whole.is_relative_to(folder) for folder in folders):
        return True
    if whole.anchor not in {folder.anchor for folder in folders}:
        return False  # on Windows looking at \\machine\share would log in there
    try:
        return any(path.resolve().is_relative_to(folder.resolve()) for folder in folders)
    except (OSError, RuntimeError, ValueError):  # a ring of links, or what is no path at all
        return False
