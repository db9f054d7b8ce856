import dataclasses
import os

import numpy as np
import pytest
import torch
from PIL import Image

from lora_trainer.errors import InputError, LoraFileError
from lora_trainer.sampling import generate as room
from lora_trainer.sampling.generate import Details, ImageRequest, LoraFolders, LoraUse, generate, save_png
from lora_trainer.sampling.samplers import SAMPLERS

SMALL = {"width": 64, "height": 64, "steps": 3, "seed": 7, "cfg_scale": 5.0, "sampler": "euler"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, make_lora):
    path = tmp_path_factory.mktemp("loras")
    make_lora(path / "a.safetensors", seed=1)
    make_lora(path / "b.safetensors", seed=2)
    return path


def pixels(model, prompt="a cat", folder=None, networks=(), **values):
    pictures = generate(
        model,
        ImageRequest(prompt=prompt, **{**SMALL, **values}),
        loras=LoraFolders([folder] if folder else []),
        networks=networks,
    )
    return np.stack([np.asarray(picture.image) for picture in pictures]).astype(int)


def distance(a, b):
    return np.abs(a - b).mean()


def test_the_same_request_gives_the_same_picture_and_another_seed_or_prompt_another(loaded):
    base = pixels(loaded)
    assert base.shape == (1, 64, 64, 3) and base.std() > 1
    assert np.array_equal(base, pixels(loaded))
    assert distance(base, pixels(loaded, seed=8)) > 1
    assert distance(base, pixels(loaded, prompt="a dog")) > 0


def test_width_and_height_are_not_confused(loaded):
    assert pixels(loaded, width=64, height=128).shape == (1, 128, 64, 3)


@pytest.mark.parametrize("sampler", ["euler", "euler_a"])
def test_pictures_depend_on_their_seed_not_on_how_they_are_batched(loaded, sampler):
    together = pixels(loaded, batch_size=3, sampler=sampler)
    apart = pixels(loaded, batch_count=3, sampler=sampler)
    alone = pixels(loaded, seed=9, sampler=sampler)
    assert np.abs(together - apart).max() <= 1
    assert np.abs(together[2] - alone[0]).max() <= 1


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_draws_a_finite_picture(loaded, sampler):
    assert pixels(loaded, sampler=sampler).std() > 1


def test_multiplier_0_changes_not_one_bit_and_the_effect_grows(loaded, folder):
    base = pixels(loaded)
    assert np.array_equal(base, pixels(loaded, "a cat<lora:a:0>", folder))
    changes = [distance(base, pixels(loaded, f"a cat<lora:a:{m}>", folder)) for m in (0.02, 0.06, 0.2)]
    assert 0 < changes[0] < changes[1] < changes[2]
    assert np.array_equal(base, pixels(loaded))  # taken off again


def test_text_encoder_and_unet_have_multipliers_of_their_own(loaded, folder):
    base, te, unet, both = (
        pixels(loaded, f"a cat{tag}", folder) for tag in ("", "<lora:a:1:0>", "<lora:a:0:1>", "<lora:a:1:1>")
    )
    for one, other in [(base, te), (base, unet), (te, both), (unet, both), (te, unet)]:
        assert distance(one, other) > 0
    assert np.array_equal(both, pixels(loaded, "a cat<lora:a>", folder))
    assert np.array_equal(unet, pixels(loaded, "a cat<lora:a:unet=1:te=0>", folder))


def test_two_networks_add_in_any_order_and_a_tag_equals_the_same_file_given_directly(loaded, folder):
    both = pixels(loaded, "a cat<lora:a:0.7><lora:b:0.4>", folder)
    assert np.abs(both - pixels(loaded, "a cat<lora:b:0.4><lora:a:0.7>", folder)).max() <= 1
    assert distance(both, pixels(loaded, "a cat<lora:a:0.7>", folder)) > 0
    given = [LoraUse(folder / "a.safetensors", 0.7, 0.7), LoraUse(folder / "b.safetensors", 0.4, 0.4)]
    assert np.array_equal(both, pixels(loaded, networks=given))
    twice = pixels(loaded, "a cat<lora:a:0.35><lora:a:0.35>", folder)
    assert np.abs(twice - pixels(loaded, "a cat<lora:a:0.7>", folder)).max() <= 1


