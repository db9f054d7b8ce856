"""The Korean of everything that the program says. Behind the API all speak English; here it is turned into Korean.

The catalogue (assets/korean/*.txt) has pairs of lines: a sentence of the source with {} for each value, and its Korean with
{0}, {1}, ... in any order, and [은/는] and the like where a particle follows a value. A message is matched against the
sentences, its values are taken out and, where they are such sentences themselves, turned too. So messages pass through files,
processes and the store as the plain text they are, and nobody has to think of a language where an error is raised.
`python -m tests.messages` lists the sentences of the source that have no Korean yet; a test keeps that list empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "assets" / "korean"
PLACEHOLDER = re.compile(r"\{(?:[a-z_][a-z0-9_]*(?:![rsa])?(?::[^{}]*)?)?\}")
_PARTICLE = re.compile(r"\[([가-힣]+)/([가-힣]+)\]")  # [은/는]: what stands behind a final consonant, and behind a vowel
_PLACE = re.compile(r"^(\S(?:.*?\S)??): (?=\S)", re.DOTALL)  # `dataset.toml, line 3, key: ` before a message
_PREDICATE = re.compile(
    r" (?=(?:is|has|holds|ends|does|cannot|contains|begins) )"
)  # `name is ...`, where only `is ...` is known
_QUOTED = re.compile(r"'.*'|\".*\"", re.DOTALL)
_REMARK = re.compile(r" in | on |, | \(")
# Bounds of the work: characters of a message that is taken apart, parts that are looked at, places where it may be cut.
_MOST, _MOST_PARTS, _MOST_PLACES = 1500, 100, 8
_BREAK = "⏎"  # a line break within an entry
_SENTENCE_END = re.compile(r"(?<=[.?!)]) (?=\S)")
_READ_WITH_CONSONANT = "136780"  # digits whose Korean names end in a consonant: il, sam, yuk, chil, pal, yeong


@dataclass(frozen=True)
class Turned:
    """The Korean of a text, and how many of its characters stand in sentences of the catalogue."""

    text: str
    known: int


@dataclass(frozen=True)
class Sentence:
    """A sentence of the source: what stands before, between and behind its values."""

    parts: tuple[str, ...]
    korean: str

    def ways_in(self, text: str) -> Iterator[list[str]]:
        """The ways to take a text apart as this sentence: several where a space alone stands between two values."""
        between = next((number for number, part in enumerate(self.parts[1:-1], 1) if part == " "), None)
        if between is None:
            if (found := self.values_in(text)) is not None:
                yield found
            return
        found = Sentence(self.parts[:between] + self.parts[between + 1 :], self.korean).values_in(text)
        both = found[between - 1] if found else ""
        for space in islice(re.finditer(" ", both), _MOST_PLACES):
            yield [*(found or [])[: between - 1], both[: space.start()], both[space.end() :], *(found or [])[between:]]

    def values_in(self, text: str) -> list[str] | None:
        """The values of a text that is this sentence, each as short as can be; None for another text. Takes linear time.

        A value right behind another is a remark (` in FOLDER`, ` (...)`) or nothing, one behind the end more sentences or none.
        """
        if not all(part in text for part in self.parts) or not text.startswith(self.parts[0]):
            return None
        values: list[str] = []
        at, last = len(self.parts[0]), len(self.parts) - 1
        for number, part in enumerate(self.parts[1:], 1):
            if number < last and not part:  # the next value is a remark on this one: both are found together
                values.append("")
                continue
            more = number == last - 1 and part.endswith(".") and not self.parts[last]
            end = self._end_of(text, part, at, is_last=number == last, more=more)
            if end < at:
                return None
            value = text[at:end]
            if number > 1 and not self.parts[number - 1]:
                remark = _REMARK.search(value)
                values[-1], value = (value[: remark.start()], value[remark.start() :]) if remark else (value, "")
            values.append(value)
            at = end + len(part)
        return values

    @staticmethod
    def _end_of(text: str, part: str, at: int, *, is_last: bool, more: bool) -> int:
        """Where the value that begins at `at` ends and `part` begins; -1 where it does not follow."""
        if is_last:
            return len(text) - len(part) if text.endswith(part) else -1
        found = text.find(part, at)
        while more and 0 <= found < len(text) - len(part) and not text[found + len(part)].isspace():
            found = text.find(part, found + 1)
        return found


class Catalogue:
    """Sentence with {} -> Korean with {0}. Of several ways to take a message apart, the one that leaves least open counts."""

    def __init__(self, entries: Mapping[str, str]) -> None:
        self.entries = entries
        self._with_values = [Sentence(tuple(en.split("{}")), korean) for en, korean in entries.items() if "{}" in en]

    @classmethod
    def load(cls, folder: Path = FOLDER) -> Catalogue:
        """Read the files of `folder`; of two entries for one sentence the first counts."""
        entries: dict[str, str] = {}
        for path in sorted(folder.glob("*.txt")):
            for en, korean in pairs(path):
                entries.setdefault(en, korean)
        return cls(entries)

    def turn(self, message: str) -> str:
        """The Korean of a message, with particles still to be chosen; what is not known stays as it is."""
        return self._turned(message, {}).text

    def _turned(self, message: str, done: dict[str, Turned]) -> Turned:
        """`done` holds what was turned already of one message."""
        plain = message.strip()
        if plain not in done:
            done[plain] = Turned(plain, 0)
            if plain in self.entries:
                done[plain] = Turned(self.entries[plain], len(plain))
            elif plain and len(plain) <= _MOST and len(done) <= _MOST_PARTS and not _QUOTED.fullmatch(plain):
                ways = (self._entries, self._predicate, self._parts, self._place, self._sentences)
                found = [turned for way in ways for turned in way(plain, done)]
                done[plain] = max([done[plain], *found], key=lambda turned: turned.known)
        before, after = message[: len(message) - len(message.lstrip())], message[len(message.rstrip()) :]
        return Turned(before + done[plain].text + after, done[plain].known) if plain else Turned(message, 0)

    def _entries(self, plain: str, done: dict[str, Turned]) -> Iterator[Turned]:
        """The sentences of the catalogue that a text can be."""
        if plain in self.entries:
            yield Turned(self.entries[plain], len(plain))
        for sentence in self._with_values:
            for found in sentence.ways_in(plain):
                # What has lines of its own behind a sentence is what a program printed ("Its last lines:"): it stays.
                printed = [part.endswith("\n") for part in sentence.parts]
                values = [Turned(v, len(v)) if raw else self._turned(v, done) for v, raw in zip(found, printed, strict=False)]
                # Of two sentences that say the same, the one with fewer values says it more exactly.
                known = sum(map(len, sentence.parts)) + sum(value.known - 1 for value in values)
                yield Turned(_filled(sentence.korean, [value.text for value in values]), known)

    def _predicate(self, plain: str, done: dict[str, Turned]) -> Iterator[Turned]:
        """`name predicate`, where only the predicate is in the catalogue."""
        for at in islice(_PREDICATE.finditer(plain), _MOST_PLACES):
            for turned in self._entries(plain[at.end() :], done):
                yield Turned(f"{plain[: at.start()]}: {turned.text}", turned.known)

    def _parts(self, plain: str, done: dict[str, Turned]) -> Iterator[Turned]:
        """Lines, and lists with semicolons."""
        for between in ("\n", "; "):
            if between in plain:
                parts = [self._turned(part, done) for part in plain.split(between)]
                yield Turned(between.join(part.text for part in parts), sum(part.known for part in parts))

    def _place(self, plain: str, done: dict[str, Turned]) -> Iterator[Turned]:
        """`place: message`."""
        for found in islice(_PLACE.finditer(plain), _MOST_PLACES):
            rest = self._turned(plain[found.end() :], done)
            # A sentence that begins with a value would take the place for a part of it, and put it into its midst.
            is_whole = not any(found[1].count(quote) % 2 for quote in "'\"“")
            yield Turned(f"{korean_place(found[1])}: {rest.text}", rest.known + (is_whole and rest.known > 0))

    def _sentences(self, plain: str, done: dict[str, Turned]) -> Iterator[Turned]:
        """Several messages one after the other."""
        for found in islice(_SENTENCE_END.finditer(plain), _MOST_PLACES):
            first, rest = self._turned(plain[: found.start()], done), self._turned(plain[found.end() :], done)
            yield Turned(f"{first.text} {rest.text}", first.known + rest.known)


def pairs(path: Path) -> list[tuple[str, str]]:
    """The entries of one file: a sentence and its Korean, a line each."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip() and line[0] != "#"]
    return [(en.replace(_BREAK, "\n"), ko.replace(_BREAK, "\n")) for en, ko in zip(lines[::2], lines[1::2], strict=False)]


