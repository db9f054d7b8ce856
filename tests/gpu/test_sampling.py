"""A picture drawn on the card is the CPU's picture, but for rounding."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lora_trainer.models import load
from lora_trainer.sampling.generate import ImageRequest, LoraFolders, generate


def picture(model_path, device: str, dtype: torch.dtype) -> np.ndarray:
    model = load(str(model_path), dtype=dtype, device=device)
    request = ImageRequest(prompt="a (frog:1.2)", width=64, height=64, steps=4, seed=3, sampler="euler_a", cfg_scale=5.0)
    return np.asarray(generate(model, request, loras=LoraFolders([]))[0].image).astype(int)


@pytest.mark.parametrize(("dtype", "levels"), [(torch.float32, 1.0), (torch.float16, 4.0)])
@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_the_card_draws_what_the_cpu_draws(family, dtype, levels, tiny_model):
    on_cpu = picture(tiny_model(family), "cpu", torch.float32)
    assert on_cpu.std() > 1
    assert np.abs(picture(tiny_model(family), "cuda", dtype) - on_cpu).mean() < levels
