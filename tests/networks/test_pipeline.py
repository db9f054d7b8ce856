"""The documents' example: networks on a pipeline of diffusers, from Python."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lora_trainer.networks.files import save
from lora_trainer.networks.lora import LoRAModule, create_network, create_network_from_weights
from tests import tiny

from .conftest import randomize


@pytest.fixture(scope="module")
def pipe():
    from diffusers import DDIMScheduler, StableDiffusionPipeline
    from transformers import CLIPTokenizer

    from lora_trainer.paths import ASSETS_DIR

    unet, vae, text_encoder = tiny.make_parts(seed=3)
    words, merges = (str(ASSETS_DIR / "clip" / name) for name in ("vocab.json", "merges.txt"))
    made = StableDiffusionPipeline(
        unet=unet,
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=CLIPTokenizer(words, merges, pad_token="<|endoftext|>", model_max_length=77),
        scheduler=DDIMScheduler(
            beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False, steps_offset=1
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture(scope="module")
def lora_files(pipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("loras")
    for number, arguments in enumerate(({}, {"conv_dim": "2"}, {})):
        network = create_network(1.0, 4, 4.0, None, pipe.text_encoder, pipe.unet, seed=number, **arguments)
        randomize(network, number)
        save(folder / f"lora{number + 1}.safetensors", network.state_dict(), dtype="fp16")
    return sorted(folder.iterdir())


def draw(pipe) -> np.ndarray:
    generator = torch.Generator().manual_seed(0)
    prompt, negative = "masterpiece, 1girl, in white shirt", "bad quality"
    picture = pipe(
        prompt, negative_prompt=negative, guidance_scale=7.5, height=64, width=64, num_inference_steps=2, generator=generator
    ).images[0]
    return np.asarray(picture).astype(int)


def test_the_documents_example_draws_with_three_networks_each_with_its_multiplier(pipe, lora_files):
    vae, text_encoder, unet = pipe.vae, pipe.text_encoder, pipe.unet
    base = draw(pipe)
    networks = []
    for path, multiplier in zip(lora_files, (0.5, 0.7, 0.5), strict=True):
        sd = load_file(path)
        network, sd = create_network_from_weights(multiplier, None, vae, text_encoder, unet, sd)
        network.apply_to(text_encoder, unet)
        network.load_state_dict(sd)
        network.to("cpu", dtype=torch.float32)
        networks.append(network)
    assert all(isinstance(module, LoRAModule) for module in networks[0].adapters())
    words = dict(zip(("prompt_embeds", "negative_prompt_embeds"), pipe.encode_prompt("1girl", "cpu", 1, True), strict=True))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert pipe(**words, height=64, width=64, num_inference_steps=1).images[0].size == (64, 64)
    with_three = draw(pipe)
    assert (with_three != base).mean() > 0.5
    networks[0].set_multiplier(0.8)
    assert not np.array_equal(draw(pipe), with_three)
    networks[0].set_multiplier(0.5)
    assert np.array_equal(draw(pipe), with_three)
    for network in (networks[1], networks[0], networks[2]):
        network.restore()
    assert np.array_equal(draw(pipe), base)


def test_merged_networks_draw_the_same_picture_and_unmerge_gives_the_model_back(pipe, lora_files):
    text_encoder, unet = pipe.text_encoder, pipe.unet
    base = draw(pipe)
    made = [
        create_network_from_weights(m, f, pipe.vae, text_encoder, unet) for f, m in zip(lora_files, (0.5, 0.7), strict=False)
    ]
    for network, sd in made:
        network.apply_to(text_encoder, unet)
        network.load_state_dict(sd)
    applied = draw(pipe)
    for network, _ in made:
        network.restore()
    for network, sd in made:
        network.merge_to(text_encoder, unet, sd, torch.float32, "cpu")
    merged = draw(pipe)
    assert np.abs(merged - applied).max() <= 2 and (applied != base).any()
    for network, _ in made:
        network.unmerge()
    assert np.array_equal(draw(pipe), base)
