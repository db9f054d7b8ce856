"""Image files: which ones a folder has, how large they are, and whether they can be decoded."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from PIL import Image, UnidentifiedImageError

from .model import Size
from .pixels import colour_problem, orientation
from .remembered import Remembered, Stamp, stamp

T = TypeVar("T")
EXTENSIONS = ("png", "jpg", "jpeg", "webp", "bmp")
OPTIONAL_EXTENSIONS = ("avif", "jxl")  # where Pillow, or a plug-in of it that is installed, can read them
MASK_SUFFIX = "-masklabel"  # `frog-masklabel.png` is the mask of `frog.jpg`, and never trained itself
IMAGE_LIKE = frozenset((*EXTENSIONS, *OPTIONAL_EXTENSIONS, "gif", "tif", "tiff", "heic", "heif", "jfif", "jpe"))
MAX_SIDE = 16384  # pixels
MAX_PIXELS = 178_956_970  # Pillow's own limit against decompression bombs
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "AVIF", "JXL")  # never EPS and the like, which would run other programs
_AT_ONCE = 32  # files that a thread is given
THREADS = min(8, (os.cpu_count() or 1) + 1)


@dataclass(frozen=True)
class Note:
    """What is odd about an image: `kind` (animated, colours), `detail` for the message."""

    kind: str
    detail: str


@dataclass(frozen=True)
class ImageFacts:
    """What is known of one file: its size with the EXIF orientation applied, or the problem (then the size means nothing).

    `notes` are what keeps nobody from training it, but should be known. `is_unread`: whether it is whole was asked, but there
    was no time to read more than its header.
    """

    size: Size
    problem: str = ""
    advice: str = ""
    notes: tuple[Note, ...] = ()
    is_unread: bool = False


@dataclass(frozen=True)
class Listing:
    """The files of a folder. Names only, sorted; hidden files (also macOS's `._name`) are left out everywhere."""

    images: list[str]
    others: list[str]  # files whose names look like images of a kind or spelling that is not trained
    names: frozenset[str]  # every file, for looking captions up
    masks: tuple[str, ...] = ()  # pictures that are the mask of another one by their name
    folders: tuple[str, ...] = ()  # in it, as far as they were looked for


def list_folder(folder: Path) -> Listing:
    """List a folder, not its sub-folders. Extensions count in lower or in upper case, not mixed (`.Png`), as in kohya-ss.

    A link that leads nowhere counts as a file, so that it is reported and not passed over. Raises OSError.
    """
    with os.scandir(folder) as entries:
        there = [entry for entry in entries if not entry.name.startswith(".")]
    listing = listing_of(entry.name for entry in there if is_file_entry(entry))
    return replace(listing, folders=tuple(sorted(entry.name for entry in there if entry.is_dir(follow_symlinks=False))))


def list_tree(folder: Path, unread: Callable[[Path, OSError], None] | None = None) -> Iterator[tuple[Path, Listing]]:
    """The same for a folder and all in it, hidden ones left out, in a fixed order. Links to folders are not followed.

    `unread` hears of a folder below it that cannot be listed, which is passed over then; without it that raises, too.
    """
    with os.scandir(folder) as entries:
        there = [entry for entry in entries if not entry.name.startswith(".")]
    yield folder, listing_of(entry.name for entry in there if is_file_entry(entry))
    for name in sorted(entry.name for entry in there if entry.is_dir(follow_symlinks=False)):
        try:
            yield from list_tree(folder / name, unread)
        except OSError as error:
            if unread is None:
                raise
            unread(folder / name, error)


def listing_of(files: Iterable[str]) -> Listing:
    """The Listing of a folder that holds `files`, none of them hidden."""
    allowed = {spelling for ext in readable_extensions() for spelling in (ext, ext.upper())}
    names = sorted(files)
    extensions = {name: name.rpartition(".")[2] for name in names if "." in name}
    pictures = [name for name in names if extensions.get(name) in allowed]
    masks = tuple(name for name in pictures if is_mask_name(name))
    images = [name for name in pictures if not is_mask_name(name)] if masks else pictures
    others = [name for name in names if extensions.get(name, "").lower() in IMAGE_LIKE and extensions[name] not in allowed]
    return Listing(images, others, frozenset(names), masks)


def masks_of(image_name: str, listing: Listing) -> list[str]:
    """The pictures in an image's folder that are its masks by their names."""
    stem = f"{image_name.rpartition('.')[0]}{MASK_SUFFIX}".casefold()
    return [name for name in listing.masks if name.rpartition(".")[0].casefold() == stem]


def is_mask_name(name: str) -> bool:
    """Whether a picture of this name is the mask of another one: its stem ends in `-masklabel`."""
    return name.rpartition(".")[0].lower().endswith(MASK_SUFFIX)


def is_file_entry(entry: os.DirEntry[str]) -> bool:
    """Whether an entry of a folder is a file, or a link that leads nowhere."""
    if entry.is_symlink():
        try:
            entry.stat()
        except OSError:  # it leads to nothing, or to itself
            return True
    return entry.is_file()


def readable_extensions() -> tuple[str, ...]:
    """The endings, in small letters and without a dot, of the pictures that are trained."""
    registered = Image.registered_extensions()
    return EXTENSIONS + tuple(ext for ext in OPTIONAL_EXTENSIONS if f".{ext}" in registered)


def open_image(path: str) -> Image.Image:
    """Open an image file lazily; only formats that are trained. Raises as PIL.Image.open does."""
    Image.init()
    return Image.open(path, formats=[name for name in _FORMATS if name in Image.OPEN])


class FactsCache:
    """Remembers the facts of files, so that looking at the same data set again costs one stat a file."""

    def __init__(self, capacity: int = 300_000) -> None:
        self._facts: Remembered[ImageFacts] = Remembered(capacity)

    def look_at(
        self, paths: Iterable[str], *, verify: bool = True, until: float | None = None, threads: int = THREADS
    ) -> list[ImageFacts]:
        """Facts of many files, in order, read by several threads. With `verify` every file is read to its end.

        With `until` no more are read so than `read_some` does; of the rest the header is read, and they are `is_unread`.
        """
        wanted, to_its_end = list(paths), verify and until is None
        headers = _by_threads(lambda path: self._facts_of(path, to_its_end), wanted, threads)
        if not verify or until is None:
            return headers
        read = self.read_some(wanted, until, threads)
        return [
            fact or (header if header.problem else replace(header, is_unread=True))
            for fact, header in zip(read, headers, strict=True)
        ]

    def read_some(self, paths: Iterable[str], until: float, threads: int = THREADS) -> list[ImageFacts | None]:
        """The facts of the files that have been read to their ends, in order; None for those that there was no time for.

        After `until` (of time.monotonic) none is begun.
        """
        return _by_threads(lambda path: self.known(path) or self._read_until(path, until), list(paths), threads)

    def known(self, path: str) -> ImageFacts | None:
        """The facts of a file that was read to its end and has not changed since; None where it was not."""
        with suppress(OSError):
            return self._facts.known(path, True)
        return None

    def moved(self, path: str, to: str) -> None:
        """A file that was read lies elsewhere now, and is the same."""
        with suppress(OSError):
            seen = stamp(to)
            if facts := self._facts.get(path, seen, True):
                self.learn(to, seen, facts, True)

    def learn(self, path: str, seen: Stamp, facts: ImageFacts, verify: bool) -> None:
        """Take it from a record that these are the facts of the file, whose stamp is `seen`."""
        self._facts.learn(path, seen, facts, verify)

    def _facts_of(self, path: str, verify: bool) -> ImageFacts:
        if not verify and (whole := self.known(path)):
            return whole
        try:
            return self._facts.of(path, lambda size: read_facts(path, size, verify=verify), verify)
        except OSError as error:
            return ImageFacts((0, 0), f"the file cannot be read: {error.strerror or error}.")

    def _read_until(self, path: str, end: float) -> ImageFacts | None:
        return self._facts_of(path, True) if time.monotonic() < end else None


def _by_threads(call: Callable[[str], T], paths: list[str], threads: int) -> list[T]:
    """What `call` returns for each path, in order; so many at once that handing them out costs next to nothing."""
    Image.init()  # not by several threads at once
    size = max(1, min(_AT_ONCE, len(paths) // (4 * threads)))
    some = [paths[start : start + size] for start in range(0, len(paths), size)]
    with ThreadPoolExecutor(threads) as pool:
        return [one for found in pool.map(lambda own: [call(path) for path in own], some) for one in found]


@dataclass(frozen=True)
class Reading:
    """How the files of a plan are looked at: from which memory, whether to their ends, and until when."""

    facts: FactsCache
    verify: bool = True
    until: float | None = None

    def look_at(self, paths: Iterable[str]) -> list[ImageFacts]:
        """See FactsCache.look_at."""
        return self.facts.look_at(paths, verify=self.verify, until=self.until)


FACTS = FactsCache()  # what this process knows of files: whoever looks at them next has it


def read_facts(path: str, file_size: int, *, verify: bool) -> ImageFacts:
    """Read one file's header, and with `verify` its pixels too."""
    again = "Put a whole copy of the image in its place, or take it out of the folder."
    if file_size == 0:
        return ImageFacts((0, 0), "the file is empty (0 bytes).", again)
    try:
        with open_image(path) as image:
            size, turned = image.size, orientation(image) >= 5
            if max(size) > MAX_SIDE or size[0] * size[1] > MAX_PIXELS:
                return _too_large(f"{size[0]}x{size[1]} pixels")
            notes = _notes(image)
            if verify:
                _read_to_the_end(path, image)
    except Image.DecompressionBombError as error:
        found = re.search(r"(\d+) pixels", str(error))
        return _too_large(f"{int(found[1]):,} pixels" if found else "enormous")
    except UnidentifiedImageError:
        return ImageFacts((0, 0), "the file is not an image, or of a kind that is not supported.", again)
    except Exception as error:  # Pillow's plug-ins raise all kinds of errors for damaged files
        return ImageFacts((0, 0), f"the file is damaged or cut short: {error}.", again)
    return ImageFacts((size[1], size[0]) if turned else size, notes=notes)


def _notes(image: Image.Image) -> tuple[Note, ...]:
    """What an opened image has that is not trained: further pictures, a colour profile that cannot be applied."""
    notes = []
    # A phone's MPO is one photo; what lies behind it is a preview or a depth map, no film.
    frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    if frames > 1:
        notes.append(Note("animated", str(frames)))
    if problem := colour_problem(image):
        notes.append(Note("colours", problem))
    return tuple(notes)


def _read_to_the_end(path: str, image: Image.Image) -> None:
    """Raise whatever Pillow raises when the opened image is damaged or cut short, as quickly as its format allows."""
    if image.format == "PNG":
        try:
            image.verify()  # checksums of all chunks: ten times faster than decoding
        except Exception:  # perhaps damaged only where no pixels are: decoding has the last word
            with open_image(path) as again:
                again.load()
        return
    # A JPEG is decoded at an eighth of its size: it is read to its end all the same.
    image.draft("RGB", (max(1, image.width // 8), max(1, image.height // 8)))
    image.load()


def _too_large(found: str) -> ImageFacts:
    return ImageFacts(
        (0, 0),
        f"the file is too large: {found}; at most {MAX_SIDE} pixels a side and {MAX_PIXELS:,} pixels in all are read.",
        "Make it smaller: training shrinks it to its resolution anyway.",
    )
