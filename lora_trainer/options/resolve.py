"""From what was given to checked, complete options: default < TOML < command line or form.

Everything that is wrong is reported together, each problem with its place and the nearest known name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from ..errors import InputError, InputErrors
from . import config_file
from .family_checks import layers_problem, v2_problem, vae_problem, xl_problem
from .network_findings import network_args_problems
from .optimizer_kinds import OLD_NAMES
from .path_checks import name_problem, path_problem
from .python_names import IMPORTED, import_problem
from .rule import Rule
from .rules import IMPLIED, broken_rules
from .schema import Option
from .train import OPTIONS, OPTIONS_BY_NAME, SECTIONS, TrainOptions
from .trained_rules import kind_meant
from .values import BadValue, convert, did_you_mean

ALIASES = {alias: option.name for option in OPTIONS for alias in option.aliases}


@dataclass(frozen=True)
class Source:
    """Where values come from. `loose`: texts stand for numbers and yes/no; `where(name)` names the place of a value;
    `file` is the configuration file, where there is one."""

    values: Mapping[str, Any]
    loose: bool
    where: Callable[[str], str]
    file: config_file.ConfigFile | None = None


def train_options(
    given: Mapping[str, Any],
    toml: Mapping[str, Any] | config_file.ConfigFile | None = None,
    *,
    check_paths: bool = True,
    to_come: Collection[str] = (),
    allow_import: bool = False,
    start: Mapping[str, Any] | None = None,
) -> TrainOptions:
    """The options of a training.

    given        values by option name from the command line (texts) or the form (texts, numbers, booleans); an option that
                 is absent or None was not given
    toml         values from a configuration file; when it is None and `given` names a config_file, that is read
    check_paths  whether files and folders have to be there; those of the options `to_come` will be written later
    allow_import whether a class may be named that is imported (optimizer_type, lr_scheduler_type): True only for what the
                 local user typed on the command line, never for what came over a network, because importing runs code
    start        what counts in place of the options' own defaults, for a command that has others

    Raises InputErrors with everything that is wrong.
    """
    if toml is None and given.get("config_file") and not _true(given.get("output_config")):
        try:
            toml = config_file.read(Path(str(given["config_file"])))
        except InputError as error:
            place = error.where or "--config_file"
            message = error.message.removeprefix(f"{error.where}: ")
            raise InputErrors([InputError(message, field=error.field, where=place, advice=error.advice)]) from error
    sources = []
    if isinstance(toml, config_file.ConfigFile):
        sources.append(Source(toml.values, False, toml.where, toml))
    elif toml is not None:
        sources.append(Source(toml, False, lambda name: f"configuration, {name}"))
    sources.append(Source(given, True, lambda name: f"--{name}"))
    return _Resolver(check_paths, to_come, allow_import, start or {}).resolve(sources)


class _Resolver:
    """Collects values and problems of one call of train_options."""

    def __init__(self, check_paths: bool, to_come: Collection[str], allow_import: bool, start: Mapping[str, Any]) -> None:
        self.allow_import = allow_import
        self.check_paths = check_paths
        self.to_come = to_come
        self.values: dict[str, Any] = {option.name: option.default for option in OPTIONS} | dict(start)
        self.places: dict[str, str] = {}
        self.errors: list[InputError] = []
        self.bad: set[str] = set()

    def resolve(self, sources: list[Source]) -> TrainOptions:
        for source in sources:
            self._report_unknown(source)
            for key, raw in source.values.items():
                self._take(source, key, raw)
        for old, name in OLD_NAMES.items():
            if self.values[old] and "optimizer_type" not in self.places:
                self.values["optimizer_type"] = name
        if "trains" not in self.places:
            self.values["trains"] = kind_meant(self.values)
        for wider, narrower in IMPLIED.items():
            if self.values[wider]:
                self.values[narrower] = True
        self._report_unsupported()
        for option in OPTIONS:
            if option.name not in self.bad:
                self._hold(option)
        for rule in broken_rules(self.values, self.bad):
            self._report_rule(rule)
        if self.errors:
            raise InputErrors(self.errors)
        return TrainOptions(
            **{
                section: declared(**{field.name: self.values[field.name] for field in fields(declared)})
                for section, declared in SECTIONS.items()
            }
        )

    def _report_unknown(self, source: Source) -> None:
        """Keys that are no options. A file made for another program has many: they are told in one line."""
        unknown = [key for key in source.values if _option_name(key) not in OPTIONS_BY_NAME]
        if source.file is None or len(unknown) < 3:
            for key in unknown:
                advice = did_you_mean(_option_name(key), OPTIONS_BY_NAME)
                self._report(InputError("there is no such option.", field=key, advice=advice), source, key)
            return
        names = ", ".join(f"{key} ({source.file.line(key)})" for key in unknown)
        advice = "Delete them: they belong to another program, or are misspelt."
        message = f"{len(unknown)} keys are no options: {names}."
        self.errors.append(InputError(message, field=unknown[0], where=source.file.path.name, advice=advice))

    def _take(self, source: Source, key: str, raw: Any) -> None:
        """One value of a source: its type and bounds have to be right. An empty text in a file means "not given"."""
        name = _option_name(key)
        option = OPTIONS_BY_NAME.get(name)
        if option is None or raw is None or (not source.loose and isinstance(raw, str) and not raw.strip()):
            return
        try:
            self.values[name] = convert(option, raw, loose=source.loose)
        except BadValue as problem:
            self.bad.add(name)
            self._report(InputError(str(problem), field=name), source, key)
            return
        self.bad.discard(name)
        self.places[name] = source.where(key)

    def _report_unsupported(self) -> None:
        """Options that were given, but have no effect yet."""
        given = [
            option.name
            for option in OPTIONS
            if not option.supported and option.name not in self.bad and self.values[option.name] != option.default
        ]
        self.bad.update(given)
        given = self._report_refused(given)
        if len(given) < 3:
            for name in given:
                message = f"{name} has no effect yet in this version, so it is not accepted."
                advice = "Leave it out to train without it."
                self.errors.append(InputError(message, field=name, where=self.places.get(name, ""), advice=advice))
            return
        message = f"{len(given)} options have no effect yet in this version, so they are not accepted: {', '.join(given)}."
        self.errors.append(InputError(message, field=given[0], advice="Leave them out to train without them."))

    def _report_refused(self, given: list[str]) -> list[str]:
        """Say why options are not taken, once for each reason; returns the rest."""
        reasons: dict[str, list[str]] = {}
        for name in given:
            reasons.setdefault(OPTIONS_BY_NAME[name].refused, []).append(name)
        rest = reasons.pop("", [])
        for reason, names in reasons.items():
            listed = ", ".join(names)
            message, place = f"{listed}: not taken here, because {reason}.", self.places.get(names[0], "")
            self.errors.append(InputError(message, field=names[0], where=place, advice="Train without it."))
        return rest

    def _hold(self, option: Option) -> None:
        """Checks of one option that need its final value."""
        value = self.values[option.name]
        place = self.places.get(option.name, "")
        if option.name == "resume" and value != "latest" and not self.values["resume_from_huggingface"]:
            option = replace(option, path="folder")
        if value and option.path and self.check_paths and option.name not in self.to_come:
            for path in value if option.many else (value,):
                self._add(path_problem(option, path), place)
            if option.name == "vae":
                self._add(vae_problem(self.values), place)
        elif option.name == "v2" and self.check_paths:
            self._add(v2_problem(self.values), place)
        elif option.name == "block_lr" and self.check_paths:
            self._add(xl_problem(self.values), place)
        elif option.name == "vectors_per_layer" and self.check_paths:
            self._add(layers_problem(self.values), place)
        elif option.name == "output_name" and value:
            self._add(name_problem(value), place)
        elif option.name in IMPORTED and not self.allow_import:
            self._add(import_problem(option.name, value), place)
        elif option.name == "network_args" and self.values["network_module"]:
            rank = None if self.values["dim_from_weights"] else self.values["network_dim"]
            for error in network_args_problems(self.values["network_module"], value, rank):
                self._add(error, place)

    def _report_rule(self, rule: Rule) -> None:
        named = next((name for name in rule.fields if name in self.places), rule.fields[0])
        message = rule.message.format_map(self.values)
        error = InputError(message, field=named, advice=rule.advice)
        self._add(error, self.places.get(named, ""))

    def _report(self, error: InputError, source: Source, key: str) -> None:
        self._add(error, source.where(key))

    def _add(self, error: InputError | None, where: str) -> None:
        if error is not None:
            self.errors.append(InputError(error.message, field=error.field, where=where, advice=error.advice))


def _option_name(key: str) -> str:
    """The option that a key of a file, form or command line means."""
    name = key.lstrip("-").replace("-", "_")
    return ALIASES.get(name, name)


def _true(value: Any) -> bool:
    return str(value).lower() in ("true", "1", "yes", "on")
