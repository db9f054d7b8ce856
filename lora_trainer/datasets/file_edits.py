"""Edits of the picture files themselves: deleting, turning, cropping, as changes that can be undone."""

from __future__ import annotations

import secrets
import time
from pathlib import Path

from ..data.plan.caption_files import ENDINGS, CaptionFiles
from ..data.plan.files import MASK_SUFFIX, masks_of
from ..errors import InputError
from .dataset import DataSet
from .edits import Edit
from .history import FILE, Change
from .model import Folder, Picture, Stamp
from .pictures import without_bars, write_changed, write_mask
from .planning import only
from .scan import list_files
from .trash import TRASH, Kept, stamp_of


def plan_files(dataset: DataSet, edit: Edit, pictures: list[Picture]) -> list[Change]:
    """The changes of `edit`; of turned and cropped pictures the new files lie in the trash folder then, to be put in place."""
    place = f"{TRASH}/{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    if edit.kind == "delete":
        return _deleted(dataset, pictures, place)
    if edit.kind in ("crop", "mask"):
        only(pictures)
    if edit.kind == "mask":
        return _masked(dataset, edit.values["png"], pictures[0], place)
    changes = []
    for index in sorted({picture.folder for picture in pictures}):
        folder = dataset.folders[index]
        listing = list_files(folder.path, dataset.ending).listing
        for picture in (picture for picture in pictures if picture.folder == index):
            own = without_bars(folder.path / picture.name) if edit.kind == "trim" else edit
            masks = masks_of(picture.name, listing) if listing.masks else []
            if own is not None:
                changes += [_changed(folder, own, picture, name, place) for name in (picture.name, *masks)]
    return changes


def _masked(dataset: DataSet, data: bytes | None, picture: Picture, place: str) -> list[Change]:
    """The picture's mask is `data` (a PNG, written anew in grey), or none; what were its masks goes."""
    folder = dataset.folders[picture.folder]
    listing = list_files(folder.path, dataset.ending).listing
    if picture.size is None:
        raise InputError(f"{picture.name} cannot be read: {picture.problem}", field="ids")
    old = {name: stamp for name in masks_of(picture.name, listing) if (stamp := stamp_of(folder.path / name))}
    name = next((one for one in old if one.lower().endswith(".png")), f"{Path(picture.name).stem}{MASK_SUFFIX}.png")
    after = None
    if data is not None:
        new = Kept(f"{place}/new-{name}", Stamp(0, 0))
        write_mask(data, folder.path / new.at, picture.size)
        stamp = stamp_of(folder.path / new.at)
        assert stamp is not None
        after = new._replace(stamp=stamp).to_bytes()
    changes = [
        Change(picture.id, folder.id, one, FILE, Kept(f"{place}/{one}", stamp).to_bytes(), after if one == name else None)
        for one, stamp in old.items()
    ]
    if after is not None and name not in old:
        changes.append(Change(picture.id, folder.id, name, FILE, None, after))
    return changes


def _deleted(dataset: DataSet, pictures: list[Picture], place: str) -> list[Change]:
    """Each picture with its masks, and the captions, of whatever ending, that no other picture has."""
    changes = []
    for index in sorted({picture.folder for picture in pictures}):
        folder = dataset.folders[index]
        going = {picture.name: picture for picture in pictures if picture.folder == index}
        for file, picture in _files_of(folder, going, dataset.ending).items():
            stamp = stamp_of(folder.path / file)
            if stamp is not None:
                kept = Kept(f"{place}/{file}", stamp)
                changes.append(Change(picture.id, folder.id, file, FILE, kept.to_bytes(), None))
    return changes


def _files_of(folder: Folder, going: dict[str, Picture], ending: str) -> dict[str, Picture]:
    """The files that go with the pictures `going`, by name."""
    found = dict(going)
    listing = list_files(folder.path, ending).listing
    if listing.masks:
        found |= {mask: picture for name, picture in going.items() for mask in masks_of(name, listing)}
    for one in dict.fromkeys((*ENDINGS, ending)):
        files = CaptionFiles(listing, one)
        captions = {name: caption for name in listing.images if (caption := files.name_for(name))}
        staying = {caption for name, caption in captions.items() if name not in going}
        found |= {captions[name]: going[name] for name in going if name in captions and captions[name] not in staying}
    return found


def _changed(folder: Folder, edit: Edit, picture: Picture, file: str, place: str) -> Change:
    """The change of a picture's own `file`, or of its mask, which is turned and cut alike."""
    path = folder.path / file
    old = stamp_of(path)
    if old is None or picture.problem or picture.size is None:
        raise InputError(f"{file} cannot be read: {picture.problem or 'it is gone.'}", field="ids")
    if path.is_symlink():
        raise InputError(f"{file} is a link to another file, which is not changed from here.", field="ids")
    name = f"{Path(file).stem}-{edit.kind}{Path(file).suffix}"
    new = folder.path / place / name
    write_changed(path, edit, new, picture.size)
    stamp = stamp_of(new)
    assert stamp is not None
    before, after = Kept(f"{place}/{file}", old), Kept(f"{place}/{name}", stamp)
    return Change(picture.id, folder.id, file, FILE, before.to_bytes(), after.to_bytes())
