"""A base model kept loaded between requests, and the device and precision it is loaded for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .. import models
from ..errors import InputError
from ..log import logger
from ..models.main_memory import Parked, copied_once, free_card, is_on_card, places

if TYPE_CHECKING:
    from ..models import Model

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class Session:
    """Loads a model when another one is asked for, or when its file has changed; else returns the one that is there."""

    def __init__(self) -> None:
        self._key: tuple[Any, ...] = ()
        self._model: Model | None = None
        self._parked: Parked | None = None  # the model in main memory: its copy stays there for the next time
        self._is_away = False

    def model(
        self,
        path: str,
        *,
        vae: str | None = None,
        precision: str = "auto",
        device: str = "auto",
        attention: str = "torch",
        no_half_vae: bool = False,
        prediction_type: str | None = None,
    ) -> Model:
        """Return the loaded model; see `models.load`. `no_half_vae` computes the VAE in float32.

        Raises BaseModelError, and InputError for a device or precision that cannot be had.
        """
        where = choose_device(device)
        dtype = choose_dtype(precision, where)
        how = {"attention": attention, "prediction_type": prediction_type, "vae_dtype": torch.float32 if no_half_vae else None}
        key = (path, _stamp(path), vae, _stamp(vae), dtype, where, *how.values())
        if self._model is None or key != self._key:
            self.drop()
            self._model = models.load(path, dtype=dtype, device=where, vae=vae, **how)
            self._key = key
            for note in self._model.notes:
                logger.warning("%s", note)
        if self._is_away and self._parked is not None:
            self._parked.come_back()
            self._is_away = False
        return self._model

    def leave_card(self) -> None:
        """Send the model to main memory until it is asked for; it is dropped where there is no room for it."""
        if self._model is None or self._is_away:
            return
        on_card = [place for place in places(self._parts()) if is_on_card(place.tensor)]
        try:
            self._parked = copied_once(self._parked, on_card)
        except MemoryError as error:
            logger.info("the model is dropped: %s", error)
            self.drop()
            return
        self._parked.leave()
        self._is_away = True
        free_card()

    def drop(self) -> None:
        """Let the model go and give its memory back."""
        if self._parked is not None:
            self._parked.memory.free()
        self._model, self._key, self._parked, self._is_away = None, (), None, False
        free_card()

    def _parts(self) -> list[torch.nn.Module]:
        assert self._model is not None
        return [self._model.unet, self._model.vae, *self._model.text_encoders]


def choose_device(name: str) -> torch.device:
    """Return the device for "auto" (the card where there is one), "cuda", "cuda:1", "mps" or "cpu"; raises InputError."""
    if name == "auto":
        mps = getattr(torch.backends, "mps", None)
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps and mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise InputError(
            f"the device {name!r} cannot be used: {reason}", field="device", advice="Choose auto or cpu."
        ) from error
    return device


def choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Return the dtype for "auto" (fp16 on CUDA, else fp32), "fp32", "fp16" or "bf16"; raises InputError."""
    if precision == "auto":
        return torch.float16 if device.type == "cuda" else torch.float32
    if precision not in PRECISIONS:
        raise InputError(
            f"the precision {precision!r} is not known.", field="precision", advice=f"Choose auto, {', '.join(PRECISIONS)}."
        )
    if precision == "fp16" and device.type == "cpu":
        raise InputError("fp16 cannot be computed on the CPU.", field="precision", advice="Choose fp32, bf16 or auto.")
    return PRECISIONS[precision]


def _stamp(path: str | None) -> tuple[int, int] | None:
    try:
        stat = Path(path or "").expanduser().stat()
    except OSError:  # a hub id has no file
        return None
    return stat.st_mtime_ns, stat.st_size
