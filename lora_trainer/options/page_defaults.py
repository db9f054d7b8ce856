"""What a run from the page gets for settings that were left alone and depend on others: sample pictures, bucket sizes.

They are written into the run's files like anything else, so that the command line repeats the run exactly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .train import OPTIONS_BY_NAME
from .values import BadValue, resolution_pair, resolution_text

_SAMPLES_IN_A_RUN = 5
_SAMPLE_STEPS = 20
_MOST_PROMPTS = 4  # each takes its time


def filled_in(given: Mapping[str, Any], words: str, prompts: str | None) -> tuple[dict[str, Any], str]:
    """(options, text of the prompt file; "" for no samples).

    `words` (identifier and class, a line for each concept) become the sample prompts when `prompts` is empty, at the size
    of the training, drawn five times in the run. Prompts of comments alone ("#") ask for no samples. The smallest bucket is
    lowered to the training resolution. What was given stays.
    """
    values = dict(given)
    size = _size(values)
    if size is not None:
        _lower_smallest_bucket(values, size)
    text = (prompts or "").strip()
    if not text and words and size is not None:
        width, height = (side // 8 * 8 for side in size)
        drawn = words.splitlines()[:_MOST_PROMPTS]
        text = "\n".join(f"{line} --w {width} --h {height} --d 1 --s {_SAMPLE_STEPS}" for line in drawn)
    if all(line.strip().startswith("#") for line in text.splitlines()):
        return values, ""
    if not values.get("sample_every_n_steps") and not values.get("sample_every_n_epochs"):
        epochs, steps = _number(values, "max_train_epochs"), _number(values, "max_train_steps")
        name, total = ("sample_every_n_epochs", epochs) if epochs else ("sample_every_n_steps", steps)
        values[name] = max(1, int(total) // _SAMPLES_IN_A_RUN)
    return values, text + "\n"


def _size(values: Mapping[str, Any]) -> tuple[int, int] | None:
    try:
        return resolution_pair(resolution_text(values.get("resolution")))
    except BadValue:  # said by the check of the option itself
        return None


def _lower_smallest_bucket(values: dict[str, Any], size: tuple[int, int]) -> None:
    smallest = OPTIONS_BY_NAME["min_bucket_reso"].default
    if values.get("min_bucket_reso") in (None, "", smallest) and min(size) < smallest:
        values["min_bucket_reso"] = min(size)


def _number(values: Mapping[str, Any], name: str) -> float:
    """The option's number, its default where it was not given or is not a number."""
    try:
        number = float(values[name])
    except (KeyError, TypeError, ValueError, OverflowError):
        number = math.nan
    return number if math.isfinite(number) else float(OPTIONS_BY_NAME[name].default or 0)
