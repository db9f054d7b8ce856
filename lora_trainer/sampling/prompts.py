"""Prompt lines (`a cat --n bad --w 512 --h 768 --d 1 --l 7.5 --s 28`) and prompt files (.txt, .toml, .json).

No torch here. What cannot be understood is an error that names file and line; nothing is dropped in silence.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, InputErrors
from ..foreign.json_text import parse_json
from ..foreign.reading import UnreadableError, read_text, shown
from ..options.located import without_content
from ..options.toml_text import parse_toml
from .prompt_lines import Syntax


@dataclass(frozen=True, kw_only=True)
class SamplePrompt:
    """One picture to draw. None = not given, so that the default holds (DEFAULTS). `enum` is the position in its file.

    `width`, `height` in pixels as written; `sample_steps` 1..1000; `scale` is the CFG scale; `where` names file and line.
    The last five belong to other families of models and are read, but refused when a picture is drawn.
    """

    prompt: str = ""
    negative_prompt: str | None = None
    width: int | None = None
    height: int | None = None
    sample_steps: int | None = None
    scale: float | None = None
    seed: int | None = None
    sample_sampler: str | None = None
    controlnet_image: str | None = None
    cfg_trunc_ratio: float | None = None
    guidance_scale: float | None = None
    flow_shift: str | None = None
    renorm_cfg: float | None = None
    enum: int | None = None
    where: str = dataclasses.field(default="", compare=False)

    def given(self) -> dict[str, Any]:
        """Return what was given, under the reference's keys (`where` apart)."""
        values = {name: getattr(self, name) for name in (*KEYS, "enum")}
        return {name: value for name, value in values.items() if value is not None}


DEFAULTS: dict[str, Any] = {"sample_steps": 30, "width": 512, "height": 512, "scale": 7.5, "negative_prompt": ""}
KEYS: dict[str, type] = {
    "prompt": str, "negative_prompt": str, "width": int, "height": int, "sample_steps": int, "scale": float, "seed": int,
    "sample_sampler": str, "controlnet_image": str, "cfg_trunc_ratio": float, "guidance_scale": float, "flow_shift": str,
    "renorm_cfg": float,
}  # fmt: skip
OTHER_FAMILIES = ("controlnet_image", "cfg_trunc_ratio", "guidance_scale", "flow_shift", "renorm_cfg")

_LIMIT = 4 << 20  # bytes of a prompt file
_MOST = 2**63 - 1
_SYNTAX = Syntax(
    field="sample_prompts",
    options={
        "n": "negative_prompt", "w": "width", "h": "height", "d": "seed", "l": "scale", "s": "sample_steps",
        "ss": "sample_sampler", "cn": "controlnet_image", "ctr": "cfg_trunc_ratio", "g": "guidance_scale", "fs": "flow_shift",
        "rcfg": "renorm_cfg",
    },
    long_names={
        "negative": "n", "negative_prompt": "n", "width": "w", "height": "h", "seed": "d", "scale": "l", "cfg": "l",
        "steps": "s", "sampler": "ss",
    },
)  # fmt: skip


def parse_prompt_line(line: str, where: str = "") -> SamplePrompt:
    """Return what a prompt line says. Options begin with " --"; their letters may be capitals; the last of two wins.

    Raises InputErrors for an option that is unknown or whose value does not fit; `where` is put before each message.
    """
    prompt, *parts = line.split(" --")
    values: dict[str, Any] = {"prompt": prompt}
    errors: list[InputError] = []
    for part in parts:
        try:
            values.update(_option(part, where))
        except InputError as error:
            errors.append(error)
    if errors:
        raise InputErrors(errors)
    return SamplePrompt(**values, where=where)


def parse_prompt_file(path: str | Path) -> list[SamplePrompt]:
    """Return the prompts of a .txt, .toml or .json file, numbered from 0 by `enum`.

    .txt: one prompt a line; empty lines, and lines whose first character is #, are left out. .toml: `[[prompt.subset]]` tables
    that inherit the keys of `[prompt]`. .json: a list of prompt lines and of objects with the keys of KEYS.
    Raises InputError or InputErrors that name the file and the line or entry.
    """
    path = Path(path)
    readers = {".txt": _from_text, ".toml": _from_toml, ".json": _from_json}
    if path.suffix.lower() not in readers:
        raise InputError(f"{path} is not a prompt file.", field="sample_prompts", advice="Give a .txt, .toml or .json file.")
    return _prompts(readers[path.suffix.lower()](path), str(path))


def parse_prompt_text(text: str, where: str) -> list[SamplePrompt]:
    """The same for the text of a .txt file that is not written yet; `where` is what it will be called."""
    return _prompts(_lines(text, where), where)


def _prompts(entries: Iterable[tuple[str, object]], file: str) -> list[SamplePrompt]:
    prompts: list[SamplePrompt] = []
    errors: list[InputError] = []
    for where, entry in entries:
        try:
            prompt = parse_prompt_line(entry, where) if isinstance(entry, str) else _from_mapping(entry, where)
            prompts.append(dataclasses.replace(prompt, enum=len(prompts)))
        except InputErrors as several:
            errors += several.errors
    if errors:
        raise InputErrors(errors)
    if not prompts:
        raise InputError("there is no prompt in this file.", field="sample_prompts", where=file, advice="Write one a line.")
    return prompts


