""" "Try it now": the trial's pictures become an upload and its training a run like any other.

Standing alone only: the Web UI draws with its own base models, among which the demo model is not.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from ..demo import files
from ..errors import HostError
from ..runs.store import Run
from . import submitting
from .answers import Refusal
from .service import Service

MAX_STEPS = 100_000


def can_try(service: Service) -> bool:
    """Whether this host can run the trial."""
    return service.host.name != "webui" and files.model() is not None


def start(service: Service, body: Mapping[str, Any]) -> Run:
    """Draw the data set and queue the run. Raises HostError in the Web UI, BaseModelError when the demo model is missing."""
    from ..demo import recipe  # brings numpy

    if service.host.name == "webui":
        raise HostError("The trial belongs to the program standing alone.", advice="Start it with `python launch.py try`.")
    steps = _steps(body.get("steps", recipe.STEPS))
    base = files.needed()
    service.store.must_write()
    made = [service.uploads.new(), service.uploads.new()]
    images, regularisation = (service.uploads.folder(upload) for upload in made)
    prompt = recipe.tagged(recipe.subject_prompts()[0], 0.8)
    try:
        recipe.write_data(images, regularisation)
        asked = {"values": recipe.values(base, images, regularisation, steps=steps)}
        return submitting.submit(service, asked, generate={"prompt": prompt, **recipe.DRAWN})
    except BaseException:
        for upload in made:
            service.uploads.delete(upload)
        raise


def picture() -> bytes:
    """Return a few of the data set's pictures side by side, as a PNG."""
    from ..demo import recipe, trial_sheet

    data = io.BytesIO()
    trial_sheet.strip(recipe.shown_pictures()).save(data, format="PNG")
    return data.getvalue()


def _steps(asked: Any) -> int:
    if not isinstance(asked, int) or isinstance(asked, bool) or not 1 <= asked <= MAX_STEPS:
        raise Refusal(400, f"'steps' is {asked!r}, expected 1 to {MAX_STEPS}.")
    return asked
