"""The tools of the page (`options.tools`): what the page draws, and the command line that its values make.

Models are chosen from lists of names. Of the folder of pictures, and of a captioning model, the page sends the path (or the
name on Hugging Face): `named_paths` tells which, so that whoever asks can see whether they may be looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from ..errors import InputError, InputErrors
from ..foreign.reading import is_there
from ..paths import typed_path, user_path
from .path_checks import looks_local, path_problem
from .schema import Option, options_of
from .tools import PAGE_TOOLS as TOOLS
from .tools.declaring import PageTool, Shown
from .values import BadValue, convert, did_you_mean

_MANY = 32  # LoRA files in one merge
_METHOD, _NUMBER = "dynamic_method", "dynamic_param"  # the one means nothing without the other


_TYPED = ("folder", "path", "written", "hub")


def page_tools(language: str) -> list[dict[str, Any]]:
    """The tools in `language` ("en" or "ko"), JSON-able: {name, title, help, writes, suggest, confirm: null or {question,
    button, unless: field}, fields} (a PageTool). A field is
    {name, label, kind, help, choices: [{value, label}], value, required, more, below: field of the file whose rank this is to
    stay below, or ""}; kind is lora, loras (with a ratio each),
    checkpoint, folder, path, written (a file to write), hub (a model's folder or its name there), toggle, choice, text or
    number; `more` says that it is seldom needed."""
    place = 1 if language == "ko" else 0
    return [
        {
            "name": tool.name,
            "title": tool.title[place],
            "help": tool.help[place],
            "writes": tool.writes,
            "suggest": list(tool.suggest),
            "package": tool.package,
            "confirm": _confirm(tool, place),
            "fields": [_field(shown, option, place) for shown, option in tool.options()],
        }
        for tool in TOOLS
    ]


def _confirm(tool: PageTool, place: int) -> dict[str, str] | None:
    if tool.confirm is None:
        return None
    question, button = tool.confirm
    return {"question": question[place], "button": button[place], "unless": tool.harmless}


def _field(shown: Shown, option: Option, place: int) -> dict[str, Any]:
    kind = "choice" if option.choices else {"bool": "toggle", "str": "text"}.get(option.kind, "number")
    language = ("en", "ko")[place]
    titles = shown.choices or option.titles
    return {
        "name": option.name,
        "label": option.label_in(language),
        "kind": shown.kind or kind,
        "help": shown.help[place] if shown.help else option.help_in(language),
        "choices": [{"value": value, "label": titles[value][place] if value in titles else value} for value in option.choices],
        "value": option.default if shown.start is None else shown.start,
        "required": shown.required,
        "more": shown.more,
        "below": shown.below,
    }


def tool_named(name: Any) -> PageTool:
    """The tool of the page called `name`. Raises InputError."""
    found = next((tool for tool in TOOLS if tool.name == name), None)
    if found is None:
        names = [tool.name for tool in TOOLS]
        raise InputError(f"there is no tool {name!r}.", field="tool", advice=f"The tools are: {', '.join(names)}.")
    return found


def arguments(tool: PageTool, values: Mapping[str, Any], files: Mapping[str, Mapping[str, Path]]) -> list[str]:
    """The words of `tool`'s command line for the page's `values`, without --save_to.

    files: {"lora": {name: path}, "checkpoint": {name: path}}, all that can be chosen. A value of kind "loras" is a list of
    {"name", "ratio"}. Raises InputErrors with everything that is wrong.
    """
    words: list[str] = []
    errors = [
        InputError("this tool has no such field.", field=name, advice=did_you_mean(name, tool.fields))
        for name in values
        if name not in tool.fields
    ]
    for shown, option in tool.options():
        given = values.get(option.name)
        try:
            if shown.required and not (given.strip() if isinstance(given, str) else given) and not _is_number(given):
                raise BadValue("Nothing is chosen here.")
            words += _words(tool, shown, option, given, files)
        except BadValue as problem:
            errors.append(InputError(str(problem), field=option.name))
    if values.get(_METHOD) and values.get(_NUMBER) in (None, ""):
        advice = "For example 0.95, or 20 for sv_ratio."
        errors.append(InputError("The method above needs a number.", field=_NUMBER, advice=advice))
    if errors:
        raise InputErrors(errors)
    return words


def named_paths(tool: PageTool, values: Mapping[str, Any]) -> list[tuple[str, Path]]:
    """(field, path) of what the page's values name by paths; names on Hugging Face are none. Nothing is opened."""
    found = []
    for shown in tool.shown:
        given = values.get(shown.name)
        if shown.kind not in _TYPED or not isinstance(given, str) or not given.strip():
            continue
        path = user_path(given)
        if shown.kind != "hub" or looks_local(typed_path(given)) or is_there(path):
            found.append((shown.name, path))
    return found


def _words(tool: PageTool, shown: Shown, option: Option, given: Any, files: Mapping[str, Mapping[str, Path]]) -> list[str]:
    if shown.kind == "loras":
        return _ratios(tool, given, files["lora"])
    if shown.kind in _TYPED:
        return _typed(option, given)
    if shown.kind:
        return [f"--{option.name}", str(_file(given, files[shown.kind]))] if given not in (None, "") else []
    value = convert(option, given, loose=True)
    if value == option.default or value is None:
        return []
    if isinstance(value, str) and not option.choices:
        return [f"--{option.name}={value}"]  # it may begin with a dash
    return [f"--{option.name}"] if value is True else [f"--{option.name}", _number(value)]


def _typed(option: Option, given: Any) -> list[str]:
    if given is not None and not isinstance(given, str):
        raise BadValue("A text is expected here.")
    text = typed_path(given or "")
    if not text:
        return []
    problem = path_problem(option, text) if option.path else None
    if problem is not None:
        raise BadValue(str(problem))
    return [f"--{option.name}={user_path(text) if option.path else text}"]


def _ratios(tool: PageTool, given: Any, loras: Mapping[str, Path]) -> list[str]:
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise BadValue('A list of {"name", "ratio"} is expected.')
    if len(given) > _MANY:
        raise BadValue(f"At most {_MANY} files can be merged at once.")
    ratio = next(option for option in options_of(tool.declared) if option.name == "ratios")
    paths = [str(_file(one.get("name"), loras)) for one in given]
    numbers = [convert(ratio, [one.get("ratio", "")], loose=True) for one in given]
    return ["--models", *paths, "--ratios", *(_number(one[0]) for one in numbers)]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _file(name: Any, known: Mapping[str, Path]) -> Path:
    if not isinstance(name, str) or name not in known:
        raise BadValue(f"There is no file {name!r} in the list." if name else "Nothing is chosen here.")
    return known[name]


def _number(value: Any) -> str:
    """As it is typed: 0.00001 and not 1e-05, which a command line does not take with a minus."""
    return format(Decimal(repr(value)), "f") if isinstance(value, float) else str(value)
