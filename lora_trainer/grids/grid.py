"""What a grid compares, and which pictures that makes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, InputErrors

MAX_PICTURES = 400
MAX_STRENGTH = 10
_LORA_TAG = re.compile(r"\s*<lora:[^>]*>")
WITHOUT = "without"


@dataclass(frozen=True)
class Candidate:
    """A LoRA file to compare: what it is called in prompts, where it lies, and the step it was saved at (or None)."""

    name: str
    path: Path
    step: int | None = None


@dataclass(frozen=True)
class Cell:
    """One picture: `key` names its file, `prompt` is an index, `candidate` an index or None for the picture without."""

    key: str
    prompt: int
    candidate: int | None
    strength: float


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Candidates x strengths for each of the prompts. `settings` are the other fields of the ImageRequest, with a seed."""

    candidates: tuple[Candidate, ...]
    strengths: tuple[float, ...]
    prompts: tuple[str, ...]
    settings: Mapping[str, Any]

    def cells(self) -> Iterator[Cell]:
        """In the order of drawing: those without first, then file by file, so that each is read once."""
        for prompt in range(len(self.prompts)):
            yield Cell(f"p{prompt}-{WITHOUT}", prompt, None, 0.0)
        for candidate in range(len(self.candidates)):
            for strength, value in enumerate(self.strengths):
                for prompt in range(len(self.prompts)):
                    yield Cell(f"p{prompt}-l{candidate}-s{strength}", prompt, candidate, value)

    def text(self, cell: Cell) -> str:
        """The whole prompt of a cell."""
        prompt = self.prompts[cell.prompt]
        if cell.candidate is None:
            return prompt
        return f"{prompt} <lora:{self.candidates[cell.candidate].name}:{cell.strength:g}>".strip()

    def request(self, cell: Cell) -> dict[str, Any]:
        """The fields of the cell's ImageRequest."""
        return {**self.settings, "prompt": self.text(cell), "batch_size": 1, "batch_count": 1}

    def as_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        candidates = [{"name": one.name, "path": str(one.path), "step": one.step} for one in self.candidates]
        rest = {"strengths": list(self.strengths), "prompts": list(self.prompts), "settings": dict(self.settings)}
        return {"candidates": candidates, **rest}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Grid:
        """Raises KeyError, TypeError or ValueError for what `as_json` did not write."""
        return cls(
            candidates=tuple(Candidate(str(one["name"]), Path(one["path"]), one["step"]) for one in found["candidates"]),
            strengths=tuple(float(strength) for strength in found["strengths"]),
            prompts=tuple(str(prompt) for prompt in found["prompts"]),
            settings=dict(found["settings"]),
        )


def checked(candidates: Sequence[Candidate], strengths: Any, prompts: Any, settings: Mapping[str, Any]) -> Grid:
    """The grid that a page asks for; LoRA tags in its prompts are taken out. Raises InputErrors with all that is wrong."""
    errors = []
    if not candidates:
        errors.append(InputError("no LoRA is chosen.", field="files", advice="Choose at least one."))
    numbers = strengths if isinstance(strengths, list) else []
    wrong = next((one for one in numbers if not _is_strength(one)), None)
    if not numbers or wrong is not None:
        what = "there is no strength." if not numbers else f"{wrong!r} is no strength."
        advice = f"Give numbers from -{MAX_STRENGTH} to {MAX_STRENGTH}, such as 0.6 and 1."
        errors.append(InputError(what, field="strengths", advice=advice))
    texts = prompts if isinstance(prompts, list) and all(isinstance(one, str) for one in prompts) else []
    lines = [text for one in texts if (text := _LORA_TAG.sub("", one).strip())]
    if not lines:
        errors.append(InputError("there is no prompt.", field="prompts", advice="Write what to draw, a line each."))
    if errors:
        raise InputErrors(errors)
    grid = Grid(
        candidates=tuple(candidates),
        strengths=tuple(dict.fromkeys(float(one) for one in numbers)),
        prompts=tuple(dict.fromkeys(lines)),
        settings=settings,
    )
    count = sum(1 for _ in grid.cells())
    if count > MAX_PICTURES:
        advice = "Choose fewer files, strengths or prompts."
        raise InputError(f"these are {count} pictures, of at most {MAX_PICTURES}.", advice=advice)
    return grid


def _is_strength(value: Any) -> bool:
    return (
        isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and abs(value) <= MAX_STRENGTH
    )
