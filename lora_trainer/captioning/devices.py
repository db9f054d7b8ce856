"""Which device a captioning model computes on."""

from __future__ import annotations

import torch

from ..errors import InputError
from ..log import logger


def choose(name: str, needed: int) -> torch.device:
    """The torch device called `name`; `auto` is the card where it has `needed` bytes free, else the processor.

    Raises InputError for one that there is not.
    """
    if name == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        free = torch.cuda.mem_get_info()[0]
        if free >= needed:
            return torch.device("cuda")
        logger.info("The card has only %.1f GB free: the processor computes.", free / 1e9)
        return torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        raise InputError(
            f"the device {name!r} cannot be used here: {str(error).splitlines()[0]}",
            field="device",
            where="--device",
            advice="Use --device cpu.",
        ) from error
    return device
