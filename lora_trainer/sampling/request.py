"""What is asked for: ImageRequest, and the text that is written into its pictures. No torch here."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import InputError, InputErrors

if TYPE_CHECKING:
    from PIL import Image

RANDOM_SEED = -1
_LIMITS: dict[str, tuple[float, float]] = {
    "width": (64, 4096), "height": (64, 4096), "steps": (1, 1000), "cfg_scale": (0, 100), "seed": (-1, 2**63 - 1),
    "batch_size": (1, 64), "batch_count": (1, 1000), "clip_skip": (1, 12),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Details:
    """What pictures can be drawn with besides their ImageRequest.

    seeds           of the pictures, in place of the request's seed and count; batch_size at a time
    start           picture to draw over (RGB, any size), and its `strength`, 0..1: the share of the steps that are done
    negative_scale  pushes away from the negative prompt with a scale of its own, beside cfg_scale for the prompt
    max_chunks      cuts prompts off behind so many times 75 tokens
    sizes           SDXL: original_width, original_height, crop_top, crop_left and original_..._negative, in pixels
    hashes          name -> hash of LoRA files that are on the model already, for the pictures' text
    multipliers     name -> how strongly each of them counts
    """

    seeds: Sequence[int] = ()
    start: Image.Image | None = None
    strength: float = 1.0
    negative_scale: float | None = None
    max_chunks: int | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)
    multipliers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ImageRequest:
    """batch_size * batch_count pictures of one prompt; picture i has the seed seed + i.

    `width`, `height` in pixels, multiples of 8; `seed` -1 draws one; `clip_skip` 1 = the text encoder's last layer. Raises
    InputErrors when made with values of the wrong type or out of range (_LIMITS), all in one report.
    """

    prompt: str = ""
    negative_prompt: str = ""
    width: int = 512
    height: int = 512
    steps: int = 20
    cfg_scale: float = 7.0
    seed: int = RANDOM_SEED
    sampler: str = "euler_a"
    batch_size: int = 1
    batch_count: int = 1
    clip_skip: int = 1

    def __post_init__(self) -> None:
        errors = [error for name in _DEFAULTS if (error := self._problem(name))]
        if errors:
            raise InputErrors(errors)

    def _problem(self, name: str) -> InputError | None:
        value = getattr(self, name)
        kind = type(_DEFAULTS[name])
        fits = isinstance(value, (int, float) if kind is float else kind) and not isinstance(value, bool)
        if not fits or (kind is float and not math.isfinite(value)):
            what = {str: "text", int: "a whole number", float: "a number"}[kind]
            return InputError(f"{name} is {value!r}; expected {what}.", field=name)
        low, high = _LIMITS.get(name, (-math.inf, math.inf))
        if kind is not str and not low <= value <= high:
            return InputError(f"{name} is {value}; expected {low} to {high}.", field=name)
        if name in ("width", "height") and value % 8:
            return InputError(f"{name} is {value}, no multiple of 8.", field=name, advice=f"Choose {value - value % 8}.")
        return None

    @property
    def count(self) -> int:
        """How many pictures are asked for."""
        return self.batch_size * self.batch_count

    def with_seed(self) -> ImageRequest:
        """Return the request with a seed drawn in place of -1 (0 <= seed < 2**32, as the Web UI does)."""
        if self.seed != RANDOM_SEED:
            return self
        return dataclasses.replace(self, seed=random.SystemRandom().randrange(2**32))


_DEFAULTS: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(ImageRequest)}


def from_mapping(values: Mapping[str, Any]) -> ImageRequest:
    """Return the request that a mapping (from JSON) describes. Raises InputErrors, also for keys that are not known."""
    errors = []
    for key in values.keys() - _DEFAULTS.keys():
        near = difflib.get_close_matches(str(key), _DEFAULTS, 1)
        advice = f"Did you mean {near[0]}?" if near else f"The keys are {', '.join(_DEFAULTS)}."
        errors.append(InputError(f"{key!r} is not known.", field=str(key), advice=advice))
    try:
        request = ImageRequest(**{key: value for key, value in values.items() if key in _DEFAULTS})
    except InputErrors as several:
        errors += several.errors
    if errors:
        raise InputErrors(errors)
    return request


def infotext(
    request: ImageRequest,
    seed: int,
    *,
    label: str,
    schedule: str,
    model: str = "",
    strength: float | None = None,
    loras: Mapping[str, str] | None = None,
    embeddings: Mapping[str, str] | None = None,
) -> str:
    """Return the text "parameters" of a picture in the Web UI's format, from which its page can be filled again.

    `label` and `schedule` are the sampler's names there; `strength` is that of a start image; `loras`: name -> 12-digit hash;
    `embeddings`: word -> 10-digit hash. The noise is drawn on the CPU.
    """
    values = {
        "Steps": request.steps,
        "Sampler": label,
        "Schedule type": schedule,
        "CFG scale": f"{request.cfg_scale:g}",
        "Seed": seed,
        "Size": f"{request.width}x{request.height}",
        "Model": model,
        "Denoising strength": "" if strength is None else f"{strength:g}",
        "Clip skip": request.clip_skip if request.clip_skip > 1 else "",
        "RNG": "CPU",
        "Lora hashes": ", ".join(f"{_bare(name)}: {digest}" for name, digest in (loras or {}).items()),
        "TI hashes": ", ".join(f"{_bare(name)}: {digest}" for name, digest in (embeddings or {}).items()),
    }
    line = ", ".join(f"{key}: {_quoted(str(value))}" for key, value in values.items() if value != "")
    negative = f"\nNegative prompt: {request.negative_prompt}" if request.negative_prompt else ""
    return f"{request.prompt}{negative}\n{line}".strip()


def _bare(name: str) -> str:
    return name.replace(":", "").replace(",", "")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False) if any(mark in text for mark in ",:\n") else text
