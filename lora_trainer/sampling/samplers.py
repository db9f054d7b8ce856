"""The samplers as a user chooses them: the entries of `options.samplers`, each with its function and its levels of noise."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import InputError
from ..options import samplers as table
from . import schedules, solvers


@dataclass(frozen=True)
class Sampler:
    """A sampler: its `entry` in the table, its `function`, and `spacing(steps, zero_terminal_snr)`, which gives the sigmas."""

    entry: table.SamplerEntry
    function: solvers.SamplerFunction
    spacing: Callable[..., list[float]]

    @property
    def name(self) -> str:
        return self.entry.name

    def function_on(self, zero_terminal_snr: bool) -> solvers.SamplerFunction:
        """The function for a model of this schedule: only PNDM, which makes half steps, has to know it."""
        if self.function is not solvers.pndm:
            return self.function
        return functools.partial(self.function, zero_terminal_snr=zero_terminal_snr)

    def start_scale(self, sigma: float) -> float:
        """Return what unit noise is multiplied by to become the first x.

        That is sigma, or sqrt(1 + sigma**2), the exact level of the training's last timestep.
        """
        return math.sqrt(1.0 + sigma**2) if self.entry.scaled_start else sigma


SAMPLERS = {
    name: Sampler(entry, getattr(solvers, entry.function), getattr(schedules, entry.spacing))
    for name, entry in table.SAMPLERS.items()
}


def find(name: str, *, field: str = "sample_sampler", where: str = "") -> Sampler:
    """Return the sampler called `name`: ours ("euler_a"), the Web UI's label ("Euler a") or the reference's ("k_euler_a").

    Raises InputError that lists the samplers there are.
    """
    key = "_".join(name.strip().lower().split())
    plain = key.removesuffix("_karras")
    key = table.OTHER_NAMES.get(plain, plain) + key[len(plain) :]
    if key in SAMPLERS:
        return SAMPLERS[key]
    advice = f"Choose one of: {', '.join(SAMPLERS)}."
    raise InputError(f"the sampler {name!r} is not known.", field=field, where=where, advice=advice)
