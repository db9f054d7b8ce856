"""Whether a model predicts the noise ("epsilon") or the velocity ("v_prediction"): who says so, and who wins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ..log import logger
from .family import EPSILON, V_PREDICTION, Parts
from .ldm_yaml import Overrides
from .weights import Weights

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel

_MARK = "v_pred"  # a tensor without meaning, by which SDXL models for velocity are marked; other programs look at it too
_METADATA = "modelspec.prediction_type"


def told_by_file(weights: Weights, overrides: Overrides) -> tuple[str | None, str]:
    """Return (prediction type or None, what says so) of a single file: its YAML, its mark, or its metadata."""
    if overrides.prediction_type:
        return overrides.prediction_type, str(overrides.path)
    if _MARK in weights.shapes:
        return V_PREDICTION, f"the tensor {_MARK} in it"
    said = str(weights.metadata.get(_METADATA, "")).strip().lower()
    if said:
        return (V_PREDICTION if said.startswith("v") else EPSILON), f"{_METADATA} in its metadata"
    return None, ""


@torch.no_grad()
def told_by_answer(unet: UNet2DConditionModel, width: int) -> tuple[str, str]:
    """Return (prediction type, what says so) of an SD2 UNet, whose files do not tell, from what it answers.

    At the last timestep nearly everything is noise: the noise is then about the input itself, the velocity about minus the
    picture that the model makes of it. Input and text states (`width` wide) are constants. The Web UI tells the two
    kinds apart in this way, so that pictures come out the same there and here.
    """
    latents = torch.full((1, 4, 8, 8), 0.5, device=unet.device, dtype=unet.dtype)
    states = torch.full((1, 2, width), 0.5, device=unet.device, dtype=unet.dtype)
    answer = unet(latents, torch.tensor([999], device=unet.device), encoder_hidden_states=states, return_dict=False)[0]
    difference = (answer.float() - latents.float()).mean().item()
    return (V_PREDICTION if difference < -1 else EPSILON), "the way it answers"


def decide(parts: Parts, wanted: str | None, source: str) -> tuple[str, tuple[str, ...]]:
    """Return (prediction type, warnings): what the user wants, else what the model says, else epsilon."""
    said = parts.prediction_type
    if wanted:
        if said and said != wanted:
            note = (
                f"{source} is used as a model for {_WORDS[wanted]} because v_parameterization says so, but it seems to be "
                f"made for {_WORDS[said]} ({parts.said_by})."
            )
            return wanted, (note,)
        return wanted, ()
    if said == V_PREDICTION:
        logger.info("%s predicts velocity (%s)", source, parts.said_by)
    return said or EPSILON, ()


_WORDS = {EPSILON: "noise (epsilon)", V_PREDICTION: "velocity (v-prediction)"}
