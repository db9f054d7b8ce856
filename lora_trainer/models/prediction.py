"""Whether a model predicts the noise ("epsilon") or the velocity ("v_prediction"): who says so, and who wins.

First the user; then what is written on purpose (a YAML, the tensor `v_pred`, diffusers' scheduler); then, for families whose
answer tells, the UNet's answer; then the metadata, which tools that merge models often get wrong (the Web UI does not read
them either). Two of them that disagree are a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch

from ..log import logger
from .family import EPSILON, V_PREDICTION, Parts
from .ldm_yaml import Overrides
from .weights import Weights

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel

MARK = "v_pred"  # a tensor without meaning, by which SDXL models for velocity are marked; other programs look at it too
ZERO_TERMINAL_MARK = "ztsnr"  # the same for models whose last noise level is pure noise (NoobAI's beside `v_pred`)
METADATA = "modelspec.prediction_type"


def told_by_file(weights: Weights, overrides: Overrides) -> tuple[str | None, str]:
    """Return (prediction type or None, what says so) of a single file: its YAML, its mark, or its metadata."""
    if overrides.prediction_type:
        return overrides.prediction_type, str(overrides.path)
    if MARK in weights.shapes:
        return V_PREDICTION, f"the tensor {MARK} in it"
    said = told_by_metadata(weights.metadata)
    return said, f"{METADATA} in its metadata" if said else ""


def told_by_metadata(metadata: Mapping[str, str]) -> str | None:
    """Return the prediction type that the metadata of a model or of a LoRA name; None when they do not."""
    said = str(metadata.get(METADATA, "")).strip().lower()
    return None if not said else V_PREDICTION if said.startswith("v") else EPSILON


@torch.no_grad()
def told_by_answer(unet: UNet2DConditionModel) -> str:
    """Return the prediction type of an SD2 UNet, whose files often do not tell, from what it answers.

    At the last timestep nearly everything is noise: the noise is then about the input itself, the velocity about minus the
    picture that the model makes of it. Input and text states are constants. The Web UI tells the two kinds apart in this
    way, so that pictures come out the same there and here.
    """
    latents = torch.full((1, 4, 8, 8), 0.5, device=unet.device, dtype=unet.dtype)
    states = torch.full((1, 2, unet.config.cross_attention_dim), 0.5, device=unet.device, dtype=unet.dtype)
    answer = unet(latents, torch.tensor([999], device=unet.device), encoder_hidden_states=states, return_dict=False)[0]
    difference = (answer.float() - latents.float()).mean().item()
    return V_PREDICTION if difference < -1 else EPSILON


def decide(
    parts: Parts, answer: Callable[[UNet2DConditionModel], str] | None, wanted: str | None, source: str
) -> tuple[str, tuple[str, ...]]:
    """Return (prediction type, warnings). `answer` asks the UNet, where the family's UNets tell it; see above for who wins."""
    said, by = parts.prediction_type, parts.said_by
    told = [(said, by)] if said else []
    if answer is not None:
        answered = (answer(parts.unet), "the way it answers")
        told.insert(0 if METADATA in by else len(told), answered)
    if wanted:
        told.insert(0, (wanted, "v_parameterization says so"))
    if not told:
        return EPSILON, ()
    chosen, why = told[0]
    others = [f"{_WORDS[kind]} ({reason})" for kind, reason in told[1:] if kind != chosen]
    if others:
        note = (
            f"{source} is used as a model for {_WORDS[chosen]} because {_because(why)}, but it seems to be made for "
            f"{' and '.join(others)}. If pictures are noise, set or leave out v_parameterization."
        )
        return chosen, (note,)
    if chosen == V_PREDICTION and not wanted:
        logger.info("%s predicts velocity (%s)", source, why)
    return chosen, ()


def _because(why: str) -> str:
    return why if why.endswith("says so") else f"of {why}"


_WORDS = {EPSILON: "noise (epsilon)", V_PREDICTION: "velocity (v-prediction)"}
