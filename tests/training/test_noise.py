"""Noise: transformations compared with recorded draws and results; draws that depend on nothing but their keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lora_trainer.training import noise
from lora_trainer.training.noise import NoiseSettings

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
