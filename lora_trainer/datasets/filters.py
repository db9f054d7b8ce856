"""The filter language of the data set page: from its text to the pictures that fit. docs/api.md describes it.

parse('tag:frog -blurry (tokens>75 OR untagged)').matching(pictures, Around(["frogs"]))
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from ..data.plan.lint import WHY
from ..data.plan.model import Size
from ..errors import InputError
from ..options.values import nearest
from .model import Picture
from .regexes import matching
from .tags import matcher, same_as, wildcard

_LONGEST, _DEEPEST = 4000, 40  # characters, brackets in each other
Test = Callable[[Picture], bool]
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le, "=": operator.eq, "!=": operator.ne,
}  # fmt: skip
_NUMBERS: dict[str, Callable[[Picture], float | None]] = {
    "tokens": lambda one: one.caption.tokens,
    "tags": lambda one: len(one.caption.tags),
    "lines": lambda one: len((one.caption.text or "").strip().splitlines()),
    "width": lambda one: one.size[0] if one.size else None,
    "height": lambda one: one.size[1] if one.size else None,
    "pixels": lambda one: one.size[0] * one.size[1] if one.size else None,
    "bytes": lambda one: one.stamp.size,
    "stars": lambda one: one.stars,
    "loss": lambda one: one.loss,
}
_FLAGS: dict[str, Test] = {
    "untagged": lambda one: one.looked_at and not one.caption.problem and not (one.caption.text or "").strip(),
    "duplicate": lambda one: any("duplicate" in name for name in one.findings),
    "left_out": lambda one: one.left_out,
    "untrained": lambda one: one.is_untrained,
    "broken": lambda one: bool(one.problem or one.caption.problem),
}
_TEXTS = ("tag", "name", "folder", "finding", "bucket")
_NUMBER = re.compile(r"(\w+)\s*(>=|<=|!=|>|<|=)\s*(-?[0-9]*\.?[0-9]+)(?=[\s)]|$)")
_NAMED = re.compile(r"([^\W\d]\w*)(\s*)(:|>=|<=|!=|>|<|=)\s*")  # the beginning of a condition
_KNOWN = (
    f"there are {', '.join(_TEXTS)} with a colon (tag:frog), {', '.join(_NUMBERS)} with >, >=, <, <=, = or != and a number "
    f"(tokens>75), and {', '.join(_FLAGS)} alone"
)
_SIZE = re.compile(r"([0-9]+)\s*[x,×]\s*([0-9]+)")


@dataclass(frozen=True)
class Around:
    """What a filter has to know besides the picture: names of the data set's folders, and which bucket a picture gets."""

    folders: Sequence[str] = ()
    bucket_of: Callable[[Picture], Size | None] = lambda _: None


@dataclass
class _Regex:
    """A regular expression; which pictures it fits is found out for all at once, in a process of its own."""

    pattern: str
    ignore_case: bool
    hits: set[str] = field(default_factory=set)

    def prepare(self, texts: Iterable[str]) -> None:
        every = list(dict.fromkeys(texts))
        found = matching(self.pattern, every, ignore_case=self.ignore_case)
        self.hits = {text for text, fits in zip(every, found, strict=True) if fits}


@dataclass(frozen=True)
class Filter:
    """What parse() made of a text."""

    test: Callable[[Around], Test]
    regexes: tuple[_Regex, ...] = ()

    def matching(self, pictures: Iterable[Picture], around: Around) -> list[Picture]:
        """The pictures that fit, in their order. Raises InputError for a regular expression that takes too long."""
        every = list(pictures)
        for regex in self.regexes:
            regex.prepare(one.caption.text or "" for one in every)
        test = self.test(around)
        return [one for one in every if test(one)]


def parse(text: str) -> Filter:
    """Read a filter; nothing at all fits everything. Raises InputError that says what is wrong, and where."""
    if len(text) > _LONGEST:
        raise InputError(f"The filter has {len(text):,} characters, at most {_LONGEST:,} are read.", field="filter")
    return _Parser(text).run()


