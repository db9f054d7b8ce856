"""Which text file is the caption of which image, and what stands in it. The page and the training both ask here."""

from __future__ import annotations

import io
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ...errors import InputError
from ...options.data_spec import NO_CAPTIONS
from .files import IMAGE_LIKE, Listing

ENDINGS = (".txt", ".caption", ".captions", ".cap", ".text", ".tags", ".prompt")  # of files that look like captions
MAX_BYTES = 1 << 20
_UTF8 = "Save the file again with the encoding UTF-8 (a text editor offers it under 'Save as')."


class EncodingError(InputError):
    """A caption that is no UTF-8 text."""


class EmptyError(InputError):
    """A caption file of no bytes."""


@dataclass(frozen=True)
class Caption:
    """What an image's caption file says: the text that is trained, and all lines with text of the file."""

    file: str
    text: str
    whole: str


def caption_names(image_name: str, caption_extension: str) -> list[str]:
    """Names that the caption file of an image may have, the first that exists counts.

    `img.png` has `img.txt`. A name that ends in four parts of face information, `a_x_y_w_h.png`, may share `a.txt`.
    """
    return [stem + _dotted(caption_extension) for stem in _stems(image_name)]


def find_caption(image_name: str, caption_extension: str, names: Collection[str]) -> str | None:
    """The name of an image's caption file out of the folder's file `names`, or None."""
    return next((name for name in caption_names(image_name, caption_extension) if name in names), None)


class CaptionFiles:
    """The caption files of one folder for one ending. With NO_CAPTIONS there are none.

    A file counts that has the image's name, or where there is none, a name that a person would take for it: in other case
    (`a.TXT`), in another Unicode form, `a.png.txt`, `a.txt.txt`. What is another image's own caption is left to that.
    """

    def __init__(self, listing: Listing, caption_extension: str) -> None:
        self.extension = _dotted(caption_extension)
        self._listing = listing

    def name_for(self, image_name: str) -> str | None:
        """The name of an image's caption file, or None."""
        exact = find_caption(image_name, self.extension, self._listing.names)
        if exact is not None or self.extension == NO_CAPTIONS:
            return exact
        stem, *shared = (_fold(stem) for stem in _stems(image_name))
        for base, depth in ((stem, 0), (_fold(image_name), 0), (stem, 1), (stem, 2), *((one, 0) for one in shared)):
            if name := self._look_alikes.get((base, depth)):
                return name
        return None

    def own_name_for(self, image_name: str) -> str | None:
        """The name of an image's caption file, or None where it has none or shares it with other images."""
        name = self.name_for(image_name)
        return None if name is not None and self._users[name] > 1 else name

    def is_look_alike(self, image_name: str, file: str) -> bool:
        """Whether `file` is an image's caption though it is named otherwise; the form of Unicode makes no difference."""
        return _composed(file) not in map(_composed, caption_names(image_name, self.extension))

    def read(
        self,
        image_name: str,
        folder: Path,
        *,
        enable_wildcard: bool,
        lines_of: Callable[[Path], list[str]] | None = None,
    ) -> Caption | None:
        """An image's caption, None where it has no file. Raises InputError as `read_lines`, or what is given for it, does."""
        name = self.name_for(image_name)
        if name is None:
            return None
        lines = (lines_of or read_lines)(folder / name)
        return Caption(name, _text_of(lines, enable_wildcard), _text_of(lines, True))

    def unused(self) -> list[str]:
        """Files with this ending that are no image's caption, sorted."""
        used = {self.name_for(name) for name in self._listing.images}
        untrained = {_fold(Path(name).stem) for name in self._listing.others}
        return [
            name
            for name in sorted(self._listing.names)
            if name not in used and (bases := _bases(name, self.extension)) and not untrained.intersection(bases)
        ]

    @cached_property
    def _users(self) -> Counter[str | None]:
        return Counter(self.name_for(name) for name in self._listing.images)

    @cached_property
    def _look_alikes(self) -> dict[tuple[str, int], str]:
        """(folded stem, number of endings taken off besides the caption's) -> name; the first in order of names."""
        own = {find_caption(name, self.extension, self._listing.names) for name in self._listing.images}
        found: dict[tuple[str, int], str] = {}
        for name in sorted(self._listing.names - own):
            for depth, base in enumerate(_bases(name, self.extension)):
                found.setdefault((base, depth), name)
        return found


def read_caption(path: Path, *, enable_wildcard: bool = False) -> str:
    """Read a caption file: its first line with text, or with `enable_wildcard` all of them, joined by newlines."""
    return _text_of(read_lines(path), enable_wildcard)


def read_lines(path: Path) -> list[str]:
    """The lines of a caption file that are not blank, stripped.

    A byte order mark is no part of the caption. Raises InputError when the file is empty, not UTF-8 text, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"the caption cannot be read: {error.strerror or error}.", where=str(path)) from error
    if not data:
        advice = "Write a caption into it, or delete it: identifier and class are the caption then, where there are some."
        raise EmptyError("the caption file is empty.", where=str(path), field="caption_extension", advice=advice)
    if len(data) > MAX_BYTES:
        message = f"the caption file is larger than {MAX_BYTES >> 20} MB, so it is no caption."
        raise InputError(message, where=str(path), field="caption_extension", advice="Take it out of the folder.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"the caption is not UTF-8 text: byte 0x{error.object[error.start]:02x} at position {error.start}."
        raise EncodingError(message, where=str(path), field="caption_extension", advice=_UTF8) from error
    if "\0" in text:  # valid UTF-8, but nobody writes it
        message = "the caption holds NUL characters, as a text in UTF-16 does."
        raise EncodingError(message, where=str(path), field="caption_extension", advice=_UTF8)
    return [line for line in map(str.strip, io.StringIO(text, newline=None)) if line]


def _text_of(lines: list[str], enable_wildcard: bool) -> str:
    return "\n".join(lines) if enable_wildcard else "".join(lines[:1])


def _dotted(extension: str) -> str:
    return extension if extension.startswith(".") else f".{extension}"


def _stems(image_name: str) -> list[str]:
    stem = os.path.splitext(image_name)[0]  # noqa: PTH122 - the hot loop of large data sets
    parts = stem.split("_")
    return [stem] + (["_".join(parts[:-4])] if len(parts) > 4 else [])


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _fold(text: str) -> str:
    """What names that a person takes for one have in common: Unicode form, case and white space at the ends do not count."""
    return text.lower().strip() if text.isascii() else _composed(_composed(text).casefold()).strip()


def _bases(name: str, extension: str) -> list[str]:
    """Folded stems that a caption file may speak of: without its ending, then without each image's or caption's before it.

    Empty where the file has another ending.
    """
    endings = (_fold(extension), *(f".{ending}" for ending in IMAGE_LIKE))
    folded = _fold(name)
    bases: list[str] = []
    while ending := next((one for one in endings if folded.endswith(one) and (bases or one == endings[0])), ""):
        folded = folded.removesuffix(ending).strip()
        bases.append(folded)
    return bases
