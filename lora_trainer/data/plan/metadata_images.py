"""The images that a metadata file names: where they lie, with which captions they are trained, and what is wrong with them."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from ...errors import InputError, InputErrors
from .caption_marks import marks_without_effect
from .files import EXTENSIONS, Listing, Reading, list_folder
from .folder import FoundImage, report_notes
from .metadata_file import CAPTION, Entries, caption_of, read_entries, tags_of
from .model import Finding
from .words import count, name_some

if TYPE_CHECKING:
    from ...options.data_spec import SubsetSpec

_FIELD = "metadata_file"
_SEPARATOR = ","  # between caption and tags, where they are shown: that of a training without settings


def read_metadata(spec: SubsetSpec, reading: Reading, *, findings: list[Finding]) -> list[FoundImage]:
    """Return the images of a metadata file that can be trained, sorted by path; what is wrong goes into `findings`."""
    try:
        entries = read_entries(spec.place)
    except (InputError, InputErrors) as wrong:
        errors = wrong.errors if isinstance(wrong, InputErrors) else [wrong]
        for error in errors:
            message = error.message.removeprefix(f"{error.where}: ")
            findings.append(Finding("error", f"{message} {error.advice}".strip(), str(spec.place), _FIELD))
        return []
    reader = _Reader(spec, entries, findings)
    if not entries:
        reader.say("error", "the metadata file names no images.")
    named = reader.locate()
    looked_at = reading.look_at(list(named))
    report_notes(dict(zip(named.values(), looked_at, strict=True)), spec.place, findings)
    found = []
    for (path, key), fact in zip(named.items(), looked_at, strict=True):
        if fact.problem:
            message = f"{fact.problem} {fact.advice}".strip()
            findings.append(Finding("error", f"{message} Its key is {key!r}.", path, "image_dir"))
            continue
        text = reader.caption(key)
        tags = tags_of(entries[key], separator=spec.caption_separator)
        found.append(FoundImage(path, fact.size, text, bool(text), tags, is_unread=fact.is_unread))
    reader.report(named, found)
    return found


def captions_of(folder: Path, file: Path, *, enable_wildcard: bool, allowed: Callable[[Path], bool]) -> dict[str, str]:
    """Name -> caption, as it would be trained, of the images in `folder` that a metadata file names. Raises InputError(s).

    Nothing is looked at where that is not `allowed`.
    """
    places, found = _Places(folder, allowed), {}
    for key, entry in read_entries(file).items():
        where = places.find(key)
        if where is not None and Path(where.path).parent == folder:
            found[Path(where.path).name] = caption_of(entry, separator=_SEPARATOR, enable_wildcard=enable_wildcard)
    return found


def keys_outside(spec: SubsetSpec, allowed: Callable[[Path], bool]) -> list[str]:
    """The keys of a metadata file whose image is in no place that is `allowed`; at others nothing is looked at.

    What is not there counts as outside. Empty for a file that cannot be read: `read_metadata` says so.
    """
    try:
        entries = read_entries(spec.place)
    except (InputError, InputErrors):
        return []
    places = _Places(spec.image_dir, allowed)
    return [key for key in entries if places.find(key) is None]


@dataclass
class _Reader:
    """Finds the images of one metadata file and tells what is odd about it."""

    spec: SubsetSpec
    entries: Entries
    findings: list[Finding]
    missing: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)
    shared: list[str] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)

    def say(self, level: str, message: str, about: str = _FIELD) -> None:
        self.findings.append(Finding(level, message, str(self.spec.place), about))  # type: ignore[arg-type]

    def caption(self, key: str) -> str:
        """The caption that is trained of the image of this key."""
        spec = self.spec
        return caption_of(self.entries[key], separator=spec.caption_separator, enable_wildcard=spec.enable_wildcard)

    def locate(self) -> dict[str, str]:
        """Path of each image that is there -> its key, sorted by path."""
        places = _Places(self.spec.image_dir)
        named: dict[str, str] = {}
        for key in self.entries:
            where = places.find(key)
            if where is None:
                self.missing.append(key)
                continue
            if where.moved:
                self.moved.append(key)
            if where.also:
                self.shared.append(f"{key} ({', '.join(where.also)})")
            first = named.setdefault(where.path, key)
            if first != key:
                self._twice(first, key)
        self.unlisted = places.unlisted(named)
        left = {str(self.spec.image_dir / name) for name in self.spec.exclude or () if self.spec.image_dir}
        self.unlisted = [name for name in self.unlisted if name not in (self.spec.exclude or ())]
        if out := [os.path.basename(path) for path in named if path in left]:  # noqa: PTH119
            what = f"{len(out)} of {count(len(named), 'image', 'images')} left out (exclude): {name_some(out)}."
            self.say("info", what, "exclude")
            named = {path: key for path, key in named.items() if path not in left}
        for folder, problem in places.unreadable.items():
            self.findings.append(Finding("error", f"the folder cannot be read ({problem}).", str(folder), "image_dir"))
        return dict(sorted(named.items()))

    def _twice(self, first: str, second: str) -> None:
        if self.caption(first) == self.caption(second):
            self.say("warning", f"{first!r} and {second!r} are one image, which is trained once.")
            return
        self.say("error", f"{first!r} and {second!r} are one image with two captions. Delete one of the two entries.")

    def report(self, named: dict[str, str], found: list[FoundImage]) -> None:
        """What is to be said of the file as a whole; nothing is left out without a word."""
        self._report_places(named)
        empty = [named[image.path] for image in found if not image.has_caption]
        if empty:
            what = "images with neither caption nor tags in the metadata file are trained with an empty caption"
            self.say("warning", f"{what} ({len(empty)}): {name_some(empty)}.")
        longer = [key for key in named.values() if not self.spec.enable_wildcard and _lines(self.entries[key]) > 1]
        if longer:
            message = (
                f"{count(len(longer), 'caption has', 'captions have')} more than one line, of which only the first is trained:"
                f" {name_some(longer)}. Write it on one line, or switch enable_wildcard on: it takes any of them each time."
            )
            self.say("warning", message, "enable_wildcard")
        captions = {named[image.path]: image.caption for image in found if image.has_caption}
        for option, message in marks_without_effect(captions, self.spec):
            self.say("warning", message, option)
        if sized := [key for key, entry in self.entries.items() if "train_resolution" in entry]:
            message = f"train_resolution is not used (in {len(sized)}): sizes are those of the images and of the buckets."
            self.say("info", message)

    def _report_places(self, named: dict[str, str]) -> None:
        folder = self.spec.image_dir
        if self.missing:
            where = (
                f" Looked for in {folder}." if folder else " Name their folder as image_dir (with in_json as train_data_dir)."
            )
            if all(_is_absolute(key) for key in self.missing):
                where = " If they were moved, name the folder where they lie now as image_dir."
            some, whole = name_some(self.missing), f"{len(self.missing)} of {len(self.entries)}"
            if named:
                message = f"{whole} images that the metadata file names are not there and left out: {some}.{where}"
                self.say("warning", message, "image_dir")
            else:
                self.say("error", f"none of the images that the metadata file names is there: {some}.{where}", "image_dir")
        if self.moved:
            message = f"images that are not where the metadata file says are taken from {folder}: {name_some(self.moved)}."
            self.say("warning", message, "image_dir")
        if self.shared:
            message = f"keys without an ending fit further images, which are not trained: {name_some(self.shared)}."
            self.say("warning", message + " Write the keys with their endings.")
        if self.unlisted:
            what = "images of the folder that are not in the metadata file are not trained"
            self.say("warning", f"{what} ({len(self.unlisted)}): {name_some(self.unlisted)}.")


@dataclass(frozen=True)
class _Where:
    """Where the image of a key lies; `moved` when that is not where the key says, `also` are others that it fits."""

    path: str
    moved: bool = False
    also: tuple[str, ...] = ()


class _Places:
    """Finds the files that keys name, with one listing of each folder.

    A key is a whole path, or one that starts from image_dir, or else from where the program was started (as the tools write
    them with --full_path for a folder given so). It may lack its ending, and have another system's separators. A file that is
    not there is looked for in image_dir: by what follows that folder's name in the key, then by its name alone.
    """

    def __init__(self, image_dir: Path | None, allowed: Callable[[Path], bool] = lambda _: True) -> None:
        self._image_dir = image_dir
        self._allowed = allowed
        self._folders: dict[Path, _Folder] = {}
        self.unreadable: dict[Path, str] = {}

    def find(self, key: str) -> _Where | None:
        """Where the image of a key lies; None where it cannot be found, or would be looked for where it is not allowed."""
        for path in self._said(key):
            if not self._allowed(path):
                return None
            if found := self._at(path):
                return found
        for path in self._elsewhere(key):
            if found := self._at(path):
                return _Where(found.path, True, found.also)
        return None

    def unlisted(self, named: dict[str, str]) -> list[str]:
        """The images that lie in image_dir itself and are not among the paths `named`."""
        if self._image_dir is None:
            return []
        names = {os.path.basename(path) for path in named if os.path.dirname(path) == str(self._image_dir)}  # noqa: PTH119, PTH120
        also = {name for name in self._folder(self._image_dir).listing.images if name not in names}
        return sorted(also)

    def _said(self, key: str) -> list[Path]:
        native = Path(key)
        if native.is_absolute() or self._image_dir is None:
            return [native]
        said = [self._image_dir / native, native]
        if "\\" in key and os.sep == "/" and not _is_absolute(key):
            said.append(self._image_dir / PureWindowsPath(key).as_posix())
        return said

    def _elsewhere(self, key: str) -> list[Path]:
        if self._image_dir is None:
            return []
        parts = (PureWindowsPath(key) if "\\" in key else PurePath(key)).parts
        own = self._image_dir.name
        after = next((parts[at + 1 :] for at in range(len(parts) - 2, -1, -1) if parts[at] == own), ())
        return [self._image_dir.joinpath(*tail) for tail in dict.fromkeys((after, parts[-1:])) if tail]

    def _at(self, path: Path) -> _Where | None:
        folder, name = self._folder(path.parent), _composed(path.name)
        if whole := folder.names.get(name):
            return _Where(str(path.parent / whole))
        first, *others = folder.stems.get(name, ("",))
        return _Where(str(path.parent / first), also=tuple(others)) if first else None

    def _folder(self, folder: Path) -> _Folder:
        if folder not in self._folders:
            listing = Listing([], [], frozenset())
            try:
                listing = list_folder(folder)
            except (FileNotFoundError, NotADirectoryError, ValueError):  # it is not there, or no path at all
                pass
            except OSError as error:
                self.unreadable[folder] = error.strerror or str(error)
            self._folders[folder] = _Folder(listing)
        return self._folders[folder]


@dataclass
class _Folder:
    """The files of a folder by composed name, and its images by their name without ending."""

    listing: Listing

    @cached_property
    def names(self) -> dict[str, str]:
        return {_composed(name): name for name in self.listing.names}

    @cached_property
    def stems(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        order = {ending: place for place, ending in enumerate(EXTENSIONS)}
        for name in sorted(self.listing.images, key=lambda one: order.get(one.rpartition(".")[2].lower(), len(order))):
            found.setdefault(_composed(name.rpartition(".")[0]), []).append(name)
        return found


def _composed(name: str) -> str:
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _is_absolute(key: str) -> bool:
    """Whether a key is a whole path, of this system or of Windows."""
    return PurePath(key).is_absolute() or PureWindowsPath(key).is_absolute()


def _lines(entry: dict[str, Any]) -> int:
    return sum(bool(line.strip()) for line in (entry.get(CAPTION) or "").split("\n"))