def test_an_overwritten_file_counts_at_once_even_with_its_old_time(loaded, tmp_path, make_lora):
    path = make_lora(tmp_path / "x.safetensors", seed=1)
    before, time = pixels(loaded, "a cat<lora:x>", tmp_path), path.stat().st_mtime
    make_lora(path, seed=2)
    os.utime(path, (time, time))
    assert distance(before, pixels(loaded, "a cat<lora:x>", tmp_path)) > 0


def test_attention_weights_and_the_negative_prompt_change_the_picture(loaded):
    base = pixels(loaded)
    assert distance(base, pixels(loaded, "a (cat:1.6)")) > 0
    assert distance(base, pixels(loaded, negative_prompt="dog")) > 0
    assert distance(base, pixels(loaded, "a cat " + "very " * 80)) > 0  # longer than the negative prompt


def test_a_prompt_that_changes_is_drawn_by_its_parts(loaded):
    """Euler's steps are evaluations; [a:b:2] is a up to the third, the Web UI counts so."""
    asked = []
    whole = pixels(loaded, "[a cat:a dog:2]", steps=5)
    model = dataclasses.replace(loaded)
    model.encode_chunks = lambda ids, *rest, **named: asked.append(ids) or loaded.encode_chunks(ids, *rest, **named)
    assert np.array_equal(whole, pixels(model, "[a cat:a dog:2]", steps=5)) and len(asked) == 3  # each text once
    assert np.array_equal(pixels(loaded, "[a cat:a dog:5]", steps=5), pixels(loaded, "a cat", steps=5))
    assert np.array_equal(pixels(loaded, "[a cat:a dog:0.0]", steps=5), pixels(loaded, "a dog", steps=5))
    assert distance(whole, pixels(loaded, "a cat", steps=5)) > 0 and distance(whole, pixels(loaded, "a dog", steps=5)) > 0
    assert distance(pixels(loaded), pixels(loaded, negative_prompt="[dog|cat]")) > 0


def test_and_draws_both_prompts_by_their_weights(loaded):
    both = pixels(loaded, "a cat AND a dog :0.5")
    assert np.abs(both - pixels(loaded, "a dog :0.5 AND a cat")).max() <= 1
    assert np.abs(pixels(loaded, "a cat AND a dog :0") - pixels(loaded, "a cat")).max() <= 1
    assert np.abs(pixels(loaded, "a cat :0.4 AND a cat:0.6") - pixels(loaded, "a cat")).max() <= 1
    assert distance(both, pixels(loaded, "a cat")) > 0 and distance(both, pixels(loaded, "a cat AND a dog")) > 0


def test_prompts_are_cut_off_where_it_is_asked_for(loaded, caplog):
    long = "word " * 75
    cut = generate(loaded, ImageRequest(prompt=long + "a cat", **SMALL), details=Details(max_chunks=1))
    assert np.array_equal(np.asarray(cut[0].image), pixels(loaded, long)[0])
    assert distance(pixels(loaded, long), pixels(loaded, long + "a cat")) > 0


def test_seeds_one_by_one_are_drawn_in_batches(loaded):
    pictures = generate(loaded, ImageRequest(prompt="a cat", **SMALL, batch_size=2), details=Details(seeds=[9, 3, 4]))
    assert [picture.seed for picture in pictures] == [9, 3, 4]
    assert np.abs(np.asarray(pictures[0].image) - pixels(loaded, seed=9)[0]).max() <= 1


def test_the_picture_carries_its_text(loaded, folder, tmp_path):
    request = ImageRequest(prompt="a cat <lora:a:0.5>", **{**SMALL, "batch_size": 2})
    pictures = generate(loaded, request, loras=LoraFolders([folder]))
    save_png(tmp_path / "p.png", pictures[1])
    text = Image.open(tmp_path / "p.png").text["parameters"]
    assert text == pictures[1].info
    assert text.startswith(
        "a cat <lora:a:0.5>\nSteps: 3, Sampler: Euler, Schedule type: Automatic, CFG scale: 5, Seed: 8, Size: 64x64"
    )
    assert 'Lora hashes: "a: ' in text


