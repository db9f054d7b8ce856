"""The command line of a training, made from the declarations.

argparse only takes the words apart: everything is kept as text, absent unless typed, and checked by `resolve`, so that all
mistakes are reported together.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ..errors import InputError
from . import config_file
from .family_checks import command_problem
from .resolve import ALIASES, train_options
from .schema import Option, Title
from .train import OPTIONS, OPTIONS_BY_NAME, TrainOptions
from .trained import EMBEDDING, MODEL

_DESCRIPTION = """Train a LoRA, an embedding or a whole model. Options may also stand in a TOML file (--config_file); what is
typed here wins.
A yes/no option is switched on by its name alone and off by --no-NAME or --NAME=false."""

TRAIN = "train_network"
# What a command of its own trains, and which defaults it has besides.
_TRAINS = {
    "train_textual_inversion": EMBEDDING,
    "sdxl_train_textual_inversion": EMBEDDING,
    "train_textual_inversion_XTI": EMBEDDING,
    "fine_tune": MODEL,
    "train_db": MODEL,
    "sdxl_train": MODEL,
}
_START: dict[str, dict[str, Any]] = {
    "train_db": {"train_text_encoder": True},
    "train_textual_inversion_XTI": {"vectors_per_layer": True},
}
_NEGATIVE = re.compile(r"-[0-9.][0-9.e+-]*", re.IGNORECASE)


class Parser(argparse.ArgumentParser):
    """argparse whose complaints are InputErrors."""

    def error(self, message: str) -> NoReturn:
        missing = re.fullmatch(r"argument (--\w+)(?:/\S+)?: expected one argument", message)
        where, what = (missing[1], "the value is missing") if missing else ("", message)
        raise InputError(f"{what}.", field=where[2:], where=where, advice=f"See {self.prog} --help.")


class HelpFormatter(argparse.HelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=34, width=118)


def given_options(argv: Sequence[str], command: str = TRAIN) -> dict[str, Any]:
    """What was typed, by option name: texts, and lists of texts for options with several values.

    Names that do not exist are kept, for `resolve` to report with the nearest known one. Raises InputError for words that
    belong to no option and for options without their value. Exits (SystemExit) after --help.
    """
    namespace, rest = parser(command).parse_known_args(list(_with_known_spelling(argv)))
    given: dict[str, Any] = vars(namespace)
    unknown = ""
    for word in rest:
        if word.startswith("--"):
            unknown, _, given[unknown] = word[2:].partition("=")
        elif unknown:
            given[unknown], unknown = word, ""
        else:
            raise InputError(
                f"the word {word!r} belongs to no option.",
                advice="Options begin with --, and values with spaces need quotation marks.",
            )
    return given


def parse(argv: Sequence[str], command: str = TRAIN) -> TrainOptions | None:
    """The checked options of a `train_network` command line, or that of `command`, which takes the same.

    None when there is nothing to train: --output_config wrote its file. Raises InputError and InputErrors.
    """
    given = given_options(argv, command)
    if command in _TRAINS:
        given.setdefault("trains", _TRAINS[command])
    if os.environ.get("ACCELERATE_USE_FSDP", "").lower() in ("1", "true", "yes", "on"):  # accelerate launch --use_fsdp
        given.setdefault("shard_model", "true")
    options = train_options(given, allow_import=True, start=_START.get(command))
    if problem := command_problem(command, options.model.pretrained_model_name_or_path):
        raise problem
    if not options.saving.output_config:
        return options
    if options.saving.config_file is None:
        raise InputError("output_config needs config_file: the file to write.", field="output_config")
    target = config_file.write(Path(options.saving.config_file), options)
    sys.stdout.write(f"The options were written to {target}.\n")
    return None


def without_secrets(argv: Sequence[str]) -> list[str]:
    """`argv` with *** in the place of every key: other packages write the command line of their process into files."""
    secret = {f"--{option.name}" for option in OPTIONS if option.secret}
    shown: list[str] = []
    for word in argv:
        name, equals, _ = word.partition("=")
        hide = name.replace("-", "_").replace("__", "--", 1) in secret
        if shown and shown[-1].replace("-", "_").replace("__", "--", 1) in secret:
            shown.append("***")
        else:
            shown.append(f"{name}=***" if hide and equals else word)
    return shown


def parser(command: str = TRAIN) -> argparse.ArgumentParser:
    """An argument parser with every option, grouped as they are declared."""
    made = Parser(
        prog=f"python -m lora_trainer {command}",
        usage=f"python -m lora_trainer {command} --pretrained_model_name_or_path MODEL --train_data_dir FOLDER ...",
        description=_DESCRIPTION,
        formatter_class=HelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    groups: dict[Title, Any] = {}
    for option in OPTIONS:
        if option.group not in groups:
            groups[option.group] = made.add_argument_group(option.group.en)
        add_option(groups[option.group], option)
    return made


def add_option(group: Any, option: Option) -> None:
    names = [f"--{name}" for name in (option.name, *option.aliases)]
    settings: dict[str, Any] = {"dest": option.name, "help": _help(option), "metavar": _metavar(option)}
    if option.kind == "bool":
        group.add_argument(*names, nargs="?", const="true", **settings)
        off = [f"--no-{name[2:]}" for name in names]
        group.add_argument(*off, dest=option.name, action="store_const", const="false", help=argparse.SUPPRESS)
    else:
        group.add_argument(*names, nargs="*" if option.many else None, **settings)


def _help(option: Option) -> str:
    notes = [option.help]
    if option.choices:
        named = [str(choice) for choice in option.choices if choice != ""]
        notes.append(f"One of: {', '.join([*named, *filter(None, option.also[1:])])}.")
    if option.default not in (None, False, ""):
        notes.append(f"Default: {option.default}.")
    if not option.supported:
        notes.append("[no effect yet: refused]")
    elif option.ready:
        notes.append(f"[so far: {', '.join(option.ready)}]")
    return " ".join(notes).replace("%", "%%")


def _metavar(option: Option) -> str:
    kinds = {"bool": "true|false", "int": "N", "float": "X", "int_or_float": "N"}
    paths = {
        "folder": "FOLDER",
        "output": "FOLDER",
        "model": "MODEL",
        "file": "FILE",
        "files": "FILE",
        "written": "FILE",
        "any": "FILE",
    }
    return kinds.get(option.kind) or paths.get(option.path, "TEXT")


def _with_known_spelling(argv: Sequence[str]) -> Iterator[str]:
    """`argv` with --network-dim put right to --network_dim, so that either spelling is understood."""
    known = set(OPTIONS_BY_NAME) | set(ALIASES)
    for word in _with_joined_numbers(argv):
        name, equals, value = word[2:].partition("=")
        plain, negative = name.replace("-", "_"), name[3:].replace("-", "_")
        if word.startswith("--") and name not in known and plain in known:
            yield f"--{plain}{equals}{value}"
        elif word.startswith("--no-") and plain not in known and negative in known:
            yield f"--no-{negative}{equals}{value}"
        else:
            yield word


def _with_joined_numbers(argv: Sequence[str]) -> Iterator[str]:
    """`--noise_offset -1e-4` as one word: argparse takes only plain negative numbers for values."""
    words = list(argv)
    while words:
        word = words.pop(0)
        if word.startswith("--") and "=" not in word and words and _NEGATIVE.fullmatch(words[0]):
            word = f"{word}={words.pop(0)}"
        yield word
