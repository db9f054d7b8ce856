"""Darker and brighter pictures than the noise that they begin with."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lora_trainer.demo import trial, world
from lora_trainer.randomness import rng
from tests.outcome.held_out import surely
from tests.outcome.lab import Seen

pytestmark = [pytest.mark.outcome, pytest.mark.long, pytest.mark.timeout(1800)]
FAINT = 0.12  # how much of the difference to black or white is left
BLACK = 0.1  # how bright a pixel may be, of 0..1, to count as black
OBJECTS = [f"a large {colour} {shape}" for colour, shape in zip(world.COLOURS, world.SHAPES, strict=True)]
LIGHTS = {"black": 0.0, "white": 255.0}


def lit(light: str, count: int, rest: float) -> list[trial.Pair]:
    """Objects on a black or white background of which all but `rest` has sunk into it; captions do not name the background."""
    found = []
    for index in range(count):
        scene = world.replace(world.random_scene(rng(0, "lit", index)), background=light)
        picture = LIGHTS[light] + rest * (world.draw(scene).astype(np.float32) - LIGHTS[light])
        found.append((np.rint(picture).astype(np.uint8), scene.caption(background=False)))
    return found


def brightness(seen: Seen) -> torch.Tensor:
    """The mean of each picture [B], 0 (black) to 1 (white)."""
    return (seen.pictures.mean((1, 2, 3)) + 1) / 2


def black(seen: Seen) -> float:
    """The share of pixels that are black."""
    return float(((seen.pictures.mean(1) + 1) / 2 <= BLACK).float().mean())


@pytest.mark.effect("noise_offset")
def test_noise_offset(lab, board):
    """Noise with an offset makes darker and brighter pictures reachable.

    A few nearly black pictures, and in another training nearly white ones. Ordinary noise hides a picture's brightness least:
    the model reads it in the noise, and a picture stays about as bright as the noise that it begins with. Noise that is
    brighter or darker as a whole (noise_offset) teaches the brightness itself.
    """
    few = {"max_train_steps": 32, "train_batch_size": 4, "min_timestep": None, "network_train_unet_only": True}
    asked = OBJECTS * 2
    rows = {"before": lab.draw(asked)}
    for light in LIGHTS:
        shown = lit(light, 16, FAINT)
        rows[f"{light}, without"] = lab.draw(asked, lab.train(shown, **few))
        rows[f"{light}, with"] = lab.draw(asked, lab.train(shown, noise_offset=0.3, **few))
    scores = board(rows, brightness=lambda seen: float(brightness(seen).mean()))
    missing = {
        name: torch.cat([(brightness(rows[f"{light}, {name}"]) - LIGHTS[light] / 255).abs() for light in LIGHTS])
        for name in ("with", "without")
    }
    assert surely(missing["with"], missing["without"]), scores
    assert scores["black, with"]["brightness"] < scores["black, without"]["brightness"], scores
    assert scores["white, with"]["brightness"] > scores["white, without"]["brightness"], scores


@pytest.mark.effect("zero_terminal_snr", "v_parameterization")
def test_zero_terminal_snr(lab, board, monkeypatch):
    """A black picture can be drawn when the last noise level is nothing but noise.

    Plain black and white pictures, trained as velocity (v_parameterization). The usual last level still shows a trace of the
    picture, which the noise that a picture begins with does not have. With zero_terminal_snr there is none, in the training and
    in the drawing, and black is black.
    """
    shown = [(picture, f"{caption} on a {light} background") for light in LIGHTS for picture, caption in lit(light, 16, 0.0)]
    asked = [f"{one} on a black background" for one in OBJECTS]
    velocity = {
        "v_parameterization": True, "min_timestep": None, "network_train_unet_only": True, "max_train_steps": 48,
        "train_batch_size": 4, "network_args": ["conv_dim=32", "conv_alpha=32"],
    }  # fmt: skip
    rows = {"before": lab.draw(asked)}
    monkeypatch.setattr(lab.model, "prediction_type", "v_prediction")
    rows["without"] = lab.draw(asked, lab.train(shown, **velocity))
    rows["with"] = lab.draw(asked, lab.train(shown, zero_terminal_snr=True, **velocity))
    scores = board(rows, black=black, brightness=lambda seen: float(brightness(seen).mean()))
    assert surely(brightness(rows["with"]), brightness(rows["without"])), scores
    assert scores["with"]["black"] >= max(0.9, scores["without"]["black"] + 0.02), scores
