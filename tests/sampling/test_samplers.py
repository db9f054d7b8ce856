import math

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
)

from lora_trainer.errors import InputError
from lora_trainer.sampling import samplers, schedules

SD = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SHAPE = (2, 4, 3, 3)


def fake_model(x, timestep):
    """A smooth stand-in for a UNet: takes a scaled picture and a timestep, predicts noise."""
    return torch.tanh(x * 0.7 + float(timestep) / 1000) + 0.1 * x.mean()


def fake_denoise(x, sigma):
    scaled = x / math.sqrt(sigma**2 + 1)
    return x - sigma * fake_model(scaled, schedules.timestep_of(sigma))


def start(seed=0):
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def ours(function, x, sigmas, noise=None):
    return function(fake_denoise, x, sigmas, noise=noise, on_step=lambda step: None)


def theirs(scheduler, x, **arguments):
    for timestep in scheduler.timesteps:
        epsilon = fake_model(scheduler.scale_model_input(x, timestep), timestep)
        x = scheduler.step(epsilon, timestep, x, **arguments).prev_sample
    return x


def test_ddim_equals_the_published_scheduler():
    scheduler = DDIMScheduler(**SD, clip_sample=False, steps_offset=1)
    scheduler.set_timesteps(20)
    sigmas = schedules.leading(20)
    sampler = samplers.find("ddim")
    mine = ours(sampler.function, start() * sampler.start_scale(sigmas[0]), sigmas)
    assert torch.allclose(mine, theirs(scheduler, start()), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "scheduler", "tolerance"),
    [
        ("euler", EulerDiscreteScheduler(**SD, use_karras_sigmas=True), 1e-4),
        ("heun", HeunDiscreteScheduler(**SD, use_karras_sigmas=True), 1e-4),
        ("dpm++_2m", DPMSolverMultistepScheduler(**SD, use_karras_sigmas=True, final_sigmas_type="zero"), 1e-2),
    ],
)
def test_deterministic_samplers_equal_the_published_schedulers_on_the_same_sigmas(name, scheduler, tolerance):
    """The multistep scheduler rounds its Karras timesteps to whole numbers, hence its tolerance."""
    scheduler.set_timesteps(15)
    sigmas = schedules.karras(15)
    x = start() * sigmas[0]
    scale = math.sqrt(sigmas[0] ** 2 + 1) if name == "dpm++_2m" else 1.0  # that scheduler keeps x scaled down
    mine = ours(samplers.find(name).function, x, sigmas)
    assert torch.allclose(mine, theirs(scheduler, x / scale), rtol=tolerance, atol=tolerance)


def test_euler_a_equals_the_published_scheduler_with_the_same_draws():
    scheduler = EulerAncestralDiscreteScheduler(**SD, timestep_spacing="linspace")
    scheduler.set_timesteps(10)
    draws = torch.Generator().manual_seed(5)
    sigmas = scheduler.sigmas.tolist()
    x = start() * sigmas[0]
    mine = samplers.find("euler_a").function(
        lambda x, sigma: x - sigma * fake_model(x / math.sqrt(sigma**2 + 1), scheduler.timesteps[sigmas.index(sigma)]),
        x,
        sigmas,
        noise=lambda: torch.randn(SHAPE, generator=draws, dtype=torch.float64),
        on_step=lambda step: None,
    )
    assert torch.allclose(mine, theirs(scheduler, x, generator=torch.Generator().manual_seed(5)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("name", "order"), [("ddim", 1), ("euler", 1), ("heun", 2), ("dpm++_2m", 2)])
def test_order_of_convergence_on_gaussian_data_with_a_known_solution(name, order):
    """Data N(mean, s^2): the ideal denoiser is linear and the ODE's solution is x - mean ~ sqrt(s^2 + sigma^2)."""
    mean, s, first, last = 0.3, 1.5, 14.0, 0.1

    def denoise(x, sigma):
        return (s**2 * x + sigma**2 * mean) / (s**2 + sigma**2)

    x = start() * first
    exact = mean + (x - mean) * math.sqrt((s**2 + last**2) / (s**2 + first**2))
    errors = []
    for steps in (40, 80, 160):
        sigmas = [first * (last / first) ** (i / steps) for i in range(steps + 1)]
        got = samplers.find(name).function(denoise, x, sigmas, noise=None, on_step=lambda step: None)
        errors.append((got - exact).abs().max().item())
    measured = math.log2(errors[1] / errors[2])
    assert measured == pytest.approx(order, abs=0.25)


def test_euler_a_keeps_the_variance_of_gaussian_data():
    """Stochastic, so the outcome is the distribution: data N(0, 1) must come out with standard deviation 1."""
    generator = torch.Generator().manual_seed(0)
    sigmas = schedules.karras(60)
    x = torch.randn(20_000, generator=generator, dtype=torch.float64) * math.sqrt(1 + sigmas[0] ** 2)
    got = samplers.euler_ancestral(
        lambda x, sigma: x / (1 + sigma**2),
        x,
        sigmas,
        noise=lambda: torch.randn(x.shape, generator=generator, dtype=torch.float64),
        on_step=lambda step: None,
    )
    assert got.std().item() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("sampler", samplers.SAMPLERS.values(), ids=lambda sampler: sampler.name)
def test_every_sampler_ends_at_the_clean_picture_and_counts_its_steps(sampler):
    clean = torch.full((1, 4, 2, 2), 0.5)
    for steps in (1, 2, 5):
        seen = []
        sigmas = sampler.spacing(steps)
        x = torch.ones_like(clean) * sampler.start_scale(sigmas[0])
        got = sampler.function(lambda x, sigma: clean, x, sigmas, noise=lambda: torch.ones_like(clean), on_step=seen.append)
        assert torch.allclose(got, clean, atol=1e-5)
        assert seen == list(range(1, steps + 1))


@pytest.mark.parametrize(
    ("given", "name"),
    [("ddim", "ddim"), ("k_euler", "euler"), ("k_euler_a", "euler_a"), ("Euler a", "euler_a"), ("heun", "heun"),
     ("dpmsolver++", "dpm++_2m"), ("DPM++ 2M Karras", "dpm++_2m_karras"), (" EULER ", "euler")],
)  # fmt: skip
def test_names_of_the_reference_and_of_the_web_ui_are_understood(given, name):
    assert samplers.find(given).name == name


@pytest.mark.parametrize(
    ("given", "what"), [("pndm", "not available yet"), ("k_dpm_2_a", "not available yet"), ("eulr", "not known")]
)
def test_a_sampler_that_is_not_there_is_refused_with_those_that_are(given, what):
    with pytest.raises(InputError, match=what) as caught:
        samplers.find(given)
    assert "euler_a" in str(caught.value) and "ddim" in str(caught.value)
