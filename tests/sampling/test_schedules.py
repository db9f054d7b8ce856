import math

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, EulerDiscreteScheduler

from lora_trainer.sampling import schedules

SD = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def test_alphas_cumprod_equals_the_reference_schedule_bit_for_bit():
    assert torch.equal(schedules.alphas_cumprod(), DDPMScheduler(**SD).alphas_cumprod)


def test_timestep_and_sigma_are_inverse_of_each_other():
    for timestep in [0, 0.25, 1, 17.5, 500, 998.75, 999]:
        assert schedules.timestep_of(schedules.sigma_of(timestep)) == pytest.approx(timestep, abs=1e-6)
    assert schedules.sigma_of(999) == pytest.approx(14.6146, abs=1e-4)
    assert schedules.timestep_of(1000.0) == 999
    assert schedules.timestep_of(0.0) == 0


@pytest.mark.parametrize("spacing", [schedules.uniform, schedules.karras, schedules.leading])
@pytest.mark.parametrize("steps", [1, 2, 7, 30, 600, 1000])
def test_every_spacing_falls_and_ends_with_zero(spacing, steps):
    sigmas = spacing(steps)
    assert len(sigmas) == steps + 1 and sigmas[-1] == 0.0
    assert all(a >= b for a, b in zip(sigmas, sigmas[1:], strict=False))
    if steps > 1 and spacing is not schedules.leading:
        assert sigmas[0] == pytest.approx(14.6146, abs=1e-4) and sigmas[-2] == pytest.approx(0.029167, abs=1e-5)


def test_leading_equals_ddim_timesteps_where_the_steps_divide_1000_and_covers_the_range_otherwise():
    scheduler = DDIMScheduler(**SD, steps_offset=1)
    scheduler.set_timesteps(20)
    got = [schedules.timestep_of(sigma) for sigma in schedules.leading(20)[:-1]]
    assert got == pytest.approx(scheduler.timesteps.tolist(), abs=1e-6)
    assert schedules.timestep_of(schedules.leading(600)[0]) > 995  # the whole-number ratio would begin at timestep 600


def test_karras_equals_the_reference_scheduler():
    scheduler = EulerDiscreteScheduler(**SD, use_karras_sigmas=True)
    scheduler.set_timesteps(12)
    assert schedules.karras(12) == pytest.approx(scheduler.sigmas.tolist(), rel=1e-5)


def test_uniform_is_even_in_timesteps():
    timesteps = [schedules.timestep_of(sigma) for sigma in schedules.uniform(11)[:-1]]
    assert timesteps == pytest.approx([999 - 99.9 * i for i in range(11)], abs=1e-6)
    assert math.isclose(schedules.uniform(1)[0], schedules.sigma_of(999))


def test_zero_terminal_snr_gives_the_reference_schedule_with_a_last_level_that_a_sampler_can_begin_at():
    reference = EulerDiscreteScheduler(**SD, rescale_betas_zero_snr=True)
    sigmas = schedules.train_sigmas(True)
    expected = ((1 - reference.alphas_cumprod) / reference.alphas_cumprod) ** 0.5
    assert torch.allclose(sigmas[:-1].float(), expected[:-1], rtol=2e-3)  # float32 differences near 0 are not exact
    assert sigmas[-1] == pytest.approx(4518.76, abs=0.1) and schedules.zero_terminal(schedules.alphas_cumprod())[-1] == 0
    for timestep in (0, 500.5, 998.75, 999):
        assert schedules.timestep_of(schedules.sigma_of(timestep, True), True) == pytest.approx(timestep, abs=1e-6)


@pytest.mark.parametrize("spacing", [schedules.uniform, schedules.karras, schedules.leading])
@pytest.mark.parametrize("steps", [1, 2, 7, 20, 600])
def test_with_zero_terminal_snr_every_spacing_begins_at_pure_noise(spacing, steps):
    sigmas = spacing(steps, True)
    assert len(sigmas) == steps + 1 and sigmas[-1] == 0.0
    assert all(a > b for a, b in zip(sigmas, sigmas[1:], strict=False))
    assert sigmas[0] == pytest.approx(float(schedules.train_sigmas(True)[-1]))


def test_with_zero_terminal_snr_ddim_visits_the_trailing_timesteps():
    scheduler = DDIMScheduler(**SD, timestep_spacing="trailing")
    scheduler.set_timesteps(20)
    got = [schedules.timestep_of(sigma, True) for sigma in schedules.leading(20, True)[:-1]]
    assert got == pytest.approx(scheduler.timesteps.tolist(), abs=1e-6)
