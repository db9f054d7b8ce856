"""What the browser draws the form from: the declared controls and presets, in both languages, as plain data."""

from __future__ import annotations

import functools
import shutil
from typing import Any

from ..options.form_spec import form_spec
from ..options.presets import presets
from ..options.samplers import SAMPLERS

LANGUAGES = ("en", "ko")


def specification(*, cuda: bool | None = None) -> dict[str, Any]:
    """{language: {"sections": form_spec, "presets": options.presets.presets, "samplers": [{name, label}]}} for "en" and "ko".

    `cuda` says whether the machine has an NVIDIA card (it decides about the optimizer and precision that the form starts
    with); None looks for the driver's own program.
    """
    has_card = _has_nvidia_driver() if cuda is None else cuda
    samplers = [{"name": entry.name, "label": entry.title} for entry in SAMPLERS.values()]
    return {
        language: {"sections": form_spec(language), "presets": presets(language, cuda=has_card), "samplers": samplers}
        for language in LANGUAGES
    }


@functools.cache
def _has_nvidia_driver() -> bool:
    return shutil.which("nvidia-smi") is not None
