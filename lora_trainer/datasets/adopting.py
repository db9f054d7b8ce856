"""What tools wrote into caption files (data.plan.caption_backup), taken into the history and undone like any other step."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ..data.plan import caption_backup
from ..data.plan.caption_backup import Backup
from ..errors import SaveError
from ..log import logger
from .dataset import DataSet
from .history import DONE, TEXT, Change, History
from .model import Folder
from .scan import folder_time

_AT_REST = 60.0  # seconds without a new line after which a tool that nobody here started has ended


def adopt(dataset: DataSet, history: History, has_ended: Callable[[str], bool]) -> None:
    """Make a step of each run of a tool that is over and not known yet; `has_ended` knows the runs that the page started."""
    for folder in dataset.folders:
        seen = folder_time(folder.path / caption_backup.FOLDER)
        if seen == -1 or seen == folder.adopted_ns:
            continue
        try:
            backups = caption_backup.read(folder.path)
        except (OSError, SaveError) as error:
            logger.warning("what tools wrote in %s could not be taken into the history: %s", folder.path, error)
            continue
        if all([_adopt(folder, backup, history, has_ended) for backup in backups]):
            folder.adopted_ns = seen


def _adopt(folder: Folder, backup: Backup, history: History, has_ended: Callable[[str], bool]) -> bool:
    """Whether the run is dealt with; one that may be at work comes another time."""
    told = {"kind": "tool", "name": backup.name, "folder": folder.id}
    if history.is_known(told):
        return True
    if not has_ended(backup.name) and time.time() - backup.changed < _AT_REST:
        return False
    if changes := _changes(folder, backup):
        history.begin(told, changes, DONE)
    return True


def _changes(folder: Folder, backup: Backup) -> list[Change]:
    """The files that still are as the tool wrote them."""
    pictures = {one.caption.file: one for one in folder.pictures.values() if one.caption.file}
    stems = {Path(name).stem: one for name, one in folder.pictures.items()}
    changes = []
    for name, before, now in backup.changes:
        picture = pictures.get(name) or stems.get(Path(name).stem)
        if picture is not None and now != before:
            changes.append(Change(picture.id, folder.id, name, TEXT, before, now))
    return changes
