"""Every family of base models from the command line's options to a picture: trained, saved, loaded anew, drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lora_trainer.errors import InputErrors, LoraFileError
from lora_trainer.models import load
from lora_trainer.networks import files, registry
from lora_trainer.sampling.generate import ImageRequest, LoraFolders, generate
from lora_trainer.training import assembling
from lora_trainer.training.train import train
from tests.tiny import make_family

from .conftest import Recorder

EXPECTED = {  # ss_base_model_version, ss_v2, modelspec.architecture, modelspec.prediction_type
    "sd2-conv": ("sd_v2", "True", "stable-diffusion-v2-512/lora", "epsilon"),
    "sd2-v": ("sd_v2_v", "True", "stable-diffusion-v2-768-v/lora", "v"),
    "sdxl": ("sdxl_base_v1-0", "False", "stable-diffusion-xl-v1-base/lora", "epsilon"),
}


def picture(model, prompt: str, folder: Path) -> np.ndarray:
    request = ImageRequest(prompt=prompt, width=64, height=64, steps=2, seed=3, sampler="euler", cfg_scale=3.0)
    return np.asarray(generate(model, request, loras=LoraFolders([folder]))[0].image).astype(int)


@pytest.mark.effect("pretrained_model_name_or_path")
@pytest.mark.parametrize("family", EXPECTED)
def test_a_lora_is_trained_saved_and_drawn_with(family, tiny_model, options_for, tmp_path):
    base = tiny_model(family)
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a (frog:1.2) --w 64 --h 64 --s 1\n")
    reporter = Recorder()
    options = options_for(
        pretrained_model_name_or_path=str(base),
        learning_rate=0.02,
        max_train_steps=2,
        gradient_checkpointing=True,
        sample_prompts=str(prompts),
        sample_every_n_steps=2,
    )
    path = train(options, reporter=reporter).path
    assert len(reporter.of("sample")) == 1 and np.isfinite(reporter.losses).all()
    found = files.read_metadata(path)
    keys = ("ss_base_model_version", "ss_v2", "modelspec.architecture", "modelspec.prediction_type")
    assert tuple(found[key] for key in keys) == EXPECTED[family]
    tensors = load_file(path)
    texts = {name.partition("_text_model")[0] for name in tensors if name.startswith("lora_te")}
    assert texts == ({"lora_te1", "lora_te2"} if family == "sdxl" else {"lora_te"})
    for start in (*texts, "lora_unet"):
        assert any(tensor.any() for name, tensor in tensors.items() if name.startswith(start) and "lora_up" in name)
    if family.startswith("sd2"):
        name = "lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight"
        assert tensors[name].shape == ((4, 32, 1, 1) if family == "sd2-conv" else (4, 32))

    model = load(base, dtype=torch.float32, device="cpu")
    without, none, with_ = (picture(model, f"a frog{tag}", path.parent) for tag in ("", "<lora:x:0>", "<lora:x:0.8>"))
    assert np.array_equal(without, none) and np.abs(with_ - without).mean() > 0.5


def test_states_made_beforehand_train_as_those_made_at_each_step(tiny_model, options_for, tmp_path, monkeypatch):
    """SDXL without its text encoders, whose states are kept; the summary with them."""
    from lora_trainer.training import captions

    losses = []
    for name in ("kept", "anew"):
        reporter = Recorder()
        options = options_for(
            pretrained_model_name_or_path=str(tiny_model("sdxl")),
            output_name=name,
            network_train_unet_only=True,
            cache_text_encoder_outputs=name == "kept",
            max_train_steps=2,
        )
        train(options, reporter=reporter)
        losses.append(reporter.losses)
        monkeypatch.setattr(captions, "constant", lambda plan: None)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_sdxl_reads_the_sizes_of_an_image_and_what_it_ignores_is_said(tiny_model, options_for, monkeypatch):
    from lora_trainer.models.conditioning import Conditioning

    seen, real = [], Conditioning.with_sizes

    def watch(self, original, crop, target):
        seen.append(real(self, original, crop, target))
        return seen[-1]

    monkeypatch.setattr(Conditioning, "with_sizes", watch)
    options = options_for(
        pretrained_model_name_or_path=str(tiny_model("sdxl")), max_train_steps=1, resolution="64,128", clip_skip=2
    )
    reporter = Recorder()
    train(options, reporter=reporter)
    (found,) = seen
    # A picture of 64 x 64 at 64 (width) x 128: where it would lie in that, as buckets.json has it.
    assert found.sizes.tolist() == [[64, 64, 32, 0, 128, 64]] and found.sizes.dtype == torch.float32
    said = " ".join(event["message"] for event in reporter.of("warning"))
    assert "clip_skip has no effect: Stable Diffusion XL" in said
    assert "Stable Diffusion XL was made for pictures of 1024 x 1024 pixels; at 64 x 128" in said


def test_v_parameterization_wins_with_a_warning_where_the_model_seems_to_say_otherwise(tiny_model, options_for, tmp_path):
    reporter = Recorder()
    options = options_for(
        pretrained_model_name_or_path=str(tiny_model("sd2-linear")), v2=True, v_parameterization=True, max_train_steps=1
    )
    train(options, reporter=reporter)
    assert files.read_metadata(tmp_path / "out" / "x.safetensors")["ss_base_model_version"] == "sd_v2_v"
    assert "seems to be made for noise (epsilon) (the way it answers)" in reporter.of("warning")[-1]["message"]


@pytest.mark.effect("v2")
def test_v2_is_refused_for_another_family(tiny_model, options_for, tiny_sd1):
    for path, title in ((tiny_sd1, "a Stable Diffusion 1 model"), (tiny_model("sdxl"), "a Stable Diffusion XL model")):
        with pytest.raises(InputErrors, match=f"v2: v2 is given, but .* is {title}"):
            options_for(pretrained_model_name_or_path=str(path), v2=True)


def test_the_vae_of_another_family_is_refused(tiny_model, options_for, tiny_sd1):
    xl, sd2 = tiny_model("sdxl"), tiny_model("sd2-linear")
    for base, vae in ((tiny_sd1, xl), (xl, sd2)):
        with pytest.raises(InputErrors, match="vae: .* whose VAE does not go with a Stable Diffusion"):
            options_for(pretrained_model_name_or_path=str(base), vae=str(vae))
    assert options_for(vae=str(sd2)).model.vae == str(sd2)  # the first two share theirs


def test_ranks_for_the_blocks_of_another_family_are_refused_before_the_images_are_encoded(tiny_model, options_for, monkeypatch):
    monkeypatch.setattr(assembling, "cached_latents", lambda *a, **k: pytest.fail("the images were encoded"))
    options = options_for(
        pretrained_model_name_or_path=str(tiny_model("sdxl")), network_args=["block_dims=" + ",".join(["2"] * 25)]
    )
    with pytest.raises(InputErrors, match="block_dims has 25 numbers; expected 23"):
        train(options, reporter=Recorder())


def test_the_command_for_sdxl_takes_no_other_model(tiny_model, options_for, tiny_sd1, pictures, tmp_path, capsys):
    from lora_trainer import commands

    words = ["--train_data_dir", pictures, "--output_dir", tmp_path / "o", "--output_name", "x", "--resolution", "64"]
    words += ["--network_module", "networks.lora", "--max_train_steps", "1", "--network_train_unet_only"]
    words = ["--max_data_loader_n_workers", "0", *map(str, words), "--pretrained_model_name_or_path"]
    assert commands.run(["sdxl_train_network", *words, str(tiny_sd1)]) == 2
    assert "sdxl_train_network is for a Stable Diffusion XL model, but" in capsys.readouterr().err
    assert commands.run(["sdxl_train_network.py", *words, str(tiny_model("sdxl"))]) == 0
    assert (tmp_path / "o" / "x.safetensors").is_file()


@pytest.mark.effect("cache_text_encoder_outputs")
@pytest.mark.parametrize("changing", ["shuffle_caption", "text encoder"])
def test_text_outputs_that_change_cannot_be_cached(options_for, changing):
    if changing == "text encoder":
        with pytest.raises(InputErrors, match="does not go with training the text encoders"):
            options_for(cache_text_encoder_outputs=True)
    else:
        options = options_for(cache_text_encoder_outputs=True, network_train_unet_only=True, shuffle_caption=True)
        with pytest.raises(Exception, match="the captions change at each use because of shuffle_caption"):
            train(options, reporter=Recorder())


@pytest.mark.parametrize(("lora_of", "base"), [("sd1", "sdxl"), ("sdxl", "sd1")])
def test_a_lora_of_another_family_is_refused_by_name(lora_of, base, tmp_path):
    unet, _, *texts = make_family(lora_of)
    builder, path = registry.get("networks.lora"), tmp_path / "l.safetensors"
    files.save(path, builder.create_network(1.0, 4, 1.0, None, texts, unet).state_dict(), {})
    unet, _, *texts = make_family(base)
    said = f"It was made for {({'sd1': 'Stable Diffusion 1 or 2', 'sdxl': 'SDXL'})[lora_of]}"
    with pytest.raises(LoraFileError, match=said):  # network_weights
        builder.create_network(1.0, 4, 1.0, None, texts, unet).load_weights(path)
    with pytest.raises(LoraFileError, match=said):  # <lora:...>, and dim_from_weights
        builder.create_network_from_weights(1.0, path, None, texts, unet)
