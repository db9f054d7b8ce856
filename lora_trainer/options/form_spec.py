"""The declarations as a description of the page's form: plain data that becomes JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import concepts
from .block_arguments import BARE, FIELD, LAYOUTS, PRESETS, SD, SDXL, Layout, preset_curve
from .dataset_keys import KEYS
from .network_kinds import KINDS
from .schema import Option, Title
from .simple import SIMPLE
from .train import OPTIONS
from .trained import TrainedOptions
from .trained_rules import only_for

_BASIC_TITLE = Title("Basics", "기본")


def form_spec(language: str = "en", *, start: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """The sections of the form in `language` ("en" or "ko"), JSON-able.

    A section is {id, title, advanced, controls}; the first, "basic", is the main path. A control is {name, only, label,
    kind, help, choices, minimum, maximum, above, step, default, value, advanced, optional}: kind is toggle, integer,
    number, choice, text, secret, lines, list, file, folder, model, table or tables (with the controls of what they hold as
    `fields`); choices are {value, label, help where there is one to each}; `only` are the kinds of training (`trains`) that
    it is for, [] for every kind; `default` is the option's own default and `value` what the form starts with (`start`, else
    the default); network_args has `blocks`, too (see block_panel). Options that have no effect yet, or belong on the
    command line, are left out.
    """
    start = start or {}
    everything = {option.name: option for option in (*SIMPLE, *OPTIONS) if option.form and option.supported}
    basic = sorted((option for option in everything.values() if option.basic), key=lambda option: option.basic)
    groups: dict[Title, list[Option]] = {_BASIC_TITLE: basic, TrainedOptions.TITLE: []}  # what all else depends on
    for option in everything.values():
        if not option.basic:
            groups.setdefault(option.group, []).append(option)
    return [
        {
            "id": "basic" if title is _BASIC_TITLE else title.en.lower().replace(" ", "_"),
            "title": title.ko if language == "ko" else title.en,
            "advanced": title is not _BASIC_TITLE,
            "controls": [control(option, language, start) for option in options],
        }
        for title, options in groups.items()
    ]


def control(option: Option, language: str, start: Mapping[str, Any]) -> dict[str, Any]:
    """One control of the form (see form_spec)."""
    default = list(option.default) if isinstance(option.default, tuple) else option.default
    choices = option.ready or option.choices
    return {
        "name": option.name,
        "only": list(only_for(option.name)),
        "label": option.label_in(language),
        "kind": _kind(option),
        "help": option.help_in(language),
        "choices": [_choice(option, value, language) for value in choices],
        "minimum": option.minimum,
        "maximum": option.maximum,
        "above": option.above,
        "step": 1 if option.kind == "int" else None,
        "default": default,
        "value": start.get(option.name, default),
        "advanced": not option.basic,
        "optional": option.default is None and not option.needed,
        **({"blocks": block_panel()} if option.name == FIELD else {}),
        **({"fields": [control(one, language, {}) for one in concepts.FIELDS]} if option.name == concepts.FURTHER else {}),
        **({"fields": concept_settings(language)} if option.name == concepts.SETTINGS else {}),
    }


def _choice(option: Option, value: Any, language: str) -> dict[str, Any]:
    said = option.choice_help(value, language)
    return {"value": value, "label": option.choice_label(value, language), **({"help": said} if said else {})}


def concept_settings(language: str) -> list[dict[str, Any]]:
    """The controls of what a concept can have an option of its own for; `inherits` names the option that counts otherwise."""
    keys = [KEYS[name] for name in concepts.SETTING_NAMES]
    return [{**control(key.option, language, {}), "name": key.name, "inherits": key.command_line} for key in keys]


def block_panel() -> dict[str, Any]:
    """What the page's panel of blocks is drawn from: {layouts: {"sd", "sdxl": a layout}, families: {kind of base model: name of
    its layout}, kinds: {kind of network: the parts of the editor that it has (see network_kinds.kind)}}.

    A layout is {base, down, mid, up, out: how many blocks; presets: {name: {down, up: weights}}; bare: numbers of the blocks
    that hold nothing to train (see block_arguments.Bare), `c3lier` those without any layer}.
    """
    names = {SD: "sd", SDXL: "sdxl"}
    families = {kind: names[layout] for kind, layout in LAYOUTS.items()}
    kinds = {kind.name: list(kind.editor) for kind in KINDS}
    return {"layouts": {name: _layout(layout) for layout, name in names.items()}, "families": families, "kinds": kinds}


def _layout(layout: Layout) -> dict[str, Any]:
    curves = {name: {"down": preset_curve(name, layout.down), "up": preset_curve(name, layout.up)} for name in PRESETS}
    bare = {kind: list(numbers) for kind, numbers in BARE[layout]._asdict().items()}
    bare["c3lier"] = sorted({*BARE[layout].linear} & {*BARE[layout].conv})
    return {**layout._asdict(), "presets": curves, "bare": bare}


def _kind(option: Option) -> str:
    if option.kind == "dict":
        return "tables" if option.many else "table"
    if option.many:
        return "list"
    if option.choices:
        return "choice"
    if option.name == "prompts":
        return "lines"
    if option.secret:
        return "secret"
    if option.path in ("file", "folder", "model"):
        return option.path
    return {"bool": "toggle", "int": "integer", "float": "number", "int_or_float": "number"}.get(option.kind, "text")
