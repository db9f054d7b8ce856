"""A line of a caption as tags: what stands between commas, and the marker that keeps tags in front.

Pieces keep the white space around them, so that a line comes back as it was, but for what is changed.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

MARKER = "|||"  # the value of keep_tokens_separator that documents use


@dataclass
class TagLine:
    """`parts` are what the markers separate (one where there is none), each a list of pieces between commas."""

    parts: list[list[str]]

    @classmethod
    def of(cls, line: str) -> TagLine:
        return cls([part.split(",") for part in line.split(MARKER)])

    @property
    def tags(self) -> list[str]:
        """All tags, stripped, without empty ones."""
        return [tag for part in self.parts for piece in part if (tag := piece.strip())]

    def __str__(self) -> str:
        return MARKER.join(",".join(part) for part in self.parts)

    def keep(self, wanted: Callable[[str], bool]) -> None:
        """Drop the tags that are not `wanted`; empty pieces stay."""
        self.parts = [_with_edges(part, [p for p in part if not p.strip() or wanted(p.strip())]) for part in self.parts]

    def keep_first(self, among: Callable[[str], bool]) -> None:
        """Of tags that mean one thing keep the first, where they are `among` those to look at."""
        seen: set[str] = set()

        def wanted(tag: str) -> bool:
            known = same_as(tag)
            again = known in seen and among(tag)
            seen.add(known)
            return not again

        self.keep(wanted)

    def map(self, change: Callable[[str], str]) -> None:
        """Change each tag, and leave the white space around it."""
        self.parts = [[_changed(piece, change) for piece in part] for part in self.parts]

    def arrange(self, order: Callable[[list[str]], list[str]], keep: int) -> None:
        """Put the tags into another order, all but the first `keep`; with a marker, those of the part behind the first."""
        part = self.parts[min(1, len(self.parts) - 1)]
        places = [place for place, piece in enumerate(part) if piece.strip()][0 if len(self.parts) > 1 else keep :]
        for place, tag in zip(places, order([part[place].strip() for place in places]), strict=True):
            part[place] = _changed(part[place], lambda _, tag=tag: tag)  # type: ignore[misc]

    def insert(self, tags: Iterable[str], index: int) -> None:
        """Put `tags` before the tag number `index` of the line (as many as there are: at the end)."""
        new = list(tags)
        if not new:
            return
        gap = self._gap()
        for number, part in enumerate(self.parts):
            places = [place for place, piece in enumerate(part) if piece.strip()]
            if index < len(places):
                _insert(part, places[index], new, gap)
                return
            index -= len(places)
            if number == len(self.parts) - 1:
                if number and part == [""]:
                    part[0] = " "
                _append(part, new, gap)
                return

    def _gap(self) -> str:
        """The white space behind commas of this line."""
        behind = [piece for part in self.parts for piece in part[1:] if piece.strip()]
        return "" if behind and not any(piece[:1].isspace() for piece in behind) else " "


def _changed(piece: str, change: Callable[[str], str]) -> str:
    tag = piece.strip()
    if not tag:
        return piece
    lead = piece[: len(piece) - len(piece.lstrip())]
    return lead + change(tag) + piece[len(piece.rstrip()) :]


def _insert(part: list[str], place: int, tags: list[str], gap: str) -> None:
    """Before the piece at `place`, which keeps its text; the first keeps what white space it had."""
    lead = part[place][: len(part[place]) - len(part[place].lstrip())]
    pieces = [gap + tag for tag in tags]
    if place == 0:
        pieces[0] = lead + tags[0]
        part[place] = gap + part[place].lstrip()
    part[place:place] = pieces


def _append(part: list[str], tags: list[str], gap: str) -> None:
    if not any(piece.strip() for piece in part):  # nothing there yet
        lead = part[0] if len(part) == 1 else ""
        part[:] = [lead + tags[0], *(gap + tag for tag in tags[1:])]
        return
    trail = part[-1][len(part[-1].rstrip()) :]
    part[-1] = part[-1].rstrip()
    pieces = [gap + tag for tag in tags]
    if not part[-1]:  # a comma at the end
        part.pop()
    part += pieces
    part[-1] += trail


def _with_edges(old: list[str], kept: list[str]) -> list[str]:
    """`kept` with the white space that `old` had at its ends, so that a line does not begin with the gap of its second tag."""
    if len(kept) == len(old):
        return kept
    if not kept:
        return [""]
    lead = old[0][: len(old[0]) - len(old[0].lstrip())]
    trail = old[-1][len(old[-1].rstrip()) :]
    kept[0] = lead + kept[0].lstrip()
    kept[-1] = kept[-1].rstrip() + trail
    return kept


def tags_of(text: str) -> list[str]:
    """The tags of all lines of a caption, each once, in order."""
    return list(dict.fromkeys(tag for line in text.split("\n") for tag in TagLine.of(line).tags))


def same_as(tag: str) -> str:
    """What tags that mean one thing have in common: capitals do not count, an underscore is a space."""
    return " ".join(tag.casefold().replace("_", " ").split())


def matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Whether a tag is one of `patterns`, in which `*` stands for anything."""
    wanted = [same_as(pattern) for pattern in patterns]
    whole = {pattern for pattern in wanted if "*" not in pattern}
    wild = [wildcard(pattern) for pattern in wanted if "*" in pattern]

    def fits(tag: str) -> bool:
        known = same_as(tag)
        return known in whole or any(pattern.fullmatch(known) for pattern in wild)

    return fits


def wildcard(pattern: str) -> re.Pattern[str]:
    """A pattern in which `*` alone is special. fnmatch makes it so that it cannot take for ever (atomic groups)."""
    return re.compile(fnmatch.translate("*".join(_literal(part) for part in re.sub(r"\*+", "*", pattern).split("*"))))


def _literal(text: str) -> str:
    return re.sub(r"([?\[])", r"[\1]", text)
