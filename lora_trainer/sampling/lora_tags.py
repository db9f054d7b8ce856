"""`<lora:name:0.8>` in a prompt, with the Web UI's meaning. No torch here.

    <lora:name>  <lora:name:te>  <lora:name:te:unet>  <lora:name:te:unet:dyn>  <lora:name:unet=0.5:te=0.2:dyn=4>

One number sets both multipliers. `lyco:` means the same as `lora:`. What cannot be understood is an error, where
the Web UI draws the picture without the LoRA; so is a tag that is not closed, or begins with a space.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from ..errors import InputError

_TAG = re.compile(r"<(\w+):([^>]+)>")
# What remains of a tag that was not meant as text: also one in the full-width signs of Korean and Japanese keyboards.
_NEARLY = re.compile(r"[<＜]\s*(?:lora|lyco|ｌｏｒａ|ｌｙｃｏ)\s*[:：][^<>＜＞]{0,60}[>＞]?", re.IGNORECASE)  # noqa: RUF001
_WIDE = re.compile("[＜＞：]")  # noqa: RUF001
_LARGEST = 3.4e38  # that float32 holds
_FORMS = "Write <lora:name>, <lora:name:0.8>, <lora:name:te:unet> or <lora:name:te=0.5:unet=0.8>."


@dataclass(frozen=True)
class LoraTag:
    """One `<lora:...>`: file stem or ss_output_name, the two multipliers, and how many ranks (None = all)."""

    name: str
    te: float = 1.0
    unet: float = 1.0
    dyn: int | None = None


def extract(prompt: str, *, field: str = "prompt") -> tuple[str, list[LoraTag]]:
    """Return the prompt without its tags, and the tags in their order.

    Raises InputError for a multiplier that is not a number, a missing name, another kind of network (`<hypernet:...>`).
    """
    tags: list[LoraTag] = []

    def take(match: re.Match[str]) -> str:
        if match[1] not in {"lora", "lyco"}:
            raise InputError(f"{match[0]}: networks of the kind {match[1]!r} are not known here.", field=field, advice=_FORMS)
        tags.append(_tag(match[0], match[2].split(":"), field))
        return ""

    end = prompt.rfind(">") + 1  # behind it no tag ends: to look for one at each "<" would take the square of the length
    rest = _TAG.sub(take, prompt[:end]) + prompt[end:]
    if left := _NEARLY.search(rest):
        if _WIDE.search(left[0]):
            why = "has full-width signs in place of < : >"
        else:
            why = "has a space behind <, or no name" if left[0].endswith(">") else "is never closed with >"
        raise InputError(f"{left[0].strip()!r} {why}, so that it is no LoRA.", field=field, advice=_FORMS)
    return rest, tags


def _tag(text: str, items: list[str], field: str) -> LoraTag:
    name, positional, named = items[0], [], {}
    for item in items[1:]:
        key, equals, value = item.partition("=")
        if equals and key not in {"te", "unet", "dyn"}:
            raise InputError(f"{text}: {key!r} is not known.", field=field, advice=_FORMS)
        if equals:
            named[key] = value
        else:
            positional.append(item)
    if not name:
        raise InputError(f"{text}: the name is missing.", field=field, advice=_FORMS)
    if len(positional) > 3:
        raise InputError(f"{text}: {len(positional)} numbers, expected at most 3.", field=field, advice=_FORMS)
    values = dict(zip(("te", "unet", "dyn"), positional, strict=False)) | named
    te = _multiplier(text, values["te"], field) if "te" in values else 1.0
    unet = _multiplier(text, values["unet"], field) if "unet" in values else te
    return LoraTag(name, te, unet, _ranks(text, values["dyn"], field) if "dyn" in values else None)


def _multiplier(text: str, value: str, field: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    return checked_multiplier(number, f"{text}: {value!r}", field=field, advice=_FORMS)


def checked_multiplier(number: float, shown: str, *, field: str, where: str = "", advice: str = "") -> float:
    """`number` when it can multiply; raises InputError, which calls it `shown`, when it is none or larger than any can be."""
    if not math.isfinite(number) or abs(number) > _LARGEST:
        is_large = abs(number) > _LARGEST
        message = (
            f"{shown} is larger than any number that can be computed with here." if is_large else f"{shown} is not a number."
        )
        raise InputError(message, field=field, where=where, advice=advice or "Give a number such as 0.8.")
    return number


def _ranks(text: str, value: str, field: str) -> int:
    if not value.strip().isdecimal() or int(value) < 1:
        raise InputError(f"{text}: dyn is {value!r}, expected a whole number from 1.", field=field, advice=_FORMS)
    return int(value)
