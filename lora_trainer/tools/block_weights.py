"""Weights per block in the form of the Web UI's extension "LoRA Block Weight": lists of 12, 17, 20 or 26 numbers.

The first number is for the text encoders (BASE), then come blocks of the UNet in the words of its original code: IN00, ...,
M00, OUT00, ... Which of them a list names follows from its length. Blocks that it does not name keep their full weight.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from ..errors import InputError, InputErrors
from ..networks.blocks import block_of
from .lorafile import Lora

FORMS = {
    17: (*("IN01", "IN02", "IN04", "IN05", "IN07", "IN08"), "M00", *(f"OUT{n:02d}" for n in range(3, 12))),
    26: (*(f"IN{n:02d}" for n in range(12)), "M00", *(f"OUT{n:02d}" for n in range(12))),
    12: ("IN04", "IN05", "IN07", "IN08", "M00", *(f"OUT{n:02d}" for n in range(6))),
    20: (*(f"IN{n:02d}" for n in range(9)), "M00", *(f"OUT{n:02d}" for n in range(9))),
}
"""{length: the blocks behind BASE}."""
_SDXL = (12, 20)


def block_weights(texts: Sequence[str], loras: Sequence[Lora]) -> list[dict[str, float]]:
    """{block: weight} for each of `loras` from the option `lbws`, such as "[1,0.5,...]" (the brackets may be left out).

    Raises InputErrors for another number of lists than LoRAs, for what is no number, and for a length that the family has not.
    """
    if len(texts) != len(loras):
        raise InputError(
            f"{len(loras)} models, but {len(texts)} lists of weights per block were given.",
            field="lbws",
            where="--lbws",
            advice='Give one list for each model, in the same order: "[1,0.5,...]" "[1,1,...]".',
        )
    result, errors = [], []
    for text, lora in zip(texts, loras, strict=True):
        try:
            result.append(_weights(text, lora))
        except InputError as error:
            errors.append(error)
    if errors:
        raise InputErrors(errors)
    return result


def _weights(text: str, lora: Lora) -> dict[str, float]:
    words = [word for word in re.split(r"[,\s]+", text.strip().removeprefix("[").removesuffix("]").strip()) if word]
    numbers = []
    for place, word in enumerate(words, 1):
        try:
            numbers.append(float(word))
        except ValueError:
            numbers.append(math.nan)
        if not math.isfinite(numbers[-1]):
            raise InputError(
                f"{word!r}, number {place} of the weights per block for {lora.path.name}, is no number.",
                field="lbws",
                where="--lbws",
                advice='Write numbers with commas between them: "[1,0.5,...]".',
            )
    family = lora.family
    allowed = [length for length in FORMS if family is None or (length in _SDXL) == (family == "sdxl")]
    if len(numbers) not in allowed:
        raise InputError(
            f"{len(numbers)} weights per block were given for {lora.path.name}, expected {' or '.join(map(str, allowed))}.",
            field="lbws",
            where="--lbws",
            advice="17 or 26 numbers are for Stable Diffusion 1 and 2, 12 or 20 for XL; the first is the text encoder's.",
        )
    return dict(zip(("BASE", *FORMS[len(numbers)]), numbers, strict=True))


def weight_of(module: str, weights: Mapping[str, float]) -> float:
    """The weight of a module, by kohya's name: 1 where `weights` do not name its block."""
    return weights.get(_label(module), 1.0)


def _label(module: str) -> str:
    if module.startswith("lora_te"):
        return "BASE"
    number = block_of(module)
    if number is None:
        return ""
    if re.match(r"lora_unet_(input|middle|output)_block", module):
        # SDXL's blocks are counted from 1, its middle as three.
        return f"IN{number - 1:02d}" if number < 10 else "M00" if number < 13 else f"OUT{number - 13:02d}"
    return f"IN{number:02d}" if number < 12 else "M00" if number == 12 else f"OUT{number - 13:02d}"
