"""THE table of samplers: what they are called everywhere. The arithmetic of each is a function of `sampling.solvers`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

_KARRAS = "karras"


@dataclass(frozen=True, kw_only=True)
class SamplerEntry:
    """One sampler. `function` is the name of its function in sampling.solvers.

    `label` and `schedule_label` are what the Web UI calls it and its levels of noise, `also` its other names (the reference's,
    the Web UI's older ones). `spacing` is the name of a function of sampling.schedules. `scaled_start`: it begins at the exact
    level of the training's last timestep, and has no variant with Karras' levels ("Elucidating the Design Space of
    Diffusion-Based Generative Models", 2022).
    """

    name: str
    label: str
    function: str
    also: tuple[str, ...] = ()
    spacing: str = "uniform"
    schedule_label: str = "Automatic"
    scaled_start: bool = False

    @property
    def title(self) -> str:
        """What a list of samplers shows."""
        return f"{self.label} Karras" if self.spacing == _KARRAS else self.label


# In the order in which the page offers them. "dpmsolver++" is the reference's name of the multistep solver of order 2; with
# "Uniform" the Web UI's automatic schedule would be another one.
_PLAIN = (
    SamplerEntry(name="euler_a", label="Euler a", function="euler_ancestral", also=("k_euler_a",)),
    SamplerEntry(name="euler", label="Euler", function="euler", also=("k_euler",)),
    SamplerEntry(name="dpm++_2m", label="DPM++ 2M", function="dpmpp_2m", also=("dpmsolver++",), schedule_label="Uniform"),
    SamplerEntry(name="heun", label="Heun", function="heun", also=("k_heun",)),
    SamplerEntry(name="lms", label="LMS", function="lms", also=("k_lms",)),
    SamplerEntry(name="dpm_2", label="DPM2", function="dpm_2", also=("k_dpm_2", "dpm2"), schedule_label="Uniform"),
    SamplerEntry(
        name="dpm_2_a", label="DPM2 a", function="dpm_2_ancestral", also=("k_dpm_2_a", "dpm2_a"), schedule_label="Uniform"
    ),
    SamplerEntry(name="dpmsingle", label="DPM++ 2S", function="dpmpp_2s", schedule_label="Uniform"),
    SamplerEntry(name="dpmsolver", label="DPM-Solver 2M", function="dpm_solver_2m", schedule_label="Uniform"),
    SamplerEntry(name="ddim", label="DDIM", function="ddim", spacing="leading", scaled_start=True),
    SamplerEntry(name="plms", label="PLMS", function="plms", spacing="leading", scaled_start=True),
    SamplerEntry(name="pndm", label="PNDM", function="pndm", spacing="leading", scaled_start=True),
)


def _with_karras(entry: SamplerEntry) -> tuple[SamplerEntry, ...]:
    if entry.scaled_start:
        return (entry,)
    name = f"{entry.name}_{_KARRAS}"
    return entry, replace(entry, name=name, spacing=_KARRAS, schedule_label="Karras", also=())


SAMPLERS: Mapping[str, SamplerEntry] = {one.name: one for entry in _PLAIN for one in _with_karras(entry)}
# In lower case and with "_" for a space: the names besides, and the labels.
OTHER_NAMES: Mapping[str, str] = {
    other: entry.name for entry in _PLAIN for other in (*entry.also, "_".join(entry.label.lower().split()))
}
# What an option of the command line takes: every name but Karras' variants, which the reference does not know there.
CHOICES = tuple(name for entry in _PLAIN for name in (entry.name, *entry.also))