def test_progress_counts_the_steps_of_all_batches_and_stop_keeps_what_is_finished(loaded):
    told = []
    request = ImageRequest(prompt="a", **{**SMALL, "batch_count": 2})
    generate(loaded, request, progress=lambda done, total: told.append((done, total)))
    assert told == [(i, 6) for i in range(1, 7)]
    seen = []
    pictures = generate(loaded, request, progress=lambda done, total: seen.append(done), should_stop=lambda: len(seen) >= 4)
    assert len(pictures) == 1 and seen == [1, 2, 3, 4]


def test_no_global_random_state_is_used_or_changed(loaded):
    torch.manual_seed(1)
    first = pixels(loaded, sampler="euler_a")
    state = torch.get_rng_state()
    torch.manual_seed(2)
    assert np.array_equal(first, pixels(loaded, sampler="euler_a"))
    torch.manual_seed(1)
    pixels(loaded, sampler="euler_a")
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"prompt": "<lora:none:1>"}, "no such LoRA"),
        ({"prompt": "<lora:a:x>"}, "not a number"),
        ({"negative_prompt": "<lora:a:1>"}, "negative prompt"),
        ({"sampler": "plsm"}, "not known"),
    ],
)
def test_bad_requests_are_refused_before_anything_is_drawn(loaded, folder, values, message, monkeypatch):
    monkeypatch.setattr(room, "_sample", lambda *_: pytest.fail("drawn"))
    with pytest.raises(InputError, match=message):
        generate(loaded, ImageRequest(**{**SMALL, **values}), loras=LoraFolders([folder]))


def test_a_file_that_is_no_lora_is_refused_and_the_next_picture_is_right(loaded, tmp_path, tiny_sd1):
    base = pixels(loaded)
    with pytest.raises(LoraFileError):
        pixels(loaded, networks=[LoraUse(tiny_sd1)])
    assert np.array_equal(base, pixels(loaded))


def test_a_picture_cannot_leave_its_loras_on_the_model_when_drawing_fails(loaded, folder, monkeypatch):
    base = pixels(loaded)
    monkeypatch.setattr(room.vae, "decode", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("broken")))
    with pytest.raises(RuntimeError, match="broken"):
        pixels(loaded, "a cat<lora:a>", folder)
    monkeypatch.undo()
    assert np.array_equal(base, pixels(loaded))


@pytest.fixture
def diffusers_parts(loaded):
    """The model's parts and a DDIM scheduler as diffusers' pipelines take them."""
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        steps_offset=1,
    )
    loaded.unet.register_to_config(sample_size=64)  # one of the pipelines wants to know
    return {
        "unet": loaded.unet, "vae": loaded.vae, "text_encoder": loaded.text_encoders[0], "tokenizer": loaded.tokenizers[0],
        "scheduler": scheduler, "safety_checker": None, "feature_extractor": None, "requires_safety_checker": False,
    }  # fmt: skip


def test_the_picture_equals_that_of_the_diffusers_pipeline(loaded, diffusers_parts):
    """The whole way (text, guidance, sampler, decoding) against another program, from the same first noise."""
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline(**diffusers_parts)
    pipeline.set_progress_bar_config(disable=True)
    noise = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(7))
    theirs = pipeline(
        "a photo of a cat", negative_prompt="dog", width=64, height=64, num_inference_steps=4, guidance_scale=5.0, latents=noise
    ).images[0]
    mine = pixels(loaded, "a photo of a cat", negative_prompt="dog", steps=4, sampler="ddim")[0]
    assert np.abs(mine - np.asarray(theirs).astype(int)).max() <= 1


def test_a_start_image_is_drawn_over_as_by_the_diffusers_pipeline(loaded, diffusers_parts):
    from diffusers import StableDiffusionImg2ImgPipeline

    start = Image.linear_gradient("L").resize((64, 64)).convert("RGB")
    latents = room.vae.encode(loaded.vae, room.to_pixels(start, 64, 64))
    pipeline = StableDiffusionImg2ImgPipeline(**diffusers_parts)
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(7)
    theirs = pipeline(
        "a cat", latents, strength=0.6, negative_prompt="dog", num_inference_steps=5, guidance_scale=5.0, generator=generator
    ).images[0]
    request = ImageRequest(prompt="a cat", negative_prompt="dog", **{**SMALL, "steps": 5, "sampler": "ddim"})
    mine = generate(loaded, request, details=Details(start=start, strength=0.6))[0].image
    assert np.abs(np.asarray(mine).astype(int) - np.asarray(theirs).astype(int)).max() <= 8  # a wrong step changes dozens
