"""The loss and its weights, compared with recorded numbers of the reference."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lora_trainer.options.training import TrainingOptions
from lora_trainer.sampling.schedules import zero_terminal
from lora_trainer.training import loss
from lora_trainer.training.noise import DrawnNoise, velocity
from lora_trainer.training.objective import Objective
from lora_trainer.training.precision import Precision
from tests.given import given

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
    rescaled = zero_terminal(ALPHAS)
    torch.testing.assert_close(
        rescaled[TIMESTEPS], torch.tensor(RECORDED["zero_terminal_snr: alphas_cumprod"]), rtol=1e-5, atol=1e-7
    )
    assert rescaled[-1] == 0 and rescaled[0] == pytest.approx(float(ALPHAS[0]), rel=1e-6)


WEIGHINGS = [
    {"min_snr_gamma": 5.0},
    {"debiased_estimation_loss": True},
    {"scale_v_pred_loss_like_noise_pred": True},
    {"v_pred_like_loss": 0.5},
    {
        "min_snr_gamma": 5.0,
        "debiased_estimation_loss": True,
        "scale_v_pred_loss_like_noise_pred": True,
        "v_pred_like_loss": 1.0,
    },
]


@pytest.mark.parametrize("options", WEIGHINGS, ids=str)
@pytest.mark.parametrize("is_v", [True, False])
def test_where_nothing_of_the_image_is_left_every_weight_is_a_number(options, is_v):
    snr = loss.signal_to_noise(zero_terminal(ALPHAS))
    assert snr[-1] == 0
    weights = loss.timestep_weights(torch.arange(1000), snr, v_parameterization=is_v, **options)
    assert weights.isfinite().all() and (weights >= 0).all()
    for kind in ("constant", "exponential", "snr"):
        assert loss.huber_threshold(torch.arange(1000), zero_terminal(ALPHAS), schedule=kind, c=0.1).isfinite().all()


@pytest.mark.effect("zero_terminal_snr")
def test_the_weights_of_the_loss_go_by_the_noise_levels_that_are_trained():
    """With a last level of pure noise, Min-SNR is min(snr, gamma) / (snr + 1) of the new ratio (the reference: of the old)."""
    options = TrainingOptions(zero_terminal_snr=True, min_snr_gamma=5.0)
    rescaled = zero_terminal(ALPHAS)
    objective = Objective.of(options, "v_prediction", torch.device("cpu"), zero_terminal_snr=True)
    assert torch.equal(objective.alphas_cumprod, rescaled)
    ratio = rescaled / (1 - rescaled)
    expected = ratio.clamp(max=5) / (ratio + 1)
    torch.testing.assert_close(objective._weights(torch.arange(1000)), expected, rtol=1e-4, atol=1e-7)
    # and what is to be found at the end is the picture alone: an answer is possible without any trace of it in the input
    latents, noise = torch.randn(1, 4, 2, 2), torch.randn(1, 4, 2, 2)
    torch.testing.assert_close(velocity(latents, noise, torch.tensor([999]), rescaled), -latents)


@pytest.mark.effect("scale_v_pred_loss_like_noise_pred")
def test_the_loss_of_velocity_is_weighed_like_that_of_noise():
    options = TrainingOptions(scale_v_pred_loss_like_noise_pred=True)
    objective = Objective.of(options, "v_prediction", torch.device("cpu"))
    recorded = torch.tensor(RECORDED["scale_v_pred_loss_like_noise_pred"])
    torch.testing.assert_close(objective._weights(TIMESTEPS), recorded, rtol=1e-5, atol=0)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="loss_type"):
        loss.elementwise(torch.zeros(1), torch.zeros(1), "cosine")
    with pytest.raises(ValueError, match="huber_schedule"):
        loss.huber_threshold(TIMESTEPS, ALPHAS, schedule="linear", c=0.1)


def test_mean_of_each_sample_does_not_depend_on_the_batch():
    elements = torch.arange(24.0).reshape(2, 3, 2, 2)
    assert loss.per_sample(elements).tolist() == [5.5, 17.5]


class _Always:
    """A model that predicts the same whatever it sees."""

    def __init__(self, prediction: torch.Tensor) -> None:
        self.prediction = prediction

    def predict(self, latents: torch.Tensor, timesteps: torch.Tensor, conditioning: object) -> torch.Tensor:
        return self.prediction


AT = torch.tensor([20, 500, 900])
LATENTS, NOISE, PREDICTION = (torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(i)) for i in range(3))


def losses(prediction_type: str = "epsilon", **options) -> torch.Tensor:
    """The loss of three samples, at a low, a middle and a high noise level, as the options of a training make it."""
    cpu = torch.device("cpu")
    objective = Objective.of(given(**options).training, prediction_type, cpu)
    drawn = DrawnNoise(NOISE, NOISE, AT)
    return objective.losses(_Always(PREDICTION), LATENTS, None, drawn, Precision(cpu, torch.float32))


def pseudo_huber(c: torch.Tensor | float, *, like_l1: bool = False) -> torch.Tensor:
    """The mean of 2c(sqrt(d^2 + c^2) - c), or without the first c."""
    c = torch.as_tensor(c).expand(3).reshape(3, 1, 1, 1)
    return (2 * (1 if like_l1 else c) * (((PREDICTION - NOISE) ** 2 + c**2).sqrt() - c)).mean((1, 2, 3))


DIFFERENCE = PREDICTION - NOISE
SQUARED = (DIFFERENCE**2).mean((1, 2, 3))
RATIO = SNR[AT]
SIGMA = ((1 - ALPHAS[AT]) / ALPHAS[AT]).sqrt()
# Options and the losses that they make, from the formulas in the papers.
MADE = {
    "loss_type=l1": ({"loss_type": "l1"}, DIFFERENCE.abs().mean((1, 2, 3))),
    "loss_type=l2": ({"loss_type": "l2"}, SQUARED),
    "huber_schedule=constant": ({"loss_type": "huber", "huber_schedule": "constant"}, pseudo_huber(0.1)),
    "huber_c": ({"loss_type": "huber", "huber_schedule": "constant", "huber_c": 0.3}, pseudo_huber(0.3)),
    "huber_scale": (
        {"loss_type": "smooth_l1", "huber_schedule": "constant", "huber_scale": 4.0},
        pseudo_huber(0.4, like_l1=True),
    ),
    "huber_schedule=exponential": ({"loss_type": "huber", "huber_schedule": "exponential"}, pseudo_huber(0.1 ** (AT / 1000))),
    "huber_schedule=snr": ({"loss_type": "huber", "huber_schedule": "snr"}, pseudo_huber(0.9 / (1 + SIGMA) ** 2 + 0.1)),
    "min_snr_gamma": ({"min_snr_gamma": 5.0}, SQUARED * (5 / RATIO).clamp(max=1)),
    "debiased_estimation_loss": ({"debiased_estimation_loss": True}, SQUARED / RATIO.clamp(max=1000).sqrt()),
}


@pytest.mark.effect("loss_type", "huber_schedule", "huber_c", "huber_scale", "min_snr_gamma", "debiased_estimation_loss")
@pytest.mark.parametrize("name", MADE)
def test_the_options_of_the_loss_make_the_losses_of_their_formulas(name):
    options, expected = MADE[name]
    torch.testing.assert_close(losses(**options), expected, rtol=1e-5, atol=1e-7)
    others = [made for other, (_, made) in MADE.items() if other != name]
    assert all(not torch.allclose(made, expected, rtol=1e-3) for made in others), "each shows something of its own"


@pytest.mark.effect("v_pred_like_loss")
def test_a_share_of_a_velocity_like_loss_is_added():
    """What the same mistake would cost as velocity: the loss of noise is SNR/(SNR+1) of it."""
    torch.testing.assert_close(losses(v_pred_like_loss=0.5), SQUARED * (1 + 0.5 * (RATIO + 1) / RATIO), rtol=1e-5, atol=0)
