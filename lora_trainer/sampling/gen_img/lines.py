"""The prompt lines of `gen_img_diffusers`: `a cat --n bad --w 512 --d 1,2 --am 0.8,0.5`. No torch here.

They are another kind than the sample prompts of a training (sampling.prompts): the reference's script has options of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ...errors import InputError, InputErrors
from ...paths import safe_name
from ..lora_tags import checked_multiplier
from ..prompt_lines import Syntax


@dataclass(frozen=True, kw_only=True)
class GenPrompt:
    """One prompt line. None and () mean: not given, so that the command line counts.

    `seeds` one for each picture; `multipliers` one for each network, the last one for those left over; `strength` 0..1 of what
    is drawn over the start image; `file_name` without folder; a `negative_scale` of "none" goes without the command line's. The
    last six are sizes in pixels, for SDXL. `where` names file and line.
    """

    prompt: str = ""
    negative_prompt: str = ""
    width: int | None = None
    height: int | None = None
    steps: int | None = None
    scale: float | None = None
    negative_scale: float | Literal["none"] | None = None
    seeds: tuple[int, ...] = ()
    multipliers: tuple[float, ...] = ()
    strength: float | None = None
    file_name: str | None = None
    original_width: int | None = None
    original_height: int | None = None
    original_width_negative: int | None = None
    original_height_negative: int | None = None
    crop_top: int | None = None
    crop_left: int | None = None
    where: str = ""


_REFUSED = {
    "clip_prompt": "CLIP guidance",
    "deep_shrink": "deep shrink",
    "gradual_latent": "gradual latent",
}
_SYNTAX = Syntax(
    field="prompt",
    options={
        "n": "negative_prompt", "w": "width", "h": "height", "s": "steps", "d": "seeds", "l": "scale", "nl": "negative_scale",
        "t": "strength", "am": "multipliers", "f": "file_name",
        "ow": "original_width", "oh": "original_height", "nw": "original_width_negative", "nh": "original_height_negative",
        "ct": "crop_top", "cl": "crop_left",
        "c": "clip_prompt",
        **dict.fromkeys(("dsd1", "dst1", "dsd2", "dst2", "dsr"), "deep_shrink"),
        **dict.fromkeys(("glt", "glr", "gle", "gls", "glsn", "glus"), "gradual_latent"),
    },
    long_names={
        "negative": "n", "negative_prompt": "n", "width": "w", "height": "h", "seed": "d", "scale": "l", "cfg": "l",
        "steps": "s", "strength": "t", "network_mul": "am", "negative_scale": "nl",
    },
)  # fmt: skip
_STEPS = (1, 1000)
LARGEST_SEED = 2**63 - 1


def parse_line(line: str, where: str = "") -> GenPrompt:
    """Return what a prompt line says. Options begin with " --"; their letters may be capitals; the last of two wins.

    Raises InputErrors for options that are unknown, that have no effect here, or whose values do not fit.
    """
    prompt, *parts = f" {line.strip()}".split(" --")  # a line may begin with an option
    values: dict[str, Any] = {"prompt": prompt.strip()}
    errors: list[InputError] = []
    for part in parts:
        try:
            letters, key, text = _SYNTAX.named(part, where)
            values[key] = _value(letters, key, text, where)
        except InputError as error:
            errors.append(error)
    if errors:
        raise InputErrors(errors)
    return GenPrompt(**values, where=where)


def _value(letters: str, key: str, text: str, where: str) -> Any:
    if key in _REFUSED:
        raise InputError(f"--{letters}: {_REFUSED[key]} is not available.", field="prompt", where=where, advice="Leave it out.")
    if key == "negative_prompt":
        return text
    if not text:
        raise _SYNTAX.missing(letters, where)
    match key:
        case "seeds":
            return tuple(_seed(letters, part, where) for part in _list(text))
        case "multipliers":
            return tuple(_multiplier(letters, part, where) for part in _list(text))
        case "negative_scale":
            return "none" if text.lower() == "none" else _SYNTAX.number(letters, float, text, where)
        case "scale":
            return _SYNTAX.number(letters, float, text, where)
        case "strength":
            return _strength(letters, text, where)
        case "file_name":
            return _file_name(text, where)
        case "steps":
            return min(max(_SYNTAX.number(letters, int, text, where), _STEPS[0]), _STEPS[1])
    return _SYNTAX.number(letters, int, text, where)


def _multiplier(letters: str, text: str, where: str) -> float:
    number = _SYNTAX.number(letters, float, text, where, signed=True)
    return checked_multiplier(number, f"--{letters}: {text[:20]}", field="prompt", where=where)


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _seed(letters: str, text: str, where: str) -> int:
    value = int(_SYNTAX.number(letters, int, text, where))
    if value > LARGEST_SEED:
        raise InputError(f"--{letters} is {text}; expected at most {LARGEST_SEED}.", field="prompt", where=where)
    return value


def _strength(letters: str, text: str, where: str) -> float:
    value = _SYNTAX.number(letters, float, text, where)
    if value > 1:
        raise InputError(f"--{letters} is {text}; expected a number from 0 to 1.", field="prompt", where=where)
    return value


def _file_name(text: str, where: str) -> str:
    try:
        return safe_name(text, field="prompt")
    except InputError as error:
        raise InputError(error.message, field="prompt", where=where, advice=error.advice) from None
