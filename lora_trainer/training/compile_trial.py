"""Whether compiling the UNet pays (torch_compile_when_faster): the largest batch is timed both ways first."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import TrainingError
from ..log import logger
from ..models import Model
from ..models.compiling import Compiled
from .rehearsal.meter import wait

_ROUNDS = 3
_LESS = 0.97  # of the time: less of a difference is what times differ by anyway


@dataclass(frozen=True)
class Times:
    """Seconds: of compiling, and of the gradients of a batch, compiled and not."""

    compiling: float
    compiled: float
    plain: float

    def pays(self, batches: int, shapes: int) -> bool:
        """Whether it is faster, and for so many `batches` of different `shapes` (each is compiled anew) saves more time than
        the compiling that is still to come."""
        saved = (self.plain - self.compiled) * batches
        return self.compiled < _LESS * self.plain and saved > self.compiling * (shapes - 1)

    @property
    def told(self) -> str:
        """For the log."""
        return (
            f"Compiling the UNet took {self.compiling:.1f} s; the gradients of a batch take {self.compiled:.3g} s compiled, "
            f"{self.plain:.3g} s otherwise."
        )


def times(model: Model, compiled: Compiled, gradients: Callable[[], object]) -> Times | None:
    """Time `gradients` with `model` as it is and `compiled`; None where it cannot be compiled, which is said."""
    before = model.compiled
    try:
        model.compute_with(None)
        _, plain = _timed(model, gradients)
        model.compute_with(compiled)
        first, later = _timed(model, gradients)
    except TrainingError as error:
        logger.warning("%s", error)
        return None
    finally:
        model.compute_with(before)
    return Times(max(0.0, first - later), later, plain)


def _timed(model: Model, gradients: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the first time, and the least of some more."""
    found = []
    for _ in range(1 + _ROUNDS):
        wait(model.device)
        began = time.perf_counter()
        gradients()
        wait(model.device)
        found.append(time.perf_counter() - began)
    return found[0], min(found[1:])
