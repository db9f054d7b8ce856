"""The loss and its weights, compared with recorded numbers of the reference."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lora_trainer.training import loss
from lora_trainer.training.noise import zero_terminal_snr

GOLDEN = Path(__file__).parents[1] / "golden"
RECORDED = json.loads((GOLDEN / "loss.json").read_text())["weights"]
TIMESTEPS = torch.tensor(RECORDED["timesteps"])
BETAS = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float32) ** 2
ALPHAS = torch.cumprod(1.0 - BETAS, dim=0)
SNR = loss.signal_to_noise(ALPHAS)


def options_of(key: str) -> dict[str, object]:
    """`min_snr_gamma=5 + v_parameterization` -> {"min_snr_gamma": 5.0, "v_parameterization": True}"""
    found: dict[str, object] = {}
    key = key.removeprefix("all: ").removesuffix(" (treated as off)")
    for part in re.split(r" \+ |,", key):
        name, _, value = part.partition("=")
        name = {"scale_v_pred": "scale_v_pred_loss_like_noise_pred"}.get(name, name)
        found[name] = {"": True, "True": True, "False": False}.get(value) if value in {"", "True", "False"} else float(value)
    return found


WEIGHTS = [key for key in RECORDED if re.match(r"all: |min_snr|scale_v|debiased|v_pred", key)]
HUBER = [key for key in RECORDED if key.startswith("huber threshold")]


def test_the_recorded_cases_are_all_read():
    assert len(WEIGHTS) == 16 and len(HUBER) == 9


def test_signal_to_noise_ratio():
    torch.testing.assert_close(ALPHAS[TIMESTEPS], torch.tensor(RECORDED["alphas_cumprod"]), rtol=1e-6, atol=0)
    torch.testing.assert_close(SNR[TIMESTEPS], torch.tensor(RECORDED["snr"]), rtol=1e-5, atol=0)


@pytest.mark.parametrize("key", WEIGHTS)
def test_weight_of_each_timestep(key):
    weights = loss.timestep_weights(TIMESTEPS, SNR, **options_of(key))
    torch.testing.assert_close(weights, torch.tensor(RECORDED[key]), rtol=1e-5, atol=0)


@pytest.mark.parametrize("key", HUBER)
def test_huber_threshold_of_each_timestep(key):
    options = dict(part.split("=") for part in key.removeprefix("huber threshold: ").split(","))
    threshold = loss.huber_threshold(
        TIMESTEPS, ALPHAS, schedule=options["huber_schedule"], c=float(options["huber_c"]), scale=float(options["huber_scale"])
    )
    torch.testing.assert_close(threshold, torch.tensor(RECORDED[key]), rtol=1e-5, atol=0)


@pytest.mark.parametrize("kind", ["l2", "l1", "huber", "smooth_l1"])
def test_element_losses(kind):
    tensors = load_file(GOLDEN / "noise.safetensors")
    found = loss.elementwise(tensors["loss.pred"], tensors["loss.target"], kind, tensors["loss.huber_c"])
    torch.testing.assert_close(found, tensors[f"loss.{kind}"], rtol=1e-5, atol=1e-6)


def test_zero_terminal_snr_leaves_nothing_of_the_image_at_the_end():
    rescaled = zero_terminal_snr(ALPHAS)
    torch.testing.assert_close(
        rescaled[TIMESTEPS], torch.tensor(RECORDED["zero_terminal_snr: alphas_cumprod"]), rtol=1e-5, atol=1e-7
    )
    assert rescaled[-1] == 0


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="loss_type"):
        loss.elementwise(torch.zeros(1), torch.zeros(1), "cosine")
    with pytest.raises(ValueError, match="huber_schedule"):
        loss.huber_threshold(TIMESTEPS, ALPHAS, schedule="linear", c=0.1)


def test_mean_of_each_sample_does_not_depend_on_the_batch():
    elements = torch.arange(24.0).reshape(2, 3, 2, 2)
    assert loss.per_sample(elements).tolist() == [5.5, 17.5]
