"""The command line of a tool, made from its declaration in `tools`. All mistakes are reported together."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from ..errors import InputError, InputErrors
from .cli import HelpFormatter, Parser, add_option
from .path_checks import path_problem
from .schema import Option, options_of
from .values import BadValue, convert, did_you_mean

T = TypeVar("T")


def parse(declared: type[T], command: str, argv: Sequence[str]) -> T:
    """The checked options of the tool `declared` (a class of `tools`) from its command line.

    Raises InputErrors with everything that is wrong. Exits (SystemExit) after --help.
    """
    options = options_of(declared)
    positional: tuple[str, ...] = declared.POSITIONAL  # type: ignore[attr-defined]
    required: tuple[str, ...] = declared.REQUIRED  # type: ignore[attr-defined]
    given, errors = _given(options, positional, _parser(options, positional, command, declared), argv)
    values: dict[str, Any] = {}
    for option in options:
        try:
            values[option.name] = convert(option, given.get(option.name), loose=True)
        except BadValue as problem:
            errors.append(InputError(str(problem), field=option.name, where=f"--{option.name}"))
            continue
        if not option.supported and values[option.name] != option.default:
            errors.append(_unavailable(option))
        if option.name in required and values[option.name] in (None, "", ()):
            place = option.name if option.name in positional else f"--{option.name}"
            errors.append(InputError("is missing.", field=option.name, where=place, advice=option.help))
        errors += _path_problems(option, values[option.name])
    if errors:
        raise InputErrors(errors)
    return declared(**values)


def parser(declared: type, command: str) -> argparse.ArgumentParser:
    """The argument parser of the tool `declared`, with every option of it."""
    positional: tuple[str, ...] = declared.POSITIONAL  # type: ignore[attr-defined]
    return _parser(options_of(declared), positional, command, declared)


def _unavailable(option: Option) -> InputError:
    what = option.help.removesuffix(".")
    return InputError(f"not available: {what}.", field=option.name, where=f"--{option.name}", advice="Leave it out.")


def _path_problems(option: Option, value: Any) -> list[InputError]:
    if not value or not option.path:
        return []
    one = [value] if isinstance(value, str) else value
    kind = replace(option, path="file") if option.path == "files" else option
    found = [problem for item in one if (problem := path_problem(kind, item))]
    return [InputError(error.message, field=option.name, where=f"--{option.name}", advice=error.advice) for error in found]


def _parser(options: Sequence[Option], positional: Sequence[str], command: str, declared: type) -> argparse.ArgumentParser:
    made = Parser(
        prog=f"python -m lora_trainer {command}",
        usage=f"python -m lora_trainer {command} {' '.join(name.upper() for name in positional)} [OPTIONS]".replace("  ", " "),
        description=declared.TITLE.en,  # type: ignore[attr-defined]
        formatter_class=HelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    for option in options:
        add_option(made, option)
    return made


def _given(
    options: Sequence[Option], positional: Sequence[str], parser: argparse.ArgumentParser, argv: Sequence[str]
) -> tuple[dict[str, Any], list[InputError]]:
    """(what was typed by option name, what is wrong with it); words without a name go to the positional options."""
    namespace, rest = parser.parse_known_args(_plain(options, argv))
    given: dict[str, Any] = vars(namespace)
    errors = []
    free = [name for name in positional if name not in given]
    known = {option.name for option in options}
    for word in rest:
        if word.startswith("--"):
            name = word[2:].partition("=")[0].replace("-", "_")
            hint = did_you_mean(name, known)
            errors.append(InputError("there is no such option.", field=name, where=f"--{name}", advice=hint))
        elif free:
            given[free.pop(0)] = word
        elif not errors:
            errors.append(
                InputError(f"the word {word!r} belongs to no option.", advice="Values with spaces need quotation marks.")
            )
    return given, errors


def _plain(options: Sequence[Option], argv: Sequence[str]) -> list[str]:
    """`argv` with --save-to put right to --save_to, and yes/no options with their value, lest they take the next word."""
    known = {option.name: option.kind for option in options}
    words = []
    for word in argv:
        name, equals, value = word[2:].partition("=")
        name = name if name in known else name.replace("-", "_")
        if word.startswith("--") and name in known:
            word = f"--{name}=true" if known[name] == "bool" and not equals else f"--{name}{equals}{value}"
        words.append(word)
    return words
