"""The pictures of a folder, read ahead by threads."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ..data.decoding import load_pixels
from ..data.plan.files import Listing, list_folder, list_tree, read_facts
from ..data.resize import Pixels
from ..errors import InputError
from ..log import logger

T = TypeVar("T")
_THREADS = 4


@dataclass(frozen=True)
class Picture:
    """A picture: its file, and its name as it is told, below the folder that was asked for."""

    path: Path
    name: str


@dataclass(frozen=True)
class Found:
    """The pictures below a folder, sorted, and what each of the folders holds."""

    root: Path
    pictures: list[Picture]
    listings: dict[Path, Listing]


def find(root: Path, *, recursive: bool) -> Found:
    """The pictures in `root`, with `recursive` in its sub-folders too; what is hidden is left out.

    A sub-folder that cannot be read is told and passed over. Raises InputError where there is no picture.
    """

    def passed_over(folder: Path, error: OSError) -> None:
        logger.warning("%s is passed over: it cannot be read (%s).", folder, error.strerror or error)

    try:
        listings = dict(list_tree(root, passed_over)) if recursive else {root: list_folder(root)}
    except OSError as error:
        raise InputError(f"the folder cannot be read: {error.strerror or error}.", where=str(root)) from error
    pictures = [
        Picture(folder / name, (folder / name).relative_to(root).as_posix())
        for folder, listing in listings.items()
        for name in listing.images
    ]
    if not pictures:
        others = [name for listing in listings.values() for name in listing.others]
        look = "--recursive looks into its sub-folders too." if not recursive and _has_folders(root) else ""
        said = f" {others[0]} is of a kind or spelling that is not read." if others else ""
        raise InputError(f"there are no pictures in it.{said}", field="train_data_dir", where=str(root), advice=look)
    return Found(root, pictures, listings)


def _has_folders(root: Path) -> bool:
    return any(one.is_dir() and not one.name.startswith(".") for one in root.iterdir())


def read_ahead(
    pictures: Iterable[Picture], prepare: Callable[[Pixels], T], threads: int | None, ahead: int
) -> Iterator[tuple[Picture, T | InputError]]:
    """Each picture with what `prepare` makes of its pixels (uint8 [H, W, 3]), in order; with the error where it is unreadable.

    At most `ahead` pictures are held besides the one given out. `threads` of 0 reads them one by one.
    """

    def load(picture: Picture) -> T | InputError:
        path = str(picture.path)
        try:
            return prepare(load_pixels(path))
        except InputError as error:
            try:
                facts = read_facts(path, picture.path.stat().st_size, verify=True)
            except OSError:
                return error
            return InputError(facts.problem or error.message, where="" if facts.problem else error.where)

    if threads == 0:
        for picture in pictures:
            yield picture, load(picture)
        return
    with ThreadPoolExecutor(threads or min(_THREADS, os.cpu_count() or 1)) as pool:
        waiting: deque[tuple[Picture, Future[T | InputError]]] = deque()
        for picture in pictures:
            waiting.append((picture, pool.submit(load, picture)))
            if len(waiting) > ahead:
                first, result = waiting.popleft()
                yield first, result.result()
        while waiting:
            first, result = waiting.popleft()
            yield first, result.result()
