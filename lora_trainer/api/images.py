"""Folders of images for the page: names, sizes, captions, and thumbnails that are kept."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from ..data.plan.caption_files import Caption, CaptionFiles
from ..data.plan.files import FACTS, FactsCache, Listing, list_folder, open_image, read_facts
from ..data.plan.lint import BEHIND
from ..data.plan.metadata_images import captions_of
from ..data.plan.pixels import orientation, rgb
from ..errors import InputError, InputErrors
from ..foreign.reading import is_file, is_folder, is_there
from ..hosts.base import Access
from ..options.concepts import caption_ending, metadata_of, read_concept
from ..options.data_spec import NO_CAPTIONS
from ..paths import user_path, write_atomic
from . import folders
from .answers import Refusal

SIDE = 256  # pixels
_MADE = 2  # how thumbnails are made; another number makes them anew
_SHOWN = 500  # images of a folder
_READING = 0.3  # seconds that one look at a folder spends itself on reading images to their ends
_KEPT_SECONDS = 30 * 86400
_KEPT_BYTES = 1 << 30  # about 100,000 thumbnails


class Thumbnails:
    """Small JPEG copies, kept in `cache` by the original's path, size and time."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache

    def of(self, path: Path) -> Path:
        """The thumbnail of an image file, made when needed. Raises Refusal (404, 415) when there is no image."""
        try:
            stat = path.stat()
        except OSError as error:
            raise Refusal(404, f"There is no image {path.name!r}.") from error
        key = hashlib.blake2b(f"{_MADE}|{path}|{stat.st_size}|{stat.st_mtime_ns}".encode(), digest_size=16).hexdigest()
        small = self.cache / f"{key}.jpg"
        if not is_there(small):
            facts = read_facts(str(path), stat.st_size, verify=False)
            if facts.problem:
                raise Refusal(415, f"{path.name}: {facts.problem}")
            self._make(path, small)
        return small

    def _make(self, path: Path, small: Path) -> None:
        try:
            with open_image(str(path)) as image:
                turn = orientation(image)
                image.draft("RGB", (SIDE * 2, SIDE * 2))
                copy = image.copy()
                copy.thumbnail((SIDE, SIDE))
                flat = rgb(copy, turn)
        except Exception as error:  # Pillow's plug-ins raise all kinds of errors for damaged files
            raise Refusal(415, f"{path.name} cannot be read as an image: {error}.") from error
        write_atomic(small, lambda file: flat.save(file, "JPEG", quality=80))

    def prune(self) -> None:
        """Forget thumbnails that were made more than a month ago, and the oldest where all together are too large."""
        kept = 0
        made = sorted(((path.stat(), path) for path in self.cache.glob("*.jpg")), key=lambda one: -one[0].st_mtime)
        for stat, path in made:
            kept += stat.st_size
            if time.time() - stat.st_mtime > _KEPT_SECONDS or kept > _KEPT_BYTES:
                path.unlink(missing_ok=True)


def image_folder(text: str, access: Access) -> Path:
    """The folder that a user typed. Raises InputError when it is none, or none that may be looked into."""
    folder = user_path(text)
    if not text.strip() or not folder.is_absolute():
        raise InputError(f"{text!r} is not the full path of a folder.", field="folder", advice="Give the whole path.")
    refused = folders.problem(folder, access, "folder")
    if refused is not None:
        raise refused
    if not is_folder(folder):
        kind = "is a file, not a folder" if is_file(folder) else "is not a folder"
        raise InputError(f"{folder} {kind}.", field="folder", advice="Check the path.")
    return folder


def image_in(folder: Path, name: str) -> Path:
    """An image of a folder by its plain name. Raises Refusal (404)."""
    if name not in list_folder(folder).images:  # its own names alone, which here may hold what other systems do not allow
        raise Refusal(404, f"There is no image {name!r} in {folder}.")
    return folder / name


