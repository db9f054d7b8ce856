"""Turning what was written into an option's value: text from the command line and the form, typed values from TOML."""

from __future__ import annotations

import difflib
import math
import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from .schema import Option

_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_LARGEST = {"int": 2**63 - 1, "float": 3.4028235e38}  # of TOML and SQLite; of float32, in which is computed
_MOST_SHOWN = 80  # characters of a value in a message
_EXPECTED = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "int_or_float": "a number (a whole number of steps, or a share below 1 such as 0.1)",
    "str": "text",
    "dict": "a table of values by their names",
}


class BadValue(Exception):
    """A value that an option cannot have; the message says what was found and what is expected."""


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that `name` was most likely meant to be."""
    squeezed = {re.sub(r"[^a-z0-9]", "", known.lower()): known for known in names}
    wanted = re.sub(r"[^a-z0-9]", "", name.lower())
    found = difflib.get_close_matches(wanted, list(squeezed), n=1, cutoff=0.6)
    return squeezed[found[0]] if found else None


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """`Did you mean network_dim?`, or nothing."""
    near = nearest(name, names)
    return f"Did you mean {near}?" if near else ""


def shown(raw: Any) -> str:
    """`raw` as it stands in a message: quoted when it is a text, and cut when it is long."""
    text = repr(raw)
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 20]}... ({len(text):,} characters)"


def convert(option: Option, raw: Any, *, loose: bool) -> Any:
    """The value of `option` that `raw` stands for.

    loose: `raw` comes from the command line or the form, where numbers and yes/no are texts and an empty text means
    "not given"; otherwise it comes from a TOML file, where types count. An empty choice is the default (kohya-ss writes
    `optimizer_type = ""`). Raises BadValue.
    """
    if raw is None:
        return option.default
    if raw == "" and (option.choices or (loose and (option.kind != "str" or option.default is None))):
        return option.default
    if option.off and str(raw).lower() in option.off:
        return option.default
    if option.name == "resolution":
        return resolution_text(raw)
    if option.name == "face_crop_aug_range":
        return face_range_text(raw)
    if not option.many:
        return check(option, _one(option, raw, loose))
    if loose and isinstance(raw, str):
        raw = _split(raw)
    items = raw if isinstance(raw, (list, tuple)) else [raw]
    values = tuple(check(option, _one(option, item, loose)) for item in items)
    return values or option.default


def check(option: Option, value: Any) -> Any:
    """Hold `value` against the choices and bounds of `option`; return it, in the declared spelling. Raises BadValue."""
    if option.choices:
        value = _choice(option, value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if option.minimum is not None and value < option.minimum:
            raise BadValue(f"{value} is too small: the smallest allowed value is {_number(option.minimum)}.")
        if option.maximum is not None and value > option.maximum:
            raise BadValue(f"{value} is too large: the largest allowed value is {_number(option.maximum)}.")
        if option.above is not None and value <= option.above:
            raise BadValue(f"{value} is too small: it has to be above {_number(option.above)}.")
    return value


def resolution_text(raw: Any) -> str:
    """`512` or `512,768` (width, height) out of a number, a text or a list of two numbers. Raises BadValue."""
    parts = raw if isinstance(raw, (list, tuple)) else re.split("[,x×]", str(raw))
    try:
        if isinstance(raw, (bool, float)) and not (isinstance(raw, float) and raw.is_integer()):
            raise ValueError
        sizes = [int(part) for part in (parts if not isinstance(raw, float) else [raw])]
    except (TypeError, ValueError, OverflowError):
        raise BadValue(f"{shown(raw)} is not a size: write one number (512), or width,height (512,768).") from None
    if len(sizes) not in (1, 2):
        raise BadValue(f"{shown(raw)} has {len(sizes)} numbers: write one number (512), or width,height (512,768).")
    if min(sizes) < 64 or max(sizes) > 8192:
        raise BadValue(f"{shown(raw)} is out of range: width and height have to be between 64 and 8192 pixels.")
    return ",".join(str(size) for size in sizes)


def face_range_text(raw: Any) -> str:
    """`2.0,4.0` out of a text or a list of two numbers, the smaller one first. Raises BadValue."""
    parts = raw if isinstance(raw, (list, tuple)) else str(raw).split(",")
    try:
        if any(isinstance(part, bool) for part in parts):
            raise ValueError
        low, high = (float(part) for part in parts)
    except (TypeError, ValueError, OverflowError):
        raise BadValue(f"{shown(raw)} is no range: write two numbers, the smaller one first (2.0,4.0).") from None
    if not 1.0 <= low <= high <= 100.0:
        raise BadValue(f"{shown(raw)} is no range: from 1 to 100 times the face, the smaller number first (2.0,4.0).")
    return f"{low},{high}"


def face_range(text: str | None) -> tuple[float, float] | None:
    """The two numbers of a checked text; None for none."""
    if not text:
        return None
    low, high = (float(part) for part in text.split(","))
    return low, high


def resolution_pair(text: str) -> tuple[int, int]:
    """(width, height) of a checked resolution text."""
    sizes = [int(part) for part in text.split(",")]
    return sizes[0], sizes[-1]


def _one(option: Option, raw: Any, loose: bool) -> Any:
    """One value of the option's kind."""
    refused = BadValue(f"{shown(raw)} is not {_EXPECTED[option.kind]}.")
    if option.kind == "str":
        return _text(option, raw, loose)
    if option.kind == "dict":
        if isinstance(raw, Mapping) and all(isinstance(name, str) for name in raw):
            return dict(raw)
        raise refused
    if option.kind == "bool":
        if isinstance(raw, bool):
            return raw
        if loose and str(raw).strip().lower() in _WORDS:
            return _WORDS[str(raw).strip().lower()]
        raise refused
    if isinstance(raw, str):
        if not loose:
            advice = " Remove the quotes." if _number_in(raw, option.kind) is not None else ""
            raise BadValue(f"{shown(raw)} is a text, but {_EXPECTED[option.kind]} is expected.{advice}")
        raw = _number_in(raw, option.kind)
    if isinstance(raw, bool) or not isinstance(raw, (int, float)):
        raise refused
    if raw != raw or raw in (math.inf, -math.inf):
        raise BadValue(f"{raw} is not a finite number.")
    if abs(raw) > _LARGEST["float" if option.kind == "float" else "int"]:
        raise BadValue(f"{shown(raw)} is larger than any number that can be computed with here.")
    if option.kind == "int" and isinstance(raw, float):
        if not (loose and raw.is_integer()):
            raise refused
        return int(raw)
    if option.kind == "int_or_float" and raw > 1 and raw != int(raw):
        raise refused
    return float(raw) if option.kind == "float" else raw


