import math

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    DPMSolverSinglestepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    KDPM2AncestralDiscreteScheduler,
    KDPM2DiscreteScheduler,
    PNDMScheduler,
)

from lora_trainer.errors import InputError
from lora_trainer.options.samplers import CHOICES
from lora_trainer.sampling import samplers, schedules
from lora_trainer.ui.form import specification

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


def ours(function, x, sigmas, denoise=fake_denoise, noise=None):
    return function(denoise, x, sigmas, noise=noise, on_step=lambda step: None)


def theirs(scheduler, x, **arguments):
    for timestep in scheduler.timesteps:
        epsilon = fake_model(scheduler.scale_model_input(x, timestep), timestep)
        x = scheduler.step(epsilon, timestep, x, **arguments).prev_sample
    return x


@pytest.mark.parametrize(
    ("name", "scheduler"),
    [
        ("ddim", DDIMScheduler(**SD, clip_sample=False, steps_offset=1)),
        ("plms", PNDMScheduler(**SD, skip_prk_steps=True, set_alpha_to_one=True, steps_offset=1)),
        ("pndm", PNDMScheduler(**SD, set_alpha_to_one=True, steps_offset=1)),  # with Runge and Kutta's first steps
    ],
)
def test_samplers_in_timesteps_equal_the_published_schedulers(name, scheduler):
    scheduler.set_timesteps(20)
    sigmas = schedules.leading(20)
    sampler = samplers.find(name)
    mine = ours(sampler.function, start() * sampler.start_scale(sigmas[0]), sigmas)
    assert torch.allclose(mine, theirs(scheduler, start()), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "scheduler", "tolerance"),
    [
        ("euler", EulerDiscreteScheduler(**SD, use_karras_sigmas=True), 1e-4),
        ("heun", HeunDiscreteScheduler(**SD, use_karras_sigmas=True), 1e-4),
        ("dpm_2", KDPM2DiscreteScheduler(**SD, use_karras_sigmas=True), 1e-4),
        ("dpm++_2m", DPMSolverMultistepScheduler(**SD, use_karras_sigmas=True, final_sigmas_type="zero"), 1e-2),
        ("dpmsingle", DPMSolverSinglestepScheduler(**SD, use_karras_sigmas=True, final_sigmas_type="zero"), 1e-2),
    ],
)
def test_deterministic_samplers_equal_the_published_schedulers_on_the_same_sigmas(name, scheduler, tolerance):
    """The last two schedulers round their Karras timesteps to whole numbers, hence the tolerance."""
    scheduler.set_timesteps(15)
    sigmas = schedules.karras(15)
    x = start() * sigmas[0]
    scale = math.sqrt(sigmas[0] ** 2 + 1) if name in ("dpm++_2m", "dpmsingle") else 1.0  # they keep x scaled down
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


def test_dpm2_a_equals_the_published_scheduler_with_the_same_draws():
    """The scheduler's noise is that of its own generator, drawn once a step but the last."""
    scheduler = KDPM2AncestralDiscreteScheduler(**SD, use_karras_sigmas=True)
    scheduler.set_timesteps(10)
    draws, sigmas = torch.Generator().manual_seed(5), schedules.karras(10)
    x = start() * sigmas[0]
    sampler = samplers.find("dpm_2_a").function
    mine = sampler(
        fake_denoise,
        x,
        sigmas,
        noise=lambda: torch.randn(SHAPE, generator=draws, dtype=torch.float64),
        on_step=lambda step: None,
    )
    assert torch.allclose(mine, theirs(scheduler, x, generator=torch.Generator().manual_seed(5)), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("steps", [4, 5, 50])
def test_pndm_equals_the_published_scheduler_for_few_and_many_steps(steps):
    scheduler = PNDMScheduler(**SD, set_alpha_to_one=True, steps_offset=1)
    scheduler.set_timesteps(steps)
    sampler, sigmas, calls = samplers.find("pndm"), schedules.leading(steps), []

    def denoise(x, sigma):
        calls.append(sigma)
        return fake_denoise(x, sigma)

    mine = ours(sampler.function, start() * sampler.start_scale(sigmas[0]), sigmas, denoise)
    assert torch.allclose(mine, theirs(scheduler, start()), rtol=1e-4, atol=1e-5)
    assert len(calls) == steps + 9  # each of the first three steps asks the model four times


def test_lms_is_exact_where_the_slope_is_a_cubic_in_sigma():
    """From the fourth level on, when four slopes are known; the steps before are of orders 1 to 3."""
    sigmas = [2.0, 1.7, 1.5, 1.0, 0.6, 0.5, 0.0]
    seen = []

    def denoise(x, sigma):
        seen.append(x.item())
        return x - sigma * (1 - 3 * sigma + 2 * sigma**3)

    seen.append(ours(samplers.find("lms").function, torch.ones(1, dtype=torch.float64), sigmas, denoise).item())
    exact = [sigma - 1.5 * sigma**2 + 0.5 * sigma**4 for sigma in sigmas]
    assert [x - seen[3] for x in seen[4:]] == pytest.approx([value - exact[3] for value in exact[4:]], rel=1e-12)
    assert abs(seen[3] - seen[0] - (exact[3] - exact[0])) > 0.01  # the start is not exact


@pytest.mark.parametrize(
    ("name", "order"),
    [("ddim", 1), ("euler", 1), ("heun", 2), ("dpm_2", 2), ("dpm++_2m", 2), ("dpmsolver", 2), ("dpmsingle", 2)],
)
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


@pytest.mark.parametrize("name", ["euler_a", "dpm_2_a"])
def test_ancestral_samplers_keep_the_variance_of_gaussian_data(name):
    """Stochastic, so the outcome is the distribution: data N(0, 1) must come out with standard deviation 1."""
    generator = torch.Generator().manual_seed(0)
    sigmas = schedules.karras(60)
    x = torch.randn(20_000, generator=generator, dtype=torch.float64) * math.sqrt(1 + sigmas[0] ** 2)
    got = samplers.find(name).function(
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
    [("ddim", "ddim"), ("PLMS", "plms"),
     ("pndm", "pndm"), ("k_lms", "lms"), ("k_dpm_2_a", "dpm_2_a"), ("DPM2 a Karras", "dpm_2_a_karras"),
     ("k_euler", "euler"), ("k_euler_a", "euler_a"), ("Euler a", "euler_a"), ("heun", "heun"),
     ("dpmsolver++", "dpm++_2m"), ("DPM++ 2M Karras", "dpm++_2m_karras"), (" EULER ", "euler")],
)  # fmt: skip
def test_names_of_the_reference_and_of_the_web_ui_are_understood(given, name):
    assert samplers.find(given).name == name


def test_a_sampler_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(InputError, match="not known") as caught:
        samplers.find("eulr")
    assert "euler_a" in str(caught.value) and "ddim" in str(caught.value)


def test_the_page_offers_every_sampler_by_the_name_the_web_ui_has_for_it():
    for language in specification(cuda=False).values():
        offered = {one["name"]: one["label"] for one in language["samplers"]}
        assert list(offered) == list(samplers.SAMPLERS)
        assert offered["dpm++_2m_karras"] == "DPM++ 2M Karras" and offered["euler_a"] == "Euler a"
        assert all(samplers.find(label).name == name for name, label in offered.items())


def test_every_name_that_an_option_takes_is_a_sampler():
    assert {samplers.find(name).name for name in CHOICES} == {
        name for name in samplers.SAMPLERS if not name.endswith("_karras")
    }