def _filled(korean: str, values: list[str]) -> str:
    """The values put into their places; braces of the text itself stay."""
    return re.sub(r"\{(\d)\}", lambda place: values[int(place[1])], korean)


def korean_place(place: str) -> str:
    """`run.toml, line 3, key` with the line in Korean."""
    return re.sub(r", line (\d+)", r", \1번째 줄", place)


def with_particles(text: str) -> str:
    """Put in the particle that fits the sound before it: `[은/는]` becomes 은, 는, or 은(는) where that is not known."""

    def chosen(found: re.Match[str]) -> str:
        consonant, vowel = found.groups()
        before = re.sub(r"[\"'”’)\]}>`]+$", "", text[: found.start()])
        ends = _ends_in_consonant(before[-1:], consonant.startswith("으"))
        return _unsure(consonant, vowel) if ends is None else consonant if ends else vowel

    return _PARTICLE.sub(chosen, text)


def _unsure(consonant: str, vowel: str) -> str:
    """The form for a word whose last sound is not known: 은(는), (으)로, (이)라는; 이어서 is right behind both."""
    if consonant.startswith("이어"):
        return consonant
    return f"({consonant[0]}){vowel}" if consonant[1:] == vowel else f"{consonant}({vowel})"


def _ends_in_consonant(sound: str, but_for_l: bool) -> bool | None:
    """Whether a syllable or digit ends in a consonant; None for other letters. 으로/로 counts a final l as none."""
    if "가" <= sound <= "힣":
        final = (ord(sound) - ord("가")) % 28
        return final != 0 and not (but_for_l and final == 8)
    if sound.isascii() and sound.isdigit():
        return sound in _READ_WITH_CONSONANT and not (but_for_l and sound in "178")
    return None


@lru_cache(maxsize=1)
def catalogue() -> Catalogue:
    """The catalogue, read once."""
    return Catalogue.load()