def _text(option: Option, raw: Any, loose: bool) -> str:
    if isinstance(raw, str):
        if option.path and any(ord(character) < 32 for character in raw):
            raise BadValue(
                f"the path {shown(raw)} contains a control character: \\t, \\n, \\b, \\f and \\r mean one in double quotes. "
                "Write the path in single quotes: 'C:\\train'."
            )
        if not option.path and not raw.isascii() and not _is_unicode(raw):
            raise BadValue(f"{ascii(raw[:_MOST_SHOWN])} holds characters that are no Unicode text.")
        return raw.strip() if option.path else raw
    if loose or (isinstance(raw, (int, float)) and not isinstance(raw, bool)):
        return str(raw)
    raise BadValue(f"{shown(raw)} is not a text: put it in quotes.")


def _is_unicode(text: str) -> bool:
    """Not so for halves of surrogate pairs, which no file can hold: undecodable bytes of a command line, or bad JSON."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _number_in(text: str, kind: str) -> int | float | None:
    """The number that `text` spells; None when it spells none of that kind."""
    try:
        return int(text)
    except ValueError:
        if kind == "int":
            return None
    try:
        return float(text)
    except ValueError:
        return None


def _choice(option: Option, value: Any) -> Any:
    spelled = {str(choice).lower(): choice for choice in option.choices}
    value = option.spellings.get(str(value), value)
    pattern, words = option.also
    if pattern and re.fullmatch(pattern, str(value)):
        return value
    if str(value).lower() not in spelled:
        allowed = ", ".join(
            [*(str(choice) for choice in option.ready or option.choices if choice != ""), *filter(None, [words])]
        )
        near = did_you_mean(str(value), map(str, spelled.values()))
        raise BadValue(f"{shown(value)} is not one of: {allowed}. {near}".rstrip())
    value = spelled[str(value).lower()]
    if option.ready and value not in option.ready:
        raise BadValue(f"{shown(value)} does not work yet in this version. These do: {', '.join(option.ready)}.")
    return value


def _split(text: str) -> list[str]:
    """The items of a list written in one text field: separated by spaces or new lines, quotes as in a shell."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise BadValue(f"{shown(text)} has a quotation mark without its partner.") from error


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else str(value)
