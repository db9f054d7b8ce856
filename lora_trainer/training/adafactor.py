"""Adafactor ("Adafactor: Adaptive Learning Rates with Sublinear Memory Cost", Shazeer and Stern 2018) as sd-scripts uses it.

With relative_step, which is on unless it is switched off, it makes its rate by itself: min(1e-2, 1/sqrt(step)), times the size
of each tensor with scale_parameter; warmup_init begins at 1e-6 * step. learning_rate, the schedule and the rates of the parts
have no effect then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

RELATIVE = "relative_step"


def completed(args: Mapping[str, object]) -> dict[str, object]:
    """The arguments that count: relative_step is on unless it is given, and whenever warmup_init is on."""
    found = {**args} if RELATIVE in args else {**args, RELATIVE: True}
    return {**found, RELATIVE: bool(found[RELATIVE] or found.get("warmup_init"))}


def used_rate(group: Mapping[str, Any], state: Mapping[torch.Tensor, Mapping[str, Any]]) -> float:
    """The rate of the step that was just made: the mean over the group's tensors of what each was changed by; 0 without any."""
    seen = [one for parameter in group["params"] if (one := state.get(parameter)) and one.get("step")]
    if not seen:
        return 0.0
    largest = 1e-6 if group["warmup_init"] else 1e-2
    bases = [group["lr"]] * len(seen)
    if group[RELATIVE]:
        bases = [min(largest * one["step"] if group["warmup_init"] else largest, one["step"] ** -0.5) for one in seen]
    sizes = torch.ones(len(seen))
    if group["scale_parameter"]:  # one transfer from the card for all
        sizes = torch.stack([torch.as_tensor(one["RMS"]).float() for one in seen]).cpu().clamp_min(group["eps"][1])
    return float((torch.tensor(bases) * sizes).mean())
