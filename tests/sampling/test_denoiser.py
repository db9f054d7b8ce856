import math
from types import SimpleNamespace

import pytest
import torch

from lora_trainer.models.conditioning import Conditioning
from lora_trainer.sampling import schedules
from lora_trainer.sampling.denoiser import Denoiser

X0 = torch.linspace(-1, 1, 16).reshape(1, 4, 2, 2)
EPSILON = torch.linspace(1, -0.5, 16).reshape(1, 4, 2, 2)


def text(value, positions=77):
    return Conditioning(torch.full((1, positions, 8), float(value)))


class Oracle:
    """A model that knows the noise: it predicts it (or the velocity), plus what the text says."""

    dtype = torch.float32
    zero_terminal_snr = False

    def __init__(self, prediction_type, sigma):
        self.prediction_type = prediction_type
        self.sigma = sigma
        self.calls = []

    def predict(self, latents, timesteps, conditioning):
        self.calls.append(len(latents))
        assert schedules.sigma_of(float(timesteps[0])) == pytest.approx(self.sigma, rel=1e-4)
        scale = math.sqrt(self.sigma**2 + 1)
        assert torch.allclose(latents, ((X0 + self.sigma * EPSILON) / scale).expand_as(latents), atol=1e-5)
        output = EPSILON if self.prediction_type == "epsilon" else (EPSILON - self.sigma * X0) / scale
        return output.expand_as(latents) + conditioning.states.mean(dim=(1, 2))[:, None, None, None]


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("sigma", [0.1, 1.0, 10.0])
def test_a_perfect_prediction_gives_the_clean_latents(prediction_type, sigma):
    silent = text(0)
    denoiser = Denoiser(Oracle(prediction_type, sigma), silent, silent, 7.0)
    assert torch.allclose(denoiser(X0 + sigma * EPSILON, sigma), X0, atol=1e-4)


@pytest.mark.parametrize(("chunks", "calls"), [(1, [2]), (2, [1, 1])])
def test_guidance_goes_from_the_negative_through_the_positive_prompt_whatever_their_lengths(chunks, calls):
    model = Oracle("epsilon", 1.0)
    denoiser = Denoiser(model, text(0.3, 77 * chunks), text(0.1), 5.0)
    expected = X0 - (0.1 + 5.0 * (0.3 - 0.1))
    assert torch.allclose(denoiser(X0 + EPSILON, 1.0), expected, atol=1e-4)
    assert model.calls == calls


def test_a_scale_of_one_asks_for_the_prompt_alone():
    model = Oracle("epsilon", 1.0)
    got = Denoiser(model, text(0.3), text(0.1), 1.0)(X0 + EPSILON, 1.0)
    assert torch.allclose(got, X0 - 0.3, atol=1e-4) and model.calls == [1]


def test_further_prompts_are_added_each_with_its_scale_and_those_of_one_length_go_together():
    model = Oracle("epsilon", 1.0)
    more = [(text(0.5), 2.0), (text(0.2, 154), -3.0)]
    expected = X0 - (0.1 + 5.0 * (0.3 - 0.1) + 2.0 * (0.5 - 0.1) - 3.0 * (0.2 - 0.1))
    assert torch.allclose(Denoiser(model, text(0.3), text(0.1), 5.0, more)(X0 + EPSILON, 1.0), expected, atol=1e-4)
    assert model.calls == [3, 1]


def test_the_model_gets_its_own_precision_and_the_sampler_float32():
    def predict(latents, timesteps, conditioning):
        assert latents.dtype == conditioning.states.dtype == conditioning.pooled.dtype == torch.bfloat16
        assert timesteps.dtype == conditioning.sizes.dtype == torch.float32
        return latents

    model = SimpleNamespace(dtype=torch.bfloat16, prediction_type="epsilon", zero_terminal_snr=False, predict=predict)
    told = Conditioning(torch.zeros(1, 77, 8), torch.zeros(1, 4)).with_sizes(*[torch.full((1, 2), 64.0)] * 3)
    assert Denoiser(model, told, told, 2.0)(X0, 1.0).dtype == torch.float32
