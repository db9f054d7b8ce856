"""Under which names dropped files are kept: as they were dropped, and where two would have one name, both find a place.

A picture and its captions are a pair by their stem, so they are named together: `frog.png` and `frog.txt` of a second folder
become `frog-2.png` and `frog-2.txt`. Nothing here touches the disk: `arrange` is told what lies in the folder and answers with
the names.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path, PurePosixPath

from ..data.plan.files import IMAGE_LIKE, MASK_SUFFIX, is_mask_name, readable_extensions
from ..errors import InputError
from ..paths import safe_name

CAPTIONS = (".txt", ".caption")


def images() -> tuple[str, ...]:
    """The endings of pictures that are taken: those that are trained. AVIF and JPEG XL only where Pillow reads them."""
    return tuple(f".{extension}" for extension in readable_extensions())


def kind_problem(name: str) -> str:
    """Why a file of this name is not taken, or ""."""
    ending = Path(name).suffix.lower()
    if ending in (*images(), *CAPTIONS):
        return ""
    if ending.lstrip(".") in IMAGE_LIKE:
        return f"Pictures of this kind ({ending}) are not read here. Save it as PNG or JPEG."
    return f"Only images and captions are taken ({', '.join((*images(), *CAPTIONS))})."


def clean_name(sent: str) -> str:
    """The name a file is kept under: its own, in Unicode's composed form, without what a file name cannot have.

    A dropped folder sends `folder/sub/1.png`: the sub-folders become part of the name (`sub_1.png`), for image and caption
    alike. The ending is written small, as only such are found everywhere. Raises InputError when nothing usable is left.
    """
    parts = [part for part in PurePosixPath(unicodedata.normalize("NFC", sent).replace("\\", "/")).parts if part not in "/.."]
    name = "_".join(parts[1:] if len(parts) > 1 else parts)
    name = re.sub(r'[<>:"|?*\x00-\x1f]', "_", name).strip().rstrip(".").lstrip(".")
    stem, dot, ending = name.rpartition(".")
    if dot and f".{ending.lower()}" in (*images(), *CAPTIONS):
        name = f"{stem}.{ending.lower()}"
    if len(name.encode("utf-8")) > 180:
        name = stem.encode("utf-8")[: 170 - len(ending)].decode("utf-8", errors="ignore") + dot + ending
    try:
        return safe_name(name)
    except InputError:
        return safe_name(f"_{name}")


@dataclass(frozen=True)
class Sent:
    """A file as it came: `sent` is the name that the browser gave it, `name` the clean one, `file` where it lies
    until it is placed."""

    sent: str
    name: str
    file: Path

    @property
    def ending(self) -> str:
        """What comes behind the stem that a picture shares with its captions and its mask: `.png`, `.txt`, `-masklabel.png`."""
        suffix = Path(self.name).suffix
        return MASK_SUFFIX + suffix if is_mask_name(self.name) and suffix not in CAPTIONS else suffix


def _goes_along(ending: str) -> bool:
    """Whether a file of this ending is no picture of its own, but belongs to one: a caption or a mask."""
    return ending in CAPTIONS or ending.startswith(MASK_SUFFIX)


@dataclass
class Arrangement:
    """What becomes of the files: `kept` are (file, name in the folder), `refused` and `noted` are {name as sent, message}."""

    kept: list[tuple[Sent, str]] = field(default_factory=list)
    refused: list[dict[str, str]] = field(default_factory=list)
    noted: list[dict[str, str]] = field(default_factory=list)


@dataclass
class _Pair:
    """Pictures, captions and masks of one stem. `members` by their ending."""

    stem: str
    members: dict[str, Sent] = field(default_factory=dict)

    @property
    def pictures(self) -> list[str]:
        return [ending for ending in self.members if not _goes_along(ending)]


def arrange(arrived: Iterable[Sent], there: Iterable[str], is_same: Callable[[Sent, str], bool]) -> Arrangement:
    """Give each arrived file a name beside the names that are `there`; `is_same` compares it with one of them.

    Another picture of the same name gets a free one, with its captions. A caption that comes again for the same picture takes
    the old one's place, and that is noted. A second caption for one picture in the same drop is refused.
    """
    return _Arranging(there, is_same).run(list(arrived))


class _Arranging:
    def __init__(self, there: Iterable[str], is_same: Callable[[Sent, str], bool]) -> None:
        self.there = {name.casefold(): name for name in there}  # on some systems A.png and a.png are one file
        self.is_same = is_same
        self.new: set[str] = set()  # casefolded names that this drop has given
        self.result: Arrangement = Arrangement()

    def run(self, arrived: list[Sent]) -> Arrangement:
        pairs = self._pairs(arrived)
        for pair in sorted(pairs, key=lambda one: not one.pictures):  # captions alone look for pictures of this drop, too
            if pair.pictures:
                self._place_pictures(pair)
            else:
                picture = self._picture_of(pair.stem)
                self._place_captions(pair, Path(picture).stem if picture else pair.stem)
        return self.result

    def _pairs(self, arrived: list[Sent]) -> list[_Pair]:
        """Files of the same stem as it was sent; the second file of one name begins another pair."""
        picture_stems = {_sent_stem(one) for one in arrived if not _goes_along(one.ending)}
        pairs: dict[str, list[_Pair]] = {}
        for one in arrived:
            stem, kept_stem = _sent_stem(one), one.name[: -len(one.ending)]
            if one.ending in CAPTIONS and stem not in picture_stems and not self._picture_of(kept_stem):
                stem, kept_stem = _without_inner(stem), _without_inner(kept_stem)
            twins = pairs.setdefault(stem, [])
            pair = next((twin for twin in twins if one.ending not in twin.members), None)
            if pair is None:
                pair = _Pair(kept_stem)
                twins.append(pair)
            pair.members[one.ending] = one
        self._join_by_case(pairs)
        return [pair for twins in pairs.values() for pair in twins]

    def _join_by_case(self, pairs: dict[str, list[_Pair]]) -> None:
        """`IMG_1.JPG` and `img_1.txt` of one drop: captions without a picture go to the one that differs in case alone."""
        with_picture = {stem.casefold(): twins[0] for stem, twins in pairs.items() if twins[0].pictures}
        for stem, twins in pairs.items():
            home = with_picture.get(stem.casefold())
            if home is None or home is twins[0] or twins[0].pictures or self._picture_of(twins[0].stem):
                continue
            for ending in [ending for ending in twins[0].members if ending not in home.members]:
                home.members[ending] = twins[0].members.pop(ending)
            if not twins[0].members:
                twins.pop(0)

    def _place_pictures(self, pair: _Pair) -> None:
        """Under the first stem, of `frog`, `frog-2`, ..., that is free, or where the same pictures lie already."""
        for number in count(1):
            stem = pair.stem if number == 1 else f"{pair.stem}-{number}"
            is_there = all(self._lies_there(stem, pair.members[ending]) for ending in pair.pictures)
            if is_there or self._is_free(stem):
                break
        if is_there:  # dropped again, perhaps with other captions
            for ending in pair.pictures:
                self._keep(pair.members.pop(ending), self.there[f"{stem}{ending}".casefold()])
            self._place_captions(pair, stem)
            return
        for ending, one in pair.members.items():
            if _goes_along(ending):
                self._note_replaced(one, f"{stem}{ending}")
            if stem != pair.stem:
                message = f"There is another picture called {pair.stem}: this is kept as {stem}{ending}."
                self.result.noted.append({"name": one.sent, "message": message})
            self._keep(one, f"{stem}{ending}")

    def _place_captions(self, pair: _Pair, stem: str) -> None:
        for ending, one in pair.members.items():
            name = f"{stem}{ending}"
            if name.casefold() in self.new:
                message = f"Another file of this drop is kept as {name} already."
                self.result.refused.append({"name": one.sent, "message": message})
                continue
            self._note_replaced(one, name)
            self._keep(one, self.there.get(name.casefold(), name))

    def _note_replaced(self, one: Sent, name: str) -> None:
        old = self.there.get(name.casefold())
        if old is not None and not self.is_same(one, old):
            self.result.noted.append({"name": one.sent, "message": f"It took the place of {old}, which was there."})

    def _keep(self, one: Sent, name: str) -> None:
        self.new.add(name.casefold())
        self.result.kept.append((one, name))

    def _lies_there(self, stem: str, one: Sent) -> bool:
        name = f"{stem}{one.ending}".casefold()
        return name not in self.new and name in self.there and self.is_same(one, self.there[name])

    def _is_free(self, stem: str) -> bool:
        """Whether no other picture has the stem, whose captions it would share, and no caption of this drop."""
        masks = (f"{MASK_SUFFIX}{ending}" for ending in images())
        own_names = {f"{stem}{ending}".casefold() for ending in (*images(), *CAPTIONS, *masks)}
        return not own_names & self.new and not self._picture_of(stem)

    def _picture_of(self, stem: str) -> str:
        """The picture with this stem that was there before the drop, in whatever case it is written, or ""."""
        names = (f"{stem}{ending}".casefold() for ending in images())
        return next((self.there[name] for name in names if name in self.there), "")


def _sent_stem(one: Sent) -> str:
    """What a picture and its captions have in common as they were sent: folder and name without ending."""
    text = unicodedata.normalize("NFC", one.sent).strip().rstrip(".")
    return text[: -len(one.ending)] if text.lower().endswith(one.ending) else text


def _without_inner(stem: str) -> str:
    """`frog.png` (of the caption `frog.png.txt`) without the ending that a picture or caption has."""
    inner = Path(stem).suffix
    return stem[: -len(inner)] if inner.lower() in (*images(), *CAPTIONS) and len(inner) < len(stem) else stem