def _option(part: str, where: str) -> dict[str, Any]:
    """Return {key: value} for `part`, what stands between two " --"."""
    letters, key, text = _SYNTAX.named(part, where)
    if not text:
        if key == "negative_prompt":
            return {}
        raise _SYNTAX.missing(letters, where)
    if key == "flow_shift":
        _SYNTAX.number(letters, float, text, where)
    kind = KEYS[key]
    return {key: text if kind is str else _limited(key, _SYNTAX.number(letters, kind, text, where))}


def _limited(key: str, value: Any) -> Any:
    return min(max(value, 1), 1000) if key == "sample_steps" else value


def _from_mapping(entry: object, where: str) -> SamplePrompt:
    """Return the prompt of a JSON object or a TOML table, whose values already have types."""
    if not isinstance(entry, Mapping):
        raise InputErrors(
            [
                InputError(
                    f"expected a prompt line or an object, found {shown(repr(entry))}.", field="sample_prompts", where=where
                )
            ]
        )
    values: dict[str, Any] = {}
    errors: list[InputError] = []
    for key, value in entry.items():
        if key in {"subset", "enum"}:  # written by other tools; they say nothing about the picture
            continue
        try:
            values[key] = _checked(key, value, where)
        except InputError as error:
            errors.append(error)
    if errors:
        raise InputErrors(errors)
    return SamplePrompt(**values, where=where)


def _checked(key: str, value: object, where: str) -> Any:
    if key not in KEYS:
        nearest = difflib.get_close_matches(str(key), KEYS, 1)
        advice = f"Did you mean {nearest[0]!r}?" if nearest else f"The keys are {', '.join(KEYS)}."
        raise InputError(f"the key {key!r} is not known.", field="sample_prompts", where=where, advice=advice)
    kind = KEYS[key]
    allowed: tuple[type, ...] = (int, float) if kind is float or key == "flow_shift" else (kind,)
    if value is None and key != "prompt":
        return None
    if isinstance(value, bool) or not isinstance(value, (*allowed, str) if key == "flow_shift" else allowed):
        names = {str: "text", int: "a whole number", float: "a number"}
        raise InputError(f"{key} is {shown(repr(value))}; expected {names[kind]}.", field="sample_prompts", where=where)
    if isinstance(value, (int, float)) and not 0 <= value <= _MOST:
        raise InputError(
            f"{key} is {shown(repr(value))}; expected a number from 0 to {_MOST}.", field="sample_prompts", where=where
        )
    return _limited(key, str(value) if key == "flow_shift" else value)


def _read(path: Path) -> str:
    """Return the text of a UTF-8 file without its byte order mark; raises InputError with the line that is not UTF-8."""
    try:
        return read_text(path, limit=_LIMIT)
    except UnreadableError as error:
        where = f"{shown(path)}:{error.line}" if error.line else shown(path)
        message = "this line is not UTF-8." if error.line else f"the prompt file {error}"
        raise InputError(message, field="sample_prompts", where=where, advice=error.advice) from error


def read_lines(path: Path) -> list[tuple[str, str]]:
    """Return (file:line, text) of each prompt in a text file: lines that are not empty and do not begin with #.

    Raises InputError when the file cannot be read or is not UTF-8.
    """
    return _lines(_read(path), str(path))


def _lines(text: str, file: str) -> list[tuple[str, str]]:
    return [
        (f"{file}:{number}", line.strip())
        for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1)
        if line.strip() and not line.startswith("#")
    ]


def _from_text(path: Path) -> list[tuple[str, object]]:
    return [*read_lines(path)]


def _from_json(path: Path) -> list[tuple[str, object]]:
    try:
        entries = parse_json(_read(path))
    except UnreadableError as error:
        where = f"{path}:{error.line}" if error.line else str(path)
        raise InputError(f"the file {error}", field="sample_prompts", where=where) from error
    if not isinstance(entries, list):
        raise InputError("expected a list of prompts.", field="sample_prompts", where=str(path), advice="Begin with [.")
    return [(f"{path}, prompt {number}", entry) for number, entry in enumerate(entries, 1)]


def _from_toml(path: Path) -> list[tuple[str, object]]:
    try:
        document = parse_toml(_read(path))
    except UnreadableError as error:
        where = f"{path}:{error.line}" if error.line else str(path)
        raise InputError(f"not TOML: {without_content(str(error))}.", field="sample_prompts", where=where) from error
    section = document.get("prompt")
    subsets = section.get("subset") if isinstance(section, dict) else None
    if not isinstance(subsets, list) or not all(isinstance(subset, dict) for subset in subsets):
        advice = 'Write [prompt] with what all share, and below it [[prompt.subset]] with prompt = "..." for each picture.'
        raise InputError("there is no [[prompt.subset]].", field="sample_prompts", where=str(path), advice=advice)
    shared = {key: value for key, value in section.items() if key != "subset"}
    return [(f"{path}, [[prompt.subset]] {number}", {**shared, **subset}) for number, subset in enumerate(subsets, 1)]
