"""Noise: transformations compared with recorded draws and results; draws that depend on nothing but their keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lora_trainer.training import noise
from lora_trainer.training.noise import NoiseSettings
from tests.given import given

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = json.loads((GOLDEN / "noise.json").read_text())["cases"]
ARRAYS = load_file(GOLDEN / "noise.safetensors")
ALPHAS = torch.cumprod(1.0 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2, dim=0)


def cases(prefix: str) -> list[dict]:
    return [pytest.param(case, id=case["case"]) for case in CASES if case["case"].startswith(prefix)]


def equal(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", cases("offset"))
def test_noise_offset(case):
    name = case["case"]
    found = noise.offset_noise(
        ARRAYS["noise"],
        ARRAYS["latents"],
        ARRAYS[f"{name}.random"],
        offset=case["noise_offset"],
        adaptive_scale=case["adaptive_noise_scale"],
    )
    equal(found, ARRAYS[f"{name}.result"])


@pytest.mark.parametrize("case", cases("multires"))
def test_multires_noise(case):
    sizes = noise.multires_sizes(16, 24, case["uniform_draws"])
    assert [[2, 4, *size] for size in sizes] == case["sizes"]
    coarse = [ARRAYS[f"{case['case']}.random{i}"] for i in range(len(sizes))]
    equal(noise.multires_noise(ARRAYS["noise"], coarse, case["multires_noise_discount"]), ARRAYS[f"{case['case']}.result"])


@pytest.mark.parametrize("case", cases("full"))
def test_whole_step_from_the_recorded_draws(case):
    name, args = case["case"], case["args"]
    draws = [ARRAYS[f"{name}.draw{i}"] for i in range(len(case["draws_in_order"]))]
    drawn = draws.pop(0)
    if args.get("noise_offset"):
        strength = draws.pop(0).item() if args.get("noise_offset_random_strength") else 1.0
        offset = args["noise_offset"] * strength
        adaptive = args.get("adaptive_noise_scale")
        drawn = noise.offset_noise(drawn, ARRAYS["latents"], draws.pop(0), offset=offset, adaptive_scale=adaptive)
    if args.get("multires_noise_iterations"):
        sizes = noise.multires_sizes(16, 24, case["uniform_draws"])
        drawn = noise.multires_noise(drawn, [draws.pop(0) for _ in sizes], args["multires_noise_discount"])
    timesteps = ARRAYS[f"{name}.timesteps"]
    if draws and draws[0].dtype == torch.int64:
        equal(draws.pop(0), timesteps)
    added = drawn
    if gamma := args.get("ip_noise_gamma"):
        gamma *= draws.pop(0).item() if args.get("ip_noise_gamma_random_strength") else 1.0
        added = drawn + gamma * draws.pop(0)
    assert not draws
    equal(drawn, ARRAYS[f"{name}.noise"])
    equal(noise.add_noise(ARRAYS["latents"], added, timesteps, ALPHAS), ARRAYS[f"{name}.noisy_latents"])
    equal(noise.velocity(ARRAYS["latents"], drawn, timesteps, ALPHAS), ARRAYS[f"{name}.velocity"])


ALL_ON = NoiseSettings(
    noise_offset=0.1,
    noise_offset_random_strength=True,
    adaptive_noise_scale=0.05,
    multires_noise_iterations=4,
    ip_noise_gamma=0.1,
    ip_noise_gamma_random_strength=True,
)


def test_how_a_step_is_split_into_batches_changes_no_draw():
    latents = torch.randn(3, 4, 8, 6)
    whole = noise.draw_batch(latents, ALL_ON, seed=7, step=3, positions=[0, 1, 2])
    for i in range(3):
        part = noise.draw_batch(latents[i : i + 1], ALL_ON, seed=7, step=3, positions=[i])
        assert torch.equal(part.noise, whole.noise[i : i + 1])
        assert torch.equal(part.added, whole.added[i : i + 1])
        assert torch.equal(part.timesteps, whole.timesteps[i : i + 1])


@pytest.mark.parametrize("change", [{"seed": 8}, {"step": 4}, {"positions": [1]}])
def test_seed_step_and_position_each_change_the_draw(change):
    keys = {"seed": 7, "step": 3, "positions": [0]}
    latents = torch.zeros(1, 4, 8, 8)
    first, second = (noise.draw_batch(latents, NoiseSettings(), **k) for k in (keys, keys | change))
    assert not torch.equal(first.noise, second.noise)


def test_an_option_switched_on_changes_no_other_draw():
    latents = torch.zeros(1, 4, 8, 8)
    plain, perturbed = (
        noise.draw_batch(latents, settings, seed=1, step=1, positions=[0])
        for settings in (NoiseSettings(), NoiseSettings(ip_noise_gamma=0.1))
    )
    assert torch.equal(plain.noise, perturbed.noise) and torch.equal(plain.timesteps, perturbed.timesteps)
    assert plain.added is plain.noise and not torch.equal(perturbed.added, perturbed.noise)


def test_timesteps_fill_their_range_and_stay_in_it():
    settings = NoiseSettings(min_timestep=200, max_timestep=210)
    drawn = {noise.draw_timestep(settings, 1, step, 0) for step in range(300)}
    assert drawn == set(range(200, 210))
    everything = {noise.draw_timestep(NoiseSettings(timesteps=8), 1, step, 0) for step in range(300)}
    assert everything == set(range(8))
    assert noise.draw_timestep(NoiseSettings(min_timestep=500, max_timestep=500), 1, 1, 0) == 500


def test_noise_is_normal():
    drawn = noise.draw_batch(torch.zeros(8, 4, 32, 32), NoiseSettings(), seed=0, step=1, positions=range(8)).noise
    assert abs(drawn.mean()) < 0.02 and abs(drawn.std() - 1) < 0.02


def drawn(latents: torch.Tensor | None = None, count: int = 64, **options) -> noise.DrawnNoise:
    """The noise of a step of `count` samples, as the options of a training ask for it."""
    latents = torch.zeros(count, 4, 8, 8) if latents is None else latents
    settings = NoiseSettings.of(given(**options).training)
    return noise.draw_batch(latents, settings, seed=1, step=1, positions=range(len(latents)))


PLAIN = drawn().noise


def shift(latents: torch.Tensor | None = None, **options) -> torch.Tensor:
    """What noise_offset and its companions add to each channel, [B, C]; the same in all of its places."""
    added = drawn(latents, **options).noise - PLAIN
    torch.testing.assert_close(added, added.mean((2, 3), keepdim=True).expand(added.shape), rtol=0, atol=1e-6)
    return added.mean((2, 3))


@pytest.mark.effect("noise_offset", "noise_offset_random_strength", "adaptive_noise_scale")
def test_the_offset_shifts_whole_channels_as_far_as_the_options_say():
    full = shift(noise_offset=0.1)
    assert full.std() == pytest.approx(0.1, rel=0.2)  # of 256 draws
    torch.testing.assert_close(shift(noise_offset=0.2), 2 * full, rtol=1e-4, atol=1e-6)
    strengths = shift(noise_offset=0.1, noise_offset_random_strength=True) / full
    torch.testing.assert_close(strengths, strengths[:, :1].expand(strengths.shape), rtol=1e-3, atol=1e-4)
    assert 0 < strengths.min() < 0.2 and 0.8 < strengths.max() < 1, "one strength an image, from 0 to the whole"
    bright = torch.full((64, 4, 8, 8), -2.0)  # spec: noise_offset + abs(mean(latents)) * adaptive_noise_scale
    torch.testing.assert_close(shift(bright, noise_offset=0.1, adaptive_noise_scale=0.05), 2 * full, rtol=1e-4, atol=1e-6)
    assert not shift(bright, noise_offset=0.1, adaptive_noise_scale=-0.07).any(), "never below 0"


@pytest.mark.effect("multires_noise_iterations", "multires_noise_discount")
def test_pyramid_noise_makes_neighbours_alike_the_more_the_more_sizes_and_the_less_discount():
    def alike(**options) -> float:
        found = drawn(**options).noise
        if options:
            torch.testing.assert_close(found.std((1, 2, 3)), torch.ones(len(found)), rtol=1e-4, atol=0)
        return float((found[..., 1:] * found[..., :-1]).mean())

    # Of 14336 neighbours of plain noise, 0 give or take 0.008.
    assert abs(alike()) < 0.03
    strong = {"multires_noise_discount": 0.8}
    two, six = alike(multires_noise_iterations=2, **strong), alike(multires_noise_iterations=6, **strong)
    assert 0.1 < two < six - 0.1 and alike(multires_noise_iterations=6) < six - 0.2


@pytest.mark.effect("ip_noise_gamma", "ip_noise_gamma_random_strength")
def test_the_input_gets_noise_that_the_model_is_not_asked_for():
    full, random = drawn(ip_noise_gamma=0.1), drawn(ip_noise_gamma=0.1, ip_noise_gamma_random_strength=True)
    assert torch.equal(full.noise, PLAIN) and torch.equal(random.noise, PLAIN)
    assert (full.added - PLAIN).std() == pytest.approx(0.1, rel=0.03)
    strengths = ((random.added - PLAIN).flatten(1).norm(dim=1) / (full.added - PLAIN).flatten(1).norm(dim=1)).tolist()
    assert 0 < min(strengths) < 0.2 and 0.8 < max(strengths) < 1


@pytest.mark.effect("min_timestep", "max_timestep")
def test_only_the_noise_levels_that_are_asked_for_are_drawn():
    shape = (300, 4, 1, 1)
    low, high = drawn(torch.zeros(shape), max_timestep=10), drawn(torch.zeros(shape), min_timestep=990)
    assert set(low.timesteps.tolist()) == set(range(10)) and set(high.timesteps.tolist()) == set(range(990, 1000))
