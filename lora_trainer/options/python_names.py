"""Options whose value may be a class of any Python package, `module.Class`: importing it runs code.

It is imported only for the local user, who types it on the command line. What comes over a network (the page, a run's folder)
may name what the program knows, and classes of torch.
"""

from __future__ import annotations

import re

from ..errors import InputError
from .optimizer_kinds import OPTIMIZERS, TORCH
from .schedule_names import TORCH_SCHEDULES

_KNOWN = {kind.target for kind in OPTIMIZERS}
DOTTED = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+"  # module.Class
IMPORTED = {"optimizer_type": TORCH, "lr_scheduler_type": TORCH_SCHEDULES}  # option -> the module that everybody may name


def is_open(option: str, value: str) -> bool:
    """Whether everybody may give this value: a name from a list, or a class of the one module of torch."""
    return "." not in value or value in _KNOWN or bool(re.fullmatch(re.escape(IMPORTED[option]) + r"[A-Za-z_]\w*", value))


def import_problem(option: str, value: str | None) -> InputError | None:
    """What is wrong with naming this class from elsewhere than the command line, or None."""
    if not value or is_open(option, value):
        return None
    return InputError(
        f"{option} {value} is a class of another package, which is imported only for who types it on the command line.",
        field=option,
        advice="Choose one from the list, or start this training on the command line.",
    )
