"""The declarations as a description of the page's form: plain data that becomes JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .block_arguments import BARE, FIELD, LAYOUTS, PRESETS, SD, SDXL, Layout, preset_curve
from .labels import LABELS
from .schema import Option, Title
from .simple import SIMPLE
from .train import OPTIONS

_NEVER_EMPTY = ("pretrained_model_name_or_path", "image_dir", "output_name", "network_module")

# The main path, in the order in which it is gone through.
BASIC = (
    "pretrained_model_name_or_path",
    "image_dir",
    "identifier",
    "class_name",
    "caption_source",
    "reg_dir",
    "output_name",
    "resolution",
    "max_train_steps",
    "network_dim",
    "learning_rate",
)
_BASIC_TITLE = Title("Basics", "기본")
_CHOICE_LABELS = {
    "networks.lora": Title("LoRA (LierLa, C3Lier)", "LoRA (LierLa, C3Lier)"),
    "networks.dylora": Title("DyLoRA", "DyLoRA"),
    "lycoris.kohya": Title("LyCORIS (LoHa, LoKr, …)", "LyCORIS (LoHa, LoKr 등)"),
    "words": Title("identifier and class only", "식별자와 클래스만"),
    "txt": Title(".txt files", ".txt 파일"),
    "caption": Title(".caption files", ".caption 파일"),
    "other": Title("files with another ending", "다른 확장자의 파일"),
}


def form_spec(language: str = "en", *, start: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """The sections of the form in `language` ("en" or "ko"), JSON-able.

    A section is {id, title, advanced, controls}; the first, "basic", is the main path. A control is {name, label, kind, help,
    choices, minimum, maximum, above, step, default, value, advanced, optional}: kind is toggle, integer, number, choice, text,
    lines, list, file, folder or model; choices are {value, label}; `default` is the option's own default and `value` what the
    form starts with (`start`, else the default); network_args has `blocks`, too (see block_panel). Options that have no effect
    yet, or belong on the command line, are left out.
    """
    start = start or {}
    everything = {option.name: option for option in (*SIMPLE, *OPTIONS) if option.form and option.supported}
    assert set(BASIC) <= set(everything)
    groups: dict[Title, list[Option]] = {_BASIC_TITLE: [everything[name] for name in BASIC]}
    for name, option in everything.items():
        if name not in BASIC:
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
    return {
        "name": option.name,
        "label": _label(option, language),
        "kind": _kind(option),
        "help": option.help_in(language),
        "choices": [{"value": value, "label": _choice_label(value, language)} for value in option.ready or option.choices],
        "minimum": option.minimum,
        "maximum": option.maximum,
        "above": option.above,
        "step": 1 if option.kind == "int" else None,
        "default": default,
        "value": start.get(option.name, default),
        "advanced": option.name not in BASIC,
        "optional": option.default is None and option.name not in _NEVER_EMPTY,
        **({"blocks": block_panel()} if option.name == FIELD else {}),
    }


def block_panel() -> dict[str, Any]:
    """What the page's panel of blocks is drawn from: {layouts: {"sd", "sdxl": a layout}, families: {kind of base model: name of
    its layout}}. A layout is {base, down, mid, up, out: how many blocks; presets: {name: {down, up: weights}}; bare: numbers of
    the blocks that hold nothing to train (see block_arguments.Bare), `c3lier` those without any layer}."""
    names = {SD: "sd", SDXL: "sdxl"}
    families = {kind: names[layout] for kind, layout in LAYOUTS.items()}
    return {"layouts": {name: _layout(layout) for layout, name in names.items()}, "families": families}


def _layout(layout: Layout) -> dict[str, Any]:
    curves = {name: {"down": preset_curve(name, layout.down), "up": preset_curve(name, layout.up)} for name in PRESETS}
    bare = {kind: list(numbers) for kind, numbers in BARE[layout]._asdict().items()}
    bare["c3lier"] = sorted({*BARE[layout].linear} & {*BARE[layout].conv})
    return {**layout._asdict(), "presets": curves, "bare": bare}


def _kind(option: Option) -> str:
    if option.many:
        return "list"
    if option.choices:
        return "choice"
    if option.name == "prompts":
        return "lines"
    if option.path in ("file", "folder", "model"):
        return option.path
    return {"bool": "toggle", "int": "integer", "float": "number", "int_or_float": "number"}.get(option.kind, "text")


def _label(option: Option, language: str) -> str:
    given = None if option.label else LABELS.get(option.name)
    return given[language == "ko"] if given else option.label_in(language)


def _choice_label(value: Any, language: str) -> str:
    title = _CHOICE_LABELS.get(str(value))
    if title is None:
        return str(value)
    return title.ko if language == "ko" else title.en