class _Parser:
    def __init__(self, text: str) -> None:
        self.text, self.at, self.depth = text, 0, 0
        self.regexes: list[_Regex] = []

    def run(self) -> Filter:
        self._space()
        test = self._either() if self.at < len(self.text) else (lambda around: lambda one: True)
        if self.at < len(self.text):
            self._fail('the bracket ")" closes nothing', self.at)
        return Filter(test, tuple(self.regexes))

    # -- grammar: either := both (OR both)*   both := one (AND? one)*   one := (NOT|-) one | (either) | condition ---------

    def _either(self) -> Callable[[Around], Test]:
        options = [self._both()]
        while self._word("OR"):
            options.append(self._both())
        return _joined(any, options)

    def _both(self) -> Callable[[Around], Test]:
        needed = [self._one()]
        while True:
            joined = self._word("AND")
            if not joined and (self.at >= len(self.text) or self.text[self.at] == ")" or self._sees("OR")):
                return _joined(all, needed)
            needed.append(self._one())

    def _one(self) -> Callable[[Around], Test]:
        start = self.at
        self.depth += 1
        if self.depth > _DEEPEST:
            self._fail("there are too many brackets in each other", start)
        try:
            if self._word("NOT") or self._sign("-"):
                return _not(self._one())
            if self._sign("("):
                inside = self._either()
                if not self._sign(")"):
                    self._fail('the bracket "(" is not closed', start)
                return inside
            return self._condition()
        finally:
            self.depth -= 1

    def _condition(self) -> Callable[[Around], Test]:
        start = self.at
        if start >= len(self.text) or self.text[start] == ")" or self._sees("OR") or self._sees("AND"):
            self._fail("a word or condition is missing", start)
        if self.text[start] == "/":
            return self._regex()
        number = _NUMBER.match(self.text, start)
        if number and number[1].lower() in _NUMBERS:
            return self._number(number)
        if self.text[start] == '"':
            return _constant(_has_text(self._quoted()))
        if named := _NAMED.match(self.text, start):
            self._must_be_known(named)
            if named[3] == ":" and not named[2] and named[1].lower() in _TEXTS:
                return self._named_text(named)
        word = self._plain()
        if word.lower() in _FLAGS:
            return _constant(_FLAGS[word.lower()])
        return _constant(_has_text(word))

    def _must_be_known(self, named: re.Match[str]) -> None:
        """Fail where something is written as a condition and is none: it would be searched for as a text, and not be found."""
        name, sign, rest = named[1].lower(), named[3], self.text[named.end() :].split(")")[0].split()
        if name in _NUMBERS and sign != ":":
            before = f"{name}{sign}"
            what = f"{rest[0]!r} behind {before} is no number" if rest else f"a number is missing behind {before}"
            self._fail(what, named.end())
        if named[2]:  # white space before the sign: two words
            return
        if name in _NUMBERS:
            self._fail(f"{name} is compared with a number, as in {name}>=4", named.start())
        if name in _FLAGS:
            self._fail(f"{name} stands alone, without {sign}", named.start())
        if name in _TEXTS and sign != ":":
            self._fail(f"behind {name} stands a colon, as in {name}:frog", named.start())
        if name not in _TEXTS:
            self._fail(_no_condition(named[1], sign), named.start())

    def _named_text(self, named: re.Match[str]) -> Callable[[Around], Test]:
        self.at = value_at = named.end(3)
        value = self._quoted() if self.text[self.at : self.at + 1] == '"' else self._plain()
        if not value:
            self._fail(f"a value is missing behind {named[1]}:", value_at)
        return self._text(named[1].lower(), value, value_at)

    def _number(self, found: re.Match[str]) -> Callable[[Around], Test]:
        of = _NUMBERS[found[1].lower()]
        self._go_to(found.end())
        compare, wanted = _COMPARE[found[2]], float(found[3])

        def test(one: Picture) -> bool:
            value = of(one)
            return value is not None and compare(value, wanted)

        return _constant(test)

    def _text(self, name: str, value: str, at: int) -> Callable[[Around], Test]:
        if name == "tag":
            fits = matcher([value])
            return _constant(lambda one: any(map(fits, one.caption.tags)))
        if name == "bucket":
            size = _SIZE.fullmatch(value)
            if size is None:
                self._fail(f"{value!r} is no size: write 512x768", at)
            wanted = (int(size[1]), int(size[2]))
            return lambda around: lambda one: around.bucket_of(one) == wanted
        pattern = wildcard(value.casefold())
        if name == "folder":
            return lambda around: _in_folder(around, pattern)
        if name == "finding":
            if not any(pattern.fullmatch(code) for code in WHY):
                self._fail(f"there is no finding {value} (there are {', '.join(WHY)})", at)
            return _constant(lambda one: any(pattern.fullmatch(found.casefold()) for found in one.findings))
        return _constant(
            lambda one: bool(pattern.fullmatch(one.name.casefold()) or pattern.fullmatch(Path(one.name).stem.casefold()))
        )

    # -- characters -----------------------------------------------------------------------------------------------------

    def _regex(self) -> Callable[[Around], Test]:
        start = self.at
        found = re.compile(r"/((?:\\.|[^/\\])+)/(i?)(?=[\s)]|$)", re.DOTALL).match(self.text, start)
        if found is None:
            self._fail('the regular expression has no "/" at its end (inside it is written \\/)', start)
        self._go_to(found.end())
        regex = _Regex(found[1].replace("\\/", "/"), bool(found[2]))
        self.regexes.append(regex)
        return _constant(lambda one: (one.caption.text or "") in regex.hits)

    def _quoted(self) -> str:
        start = self.at
        found = re.compile(r'"((?:\\.|[^"\\])*)"', re.DOTALL).match(self.text, start)
        if found is None:
            self._fail("the quotation mark is not closed", start)
        self._go_to(found.end())
        return re.sub(r'\\(["\\])', r"\1", found[1])

    def _plain(self) -> str:
        """A word up to white space, or to a bracket that closes one outside of it: `frog_(animal)` is a word."""
        start, depth = self.at, 0
        while self.at < len(self.text) and not self.text[self.at].isspace():
            char = self.text[self.at]
            if char == ")" and depth == 0 and self.text[self.at - 1 : self.at] != "\\":
                break
            depth += {"(": 1, ")": -1}.get(char, 0)
            self.at += 1
        word = self.text[start : self.at]
        self._space()
        return word

    def _space(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def _go_to(self, at: int) -> None:
        self.at = at
        self._space()

    def _sign(self, sign: str) -> bool:
        is_there = self.text.startswith(sign, self.at)
        if is_there:
            self._go_to(self.at + len(sign))
        return is_there

    def _sees(self, word: str) -> bool:
        return re.compile(rf"{word}(?=[\s(]|$)").match(self.text, self.at) is not None

    def _word(self, word: str) -> bool:
        is_there = self._sees(word)
        if is_there:
            self._go_to(self.at + len(word))
        return is_there

    def _fail(self, what: str, at: int) -> NoReturn:
        raise InputError(f"The filter is wrong at character {at + 1}: {what}.", field="filter", where="")


def _no_condition(name: str, sign: str) -> str:
    asked, near = f"{name}{sign}", nearest(name.lower(), (*_TEXTS, *_NUMBERS, *_FLAGS))
    if near:
        return f'there is no condition "{asked}" but {near}: {_KNOWN}; what is in quotation marks is searched for as it is'
    return f'there is no condition "{asked}": {_KNOWN}; what is in quotation marks is searched for as it is'


def _constant(test: Test) -> Callable[[Around], Test]:
    return lambda around: test


def _joined(how: Callable[[Iterable[bool]], bool], parts: list[Callable[[Around], Test]]) -> Callable[[Around], Test]:
    """One condition of several: `how` is any or all."""
    if len(parts) == 1:
        return parts[0]

    def made(around: Around) -> Test:
        tests = [part(around) for part in parts]
        return lambda one: how(test(one) for test in tests)

    return made


def _not(inner: Callable[[Around], Test]) -> Callable[[Around], Test]:
    def made(around: Around) -> Test:
        test = inner(around)
        return lambda one: not test(one)

    return made


def _in_folder(around: Around, pattern: re.Pattern[str]) -> Test:
    inside = {index for index, name in enumerate(around.folders) if pattern.fullmatch(name.casefold())}
    if not inside:
        some = ", ".join(dict.fromkeys(around.folders))
        raise InputError(f"No folder of this data set is called so; there are: {some}.", field="filter")
    return lambda one: one.folder in inside


def _has_text(text: str) -> Test:
    """Whether the caption holds `text`, in which `*` stands for anything; capitals do not count, an underscore is a space."""
    wanted = same_as(text)
    if not wanted:
        return lambda one: True
    if "*" in wanted:
        pattern = wildcard(f"*{wanted}*")
        return lambda one: pattern.fullmatch(same_as(one.caption.text or "")) is not None
    return lambda one: wanted in same_as(one.caption.text or "")
