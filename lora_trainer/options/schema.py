"""The language in which options are declared, and the flat list that every surface is made from.

An option is a field of a frozen dataclass: its name, type and default are the field's, the rest is given to `opt()`.
The command line, the TOML files, the form, the checks and docs/options.md are all derived from `Option`.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Union

KINDS = ("bool", "int", "float", "int_or_float", "str", "dict")
PATHS = ("file", "files", "folder", "model", "checkpoint", "output", "written", "any")
_UNIONS = (Union, types.UnionType)


class Title(NamedTuple):
    """The heading of a group of options, in English and Korean."""

    en: str
    ko: str


@dataclass(frozen=True, kw_only=True)
class Option:
    """One declared option.

    kind        what one value is: bool, int, float, int_or_float (an int stays one: `0.1` is a share, `100` a count), str,
                dict (a table of the page's own fields)
    many        several values of that kind (a tuple)
    choices     the only values there are; texts are recognised in any case and get the spelling declared here
    spellings   other spellings of choices, which documents use
    off         words for "not at all", which are taken as the default
    also        (pattern, words): other texts that are taken besides the choices, and what they are called in a message
    ready       of the choices, those that have their effect already; empty means all
    minimum     smallest allowed value; `above` is a bound that the value must exceed; `maximum` largest
    path        for texts that name a file or folder: file, files and folder have to exist, model may be a name on the hub,
                output is a folder that is made when it is missing, any is left alone
    titles      what the page calls those of the choices whose own names say little
    says        what the page says of each choice, where one has to know that before choosing
    basic       the place of the handful of options that the page shows at once, from 1; 0 for all others
    needed      whether the page asks for a value although the default is None
    form        whether the page shows it at all
    ours        why this option is there although the reference has none of this name; "" where the reference has it
    secret      a key that is never written or shown: the environment variable that hands it to the worker; "" for all others
    refused     why this option of the reference is not taken here, half a sentence (docs/differences.md); "" for all others
    supported   False while the option has no effect yet: giving it is refused, never ignored
    """

    name: str
    kind: str
    many: bool
    default: Any
    help: str
    ko: str
    group: Title
    section: str = ""
    choices: tuple[Any, ...] = ()
    also: tuple[str, str] = ("", "")
    off: tuple[str, ...] = ()
    ready: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    path: str = ""
    label: str = ""
    label_ko: str = ""
    aliases: tuple[str, ...] = ()
    titles: Mapping[Any, Title] = field(default_factory=dict)
    says: Mapping[Any, Title] = field(default_factory=dict)
    spellings: Mapping[str, str] = field(default_factory=dict)
    basic: int = 0
    needed: bool = False
    form: bool = True
    ours: str = ""
    secret: str = ""
    refused: str = ""
    supported: bool = True

    def help_in(self, language: str) -> str:
        """The help text in `language` ("en" or "ko")."""
        return self.ko if language == "ko" else self.help

    def label_in(self, language: str) -> str:
        """The control's label: the written one, or the option's own name, which kohya-ss users know."""
        return (self.label_ko if language == "ko" else self.label) or self.label or self.name

    def choice_label(self, value: Any, language: str) -> str:
        """What the page calls the choice `value`."""
        title = self.titles.get(value)
        return str(value) if title is None else title.ko if language == "ko" else title.en

    def choice_help(self, value: Any, language: str) -> str:
        """What the page says of the choice `value`; "" for nothing."""
        said = self.says.get(value)
        return "" if said is None else said.ko if language == "ko" else said.en


def opt(
    default: Any,
    help: str,
    ko: str,
    *,
    choices: Sequence[Any] | Mapping[Any, tuple[str, str] | None] = (),
    says: Mapping[Any, tuple[str, str]] | None = None,
    also: tuple[str, str] = ("", ""),
    off: Sequence[str] = (),
    ready: Sequence[str] = (),
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    path: str = "",
    label: str = "",
    label_ko: str = "",
    aliases: Sequence[str] = (),
    spellings: Mapping[str, str] | None = None,
    basic: int = 0,
    needed: bool = False,
    form: bool = True,
    ours: str = "",
    secret: str = "",
    refused: str = "",
    supported: bool = True,
) -> Any:
    """Declare an option: the default value of a dataclass field, with its help and limits (see Option).

    `choices` may be a mapping that says what the page calls each of them in English and Korean (None: by its name); `says`
    tells what each is for, in both.
    """
    assert not path or path in PATHS, path
    declaration = {
        "help": help,
        "ko": ko,
        "choices": tuple(choices),
        "also": also,
        "off": tuple(off),
        "ready": tuple(ready),
        "minimum": minimum,
        "maximum": maximum,
        "above": above,
        "path": path,
        "label": label,
        "label_ko": label_ko,
        "aliases": tuple(aliases),
        "spellings": spellings or {},
        "titles": {value: Title(*words) for value, words in choices.items() if words} if isinstance(choices, Mapping) else {},
        "says": {value: Title(*words) for value, words in (says or {}).items()},
        "basic": basic,
        "needed": needed,
        "form": form,
        "ours": ours,
        "secret": secret,
        "refused": refused,
        "supported": supported and not refused,
    }
    return field(default=default, metadata={"opt": declaration}, repr=not secret)


def options_of(declared: type, section: str = "") -> tuple[Option, ...]:
    """The options that the dataclass `declared` and its bases declare, in the order of declaration."""
    owners: dict[str, Any] = {
        name: base for base in reversed(declared.__mro__) for name in base.__dict__.get("__annotations__", {})
    }
    hints = typing.get_type_hints(declared)
    found = []
    for one in dataclasses.fields(declared):
        kind, many = _kind(hints[one.name])
        group = owners[one.name].TITLE
        found.append(
            Option(
                name=one.name,
                kind=kind,
                many=many,
                default=one.default,
                group=group,
                section=section,
                **one.metadata["opt"],
            )
        )
    return tuple(found)


def _kind(hint: Any) -> tuple[str, bool]:
    """("int", False) for `int | None`; ("float", True) for `tuple[float, ...]`; ("int_or_float", False) for `int | float`."""
    members = [member for member in typing.get_args(hint) if member is not type(None)]
    if typing.get_origin(hint) in _UNIONS:
        if {int, float} == set(members):
            return "int_or_float", False
        (hint,) = members
    if typing.get_origin(hint) is tuple:
        return typing.get_args(hint)[0].__name__, True
    kind: str = hint.__name__
    assert kind in KINDS, hint
    return kind, False
