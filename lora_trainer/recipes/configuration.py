"""Configuration files with sd-scripts' names (--config_file), ours among them; and our presets, exported from the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import InputError
from ..options.resolve import ALIASES
from ..options.simple import SIMPLE_BY_NAME
from ..options.train import OPTIONS_BY_NAME
from ..options.values import BadValue, convert
from .recipe import CONFIG, PRESET, Recipe, shown

PRESET_MARK = "lora_trainer_preset"
_LEFT_OUT = {
    "config_file": "it names this file.",
    "output_config": "it only writes such a file.",
    "noise_offset_type": "it is of kohya_ss' GUI, which has chosen by it already which kind of noise stands here.",
}


def looks_like_one(values: Mapping[str, Any]) -> bool:
    """Whether these keys are options of a training, most of them."""
    known = [key for key in values if ALIASES.get(key, key) in OPTIONS_BY_NAME]
    return len(known) >= 1 and 2 * len(known) >= len(values)


def from_config(name: str, values: Mapping[str, Any]) -> Recipe:
    """Read a configuration file: options by their own names, in any sections."""
    recipe = Recipe(name=name, kind=CONFIG)
    for key, raw in values.items():
        option = ALIASES.get(key, key)
        if option in _LEFT_OUT:
            if raw:
                recipe.drop(key, raw, _LEFT_OUT[option])
        else:
            recipe.take(key, raw)
    return recipe


def from_preset(name: str, data: Mapping[str, Any]) -> tuple[Recipe, dict[str, Any]]:
    """Read an exported preset: (recipe, values of the page's own fields). Raises InputError when it is none."""
    values = data.get("values")
    if not isinstance(values, dict):
        raise InputError(f"{name} is no preset: it has no table of values.", advice="Export it anew.")
    title = data.get("name")
    recipe = Recipe(name=title if isinstance(title, str) and title.strip() else name, kind=PRESET, maker="LoRA Trainer")
    simple: dict[str, Any] = {}
    for key, raw in values.items():
        if key not in SIMPLE_BY_NAME:
            recipe.take(key, raw)
            continue
        try:
            simple[key] = convert(SIMPLE_BY_NAME[key], raw, loose=True)
        except BadValue as problem:
            recipe.drop(key, raw, str(problem))
    return recipe, {key: value for key, value in simple.items() if shown(value)}
