"""The options in a prompt line (`a cat --n bad --w 512`): what the different kinds of prompt lines share. No torch here."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import InputError

_SHOWN = 8  # characters of an option that is not known
_NUMBERS = {int: (r"\d+", "a whole number"), float: (r"\d+\.?\d*|\.\d+", "a number")}
_MAX_DIGITS = 40


@dataclass(frozen=True)
class Syntax:
    """A kind of prompt line: `options` are {letters: key}, `long_names` {a name that people try: the letters}.

    `field` is the option that errors belong to.
    """

    field: str
    options: Mapping[str, str]
    long_names: Mapping[str, str]

    def named(self, part: str, where: str) -> tuple[str, str, str]:
        """Return (letters, key, value) of `part`, what stands between two " --"; the value may be empty.

        Raises InputError for an option that is not known.
        """
        letters, _, text = part.partition(" ")
        key = self.options.get(letters.lower())
        if key is None:
            short = part.strip() if len(part) <= _SHOWN else letters[:_SHOWN]  # no more of it: it may stand in any file
            raise InputError(
                f"'--{short}' is not an option of a prompt line.",
                field=self.field,
                where=where,
                advice=self._nearest(letters),
            )
        return letters, key, text.strip()

    def _nearest(self, letters: str) -> str:
        joined = re.fullmatch(r"([a-zA-Z]+?)(-?[\d.]+)", letters)
        if joined and joined[1].lower() in self.options:
            return f"Write a space: --{joined[1]} {joined[2]}."
        near = self.long_names.get(letters.lower()) or next(
            iter(difflib.get_close_matches(letters.lower(), self.options, 1)), ""
        )
        if near:
            return f"Did you mean --{near}?"
        return f"The options are {', '.join('--' + name for name in self.options)}; text after ' --' is never part of a prompt."

    def missing(self, letters: str, where: str) -> InputError:
        """The error for an option without its value."""
        return InputError(f"--{letters} has no value.", field=self.field, where=where)

    def number(self, letters: str, kind: type, text: str, where: str, *, signed: bool = False) -> int | float:
        """Return `text` as an int or float from 0, or of either sign; raises InputError when it is none."""
        pattern, what = _NUMBERS[kind]
        text = unicodedata.normalize("NFKC", text)  # full-width digits, as Korean and Japanese keyboards write them
        if len(text) > _MAX_DIGITS:
            raise InputError(
                f"--{letters} has {len(text)} characters; expected a number of at most {_MAX_DIGITS}.",
                field=self.field,
                where=where,
            )
        if not re.fullmatch(f"-?(?:{pattern})" if signed else pattern, text, re.ASCII):
            expected = what if signed else f"{what} from 0"
            raise InputError(f"--{letters} is {text!r}; expected {expected}.", field=self.field, where=where)
        value: int | float = kind(text)
        return value
