"""The samplers as a user chooses them: a function of `solvers`, its levels of noise, and its names."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..errors import InputError
from . import schedules, solvers


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """A sampler as the user chooses it.

    `label` and `schedule_label` are what the Web UI calls it; `spacing(steps)` gives the sigmas; `scaled_start`: the first x is
    noise * sqrt(1 + sigma**2), the exact level of the training's last timestep, instead of noise * sigma.
    """

    name: str
    label: str
    function: solvers.SamplerFunction
    spacing: Callable[[int], list[float]] = schedules.uniform
    schedule_label: str = "Automatic"
    scaled_start: bool = False

    def start_scale(self, sigma: float) -> float:
        """Return what unit noise is multiplied by to become the first x."""
        return math.sqrt(1.0 + sigma**2) if self.scaled_start else sigma


_PLAIN = [
    Sampler(name="ddim", label="DDIM", function=solvers.ddim, spacing=schedules.leading, scaled_start=True),
    Sampler(name="pndm", label="PNDM", function=solvers.pndm, spacing=schedules.leading, scaled_start=True),
    Sampler(name="plms", label="PLMS", function=solvers.plms, spacing=schedules.leading, scaled_start=True),
    Sampler(name="lms", label="LMS", function=solvers.lms),
    Sampler(name="euler", label="Euler", function=solvers.euler),
    Sampler(name="euler_a", label="Euler a", function=solvers.euler_ancestral),
    Sampler(name="heun", label="Heun", function=solvers.heun),
    # The Web UI's automatic schedule of those below is another one.
    Sampler(name="dpm_2", label="DPM2", function=solvers.dpm_2, schedule_label="Uniform"),
    Sampler(name="dpm_2_a", label="DPM2 a", function=solvers.dpm_2_ancestral, schedule_label="Uniform"),
    Sampler(name="dpmsolver", label="DPM-Solver 2M", function=solvers.dpm_solver_2m, schedule_label="Uniform"),
    Sampler(name="dpmsingle", label="DPM++ 2S", function=solvers.dpmpp_2s, schedule_label="Uniform"),
    Sampler(name="dpm++_2m", label="DPM++ 2M", function=solvers.dpmpp_2m, schedule_label="Uniform"),
]
_KARRAS = [
    replace(sampler, name=sampler.name + "_karras", spacing=schedules.karras, schedule_label="Karras")
    for sampler in _PLAIN
    if not sampler.scaled_start
]
SAMPLERS = {sampler.name: sampler for sampler in [*_PLAIN, *_KARRAS]}

# Names of the reference's samplers, and of the Web UI's, beside ours. "dpmsolver++" is its multistep solver of order 2.
_OTHER_NAMES = {
    "k_lms": "lms", "k_euler": "euler", "k_euler_a": "euler_a", "k_heun": "heun", "k_dpm_2": "dpm_2", "k_dpm_2_a": "dpm_2_a",
    "dpmsolver++": "dpm++_2m", "dpm2": "dpm_2", "dpm2_a": "dpm_2_a",
}  # fmt: skip


def find(name: str, *, field: str = "sample_sampler", where: str = "") -> Sampler:
    """Return the sampler called `name`: ours ("euler_a"), the Web UI's label ("Euler a") or the reference's ("k_euler_a").

    Raises InputError that lists the samplers there are.
    """
    key = "_".join(name.strip().lower().split())
    plain = key.removesuffix("_karras")
    key = _OTHER_NAMES.get(plain, plain) + key[len(plain) :]
    if key in SAMPLERS:
        return SAMPLERS[key]
    advice = f"Choose one of: {', '.join(SAMPLERS)}."
    raise InputError(f"the sampler {name!r} is not known.", field=field, where=where, advice=advice)