@dataclass(frozen=True)
class Wanted:
    """Which captions are shown: those of the first of `endings` that an image has, read as the training would, or those of
    the file `metadata`, whose pictures are looked for where that is `allowed`."""

    endings: tuple[str, ...]
    enable_wildcard: bool = False
    metadata: Path | None = None
    allowed: Callable[[Path], bool] = lambda _: True

    @classmethod
    def of(cls, query: Mapping[str, str], usual: tuple[str, ...], access: Access) -> Wanted:
        """What the fields of the form in a query say; without them `extension`, or the `usual` endings. A metadata file that
        may not be looked into is none."""
        every_line = query.get("enable_wildcard", "") == "true"
        if "caption_source" in query:
            fields = ("caption_source", "caption_extension", "metadata_file")
            concept = read_concept({name: query[name] for name in fields if query.get(name)}, "", [])
            ending, metadata = caption_ending(concept), metadata_of(concept)

            def allowed(path: Path) -> bool:
                return folders.problem(path, access, "metadata_file") is None

            return cls((ending,), every_line, metadata if metadata and allowed(metadata) else None, allowed)
        return cls((query["extension"],) if query.get("extension") else usual, every_line)


def describe(
    folder: Path, *, upload_id: str | None, wanted: Wanted, left_out: Iterable[str] = (), facts: FactsCache = FACTS
) -> dict[str, Any]:
    """A Folder of docs/api.md: at most 500 images with sizes, captions as they would be trained, problems, and
    the caption files that belong to no image. The names of those that are not trained are `left_out`.

    A training reads each image to its end; here that is done for a moment and behind the answer: those that are left
    are counted as `waiting`. Asked again until there are none, this and the plan count the same."""
    try:
        listing = list_folder(folder)
        subfolders = sorted(path.name for path in folder.iterdir() if is_folder(path) and not path.name.startswith("."))
    except OSError as error:
        raise InputError(f"{folder} cannot be listed: {error.strerror}.", field="folder") from error
    shown = listing.images[:_SHOWN]
    until, out = time.monotonic() + _READING, set(left_out)
    looked = facts.look_at([str(folder / name) for name in shown], until=until)
    rest = listing.images[_SHOWN:]
    beyond = facts.read_some([str(folder / name) for name in rest if name not in out], until) if rest else []
    files = [CaptionFiles(listing, ending) for ending in wanted.endings]
    named = _of_metadata(folder, wanted)
    waiting = sum(fact.is_unread for fact in looked) + beyond.count(None)
    if waiting:
        BEHIND.want([str(folder / name) for name in listing.images])
    images = []
    for name, fact in zip(shown, looked, strict=True):
        caption, trouble = (named.get(name), "") if wanted.metadata else _caption(folder, name, files, wanted)
        query = urlencode({"folder": str(folder), "name": name, "v": _version(folder / name)})
        images.append(
            {
                "name": name,
                "thumb": f"images/thumb?{query}",
                "width": fact.size[0] or None,
                "height": fact.size[1] or None,
                "caption": caption.text if caption else None,
                "whole_caption": caption.whole if caption else None,
                "problem": f"{name}: {fact.problem}" if fact.problem else trouble,
                "left_out": name in out,
            }
        )
    return {
        "id": upload_id,
        "folder": str(folder),
        "images": images,
        "more": len(rest),
        "more_broken": sum(bool(fact and fact.problem) for fact in beyond),
        "more_left_out": len(rest) - len(beyond),
        "waiting": waiting,
        "unused": unused_captions(listing, wanted.endings),
        "subfolders": subfolders,
    }


def _of_metadata(folder: Path, wanted: Wanted) -> dict[str, Caption]:
    """The captions of a metadata file; none where it cannot be read, which the check says."""
    if wanted.metadata is None:
        return {}
    try:
        found = captions_of(folder, wanted.metadata, enable_wildcard=wanted.enable_wildcard, allowed=wanted.allowed)
    except (InputError, InputErrors):
        return {}
    return {name: Caption(wanted.metadata.name, text, text) for name, text in found.items() if text}


def _version(path: Path) -> str:
    """What changes with the file, so that a page that shows it asks for it again."""
    try:
        return f"{path.stat().st_mtime_ns:x}"
    except OSError:
        return ""


def unused_captions(listing: Listing, endings: tuple[str, ...]) -> list[str]:
    """The caption files of a folder that belong to none of its images."""
    return sorted({name for end in endings if end != NO_CAPTIONS for name in CaptionFiles(listing, end).unused()})


def _caption(folder: Path, name: str, files: list[CaptionFiles], wanted: Wanted) -> tuple[Caption | None, str]:
    try:
        found = (one.read(name, folder, enable_wildcard=wanted.enable_wildcard) for one in files)
        return next((caption for caption in found if caption is not None), None), ""
    except InputError as error:
        where = error.where
        return None, f"{Path(where).name}: {str(error).removeprefix(f'{where}: ')}" if where else str(error)
