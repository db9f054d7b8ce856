"""How well each picture was learned: what the newest training of a data set's pictures wrote (losses.json of its run)."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ..foreign.reading import UnreadableError, read_bytes
from .dataset import DataSet
from .model import Learned, Stamp, Training

FILE = "losses.json"
_LARGEST = 256 << 20  # bytes; 100,000 pictures have 30 MB
_LOOK_AGAIN = 10.0  # seconds
_MOST_RUNS = 50


Earlier = Callable[[Path], Iterable[Path]]


def look(dataset: DataSet, runs: Path, earlier: Earlier = lambda _: ()) -> None:
    """Tell the data set how well its pictures were learned in the newest run below `runs` that saw any of them.

    `earlier` gives the folders that one is a copy of, the latest first: a run of those saw the same pictures.
    """
    now = time.monotonic()
    if now - dataset.learning_checked < _LOOK_AGAIN or dataset.progress is not None:
        return
    dataset.learning_checked = now
    for training, file in _newest(runs):
        if training == dataset.training:
            return
        if training in dataset.trainings_of_others:
            continue
        learned = _learned(dataset, file, earlier)
        if learned:
            dataset.training = training
            dataset.put(learned={one: learned.get(one, Learned(None, None)) for one in list(dataset.pictures)})
            return
        dataset.trainings_of_others.add(training)


def _newest(runs: Path) -> Iterator[tuple[Training, Path]]:
    """The runs that wrote losses, the newest first."""
    found = []
    try:
        for entry in os.scandir(runs):
            file = Path(entry.path, FILE)
            try:
                stat = file.stat()
            except OSError:
                continue
            found.append((Training(entry.name, stat.st_mtime, Stamp(stat.st_size, stat.st_mtime_ns)), file))
    except OSError:
        return
    yield from sorted(found, key=lambda one: -one[0].time)[:_MOST_RUNS]


def _learned(dataset: DataSet, file: Path, earlier: Earlier) -> dict[int, Learned]:
    """What a file says of the pictures of the data set, by id."""
    try:
        content = json.loads(read_bytes(file, limit=_LARGEST))
        rows = [(str(row["path"]), Learned(float(row["relative"]), str(row["caption"]))) for row in content["pictures"]]
    except (UnreadableError, ValueError, TypeError, KeyError, RecursionError):
        return {}  # of another version, or cut short
    homes = {folder: os.path.realpath(folder) for folder in {os.path.split(path)[0] for path, _ in rows}}
    known = {(homes[folder], name): row for path, row in rows for folder, name in [os.path.split(path)]}
    places = [[os.path.realpath(one) for one in (folder.path, *earlier(folder.path))] for folder in dataset.folders]
    found = {}
    for picture in dataset.in_order():
        rows = (known.get((place, picture.name)) for place in places[picture.folder])
        if (row := next(filter(None, rows), None)) is not None:
            found[picture.id] = row
    return found
