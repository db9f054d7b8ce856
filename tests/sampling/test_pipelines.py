"""Pictures of SD2 and SDXL against the diffusers pipelines, from the same first noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lora_trainer.models import load
from lora_trainer.sampling.generate import ImageRequest, generate


@pytest.mark.parametrize("family", ["sd2-linear", "sd2-v", "sdxl"])
def test_the_picture_equals_that_of_the_diffusers_pipeline(family, tiny_model):
    from diffusers import DDIMScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline

    model = load(tiny_model(family), dtype=torch.float32, device="cpu")
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=1,
        prediction_type=model.prediction_type,
    )
    parts = dict(unet=model.unet, vae=model.vae, scheduler=scheduler)
    parts |= dict(text_encoder=model.text_encoders[0], tokenizer=model.tokenizers[0])
    if family == "sdxl":
        model.vae.register_to_config(scaling_factor=model.family.latent_scale)
        texts = dict(text_encoder_2=model.text_encoders[1], tokenizer_2=model.tokenizers[1])
        pipeline = StableDiffusionXLPipeline(**parts, **texts, force_zeros_for_empty_prompt=True, add_watermarker=False)
    else:
        rest = dict(safety_checker=None, feature_extractor=None, requires_safety_checker=False)
        pipeline = StableDiffusionPipeline(**parts, **rest)
    pipeline.set_progress_bar_config(disable=True)
    noise = torch.randn((1, 4, 8, 16), generator=torch.Generator().manual_seed(7))
    size = dict(width=128, height=64)
    for negative in (None, "dog"):  # none at all is zeros for SDXL, and an empty text for SD2
        theirs = pipeline(
            "a photo of a cat!", negative_prompt=negative, num_inference_steps=2, guidance_scale=5.0, latents=noise, **size
        ).images[0]
        request = ImageRequest(
            prompt="a photo of a cat!", negative_prompt=negative or "", steps=2, seed=7, sampler="ddim", cfg_scale=5.0, **size
        )
        mine = np.asarray(generate(model, request)[0].image).astype(int)
        assert mine.std() > 1 and np.abs(mine - np.asarray(theirs).astype(int)).max() <= 1
