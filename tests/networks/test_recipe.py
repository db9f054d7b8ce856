"""What a file of ours tells of its run: every setting, and nothing that is private."""

from __future__ import annotations

import json

import pytest

from lora_trainer.networks import recipe
from lora_trainer.options import OPTIONS, config_file, flat
from lora_trainer.options.resolve import train_options

from .test_metadata import options_of


def test_every_setting_that_makes_the_result_is_told():
    chosen = options_of(network_dim=8, min_snr_gamma=5.0, network_args=("conv_dim=4",), metadata_author="me", seed=None)
    assert recipe.settings(chosen, 77) == {
        "seed": 77, "network_dim": 8, "min_snr_gamma": 5.0, "network_args": ("conv_dim=4",), "metadata_author": "me",
    }  # fmt: skip


def test_no_path_and_no_secret_is_told():
    secret, place = "hf_secret123", "/home/jane doe/private"
    given = {}
    for option in OPTIONS:
        if option.path and option.kind == "str":
            given[option.name] = (f"{place}/{option.name}.x",) if option.many else f"{place}/{option.name}.x"
        elif option.secret or option.kind == "str" and option.name.endswith(("_key", "_token")):
            given[option.name] = secret
    told = recipe.texts(options_of(**given), seed=1, data={}, versions={})
    assert secret not in json.dumps(told) and "jane" not in json.dumps(told)
    settings = json.loads(told[recipe.SETTINGS])
    assert settings["pretrained_model_name_or_path"] == "pretrained_model_name_or_path.x"
    assert not {"train_data_dir", "output_dir", "resume", "logging_dir", "sample_prompts", "dataset_config"} & settings.keys()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("C:\\models\\real.safetensors", "real.safetensors"),
        ("/models/real.ckpt", "real.ckpt"),
        ("models/real.ckpt", "real.ckpt"),
        ("runwayml/stable-diffusion-v1-5", "runwayml/stable-diffusion-v1-5"),
        ("/home/jane/diffusers folder/", "diffusers folder"),
    ],
)
def test_a_model_is_told_by_its_name(path, name):
    assert recipe.file_name(path) == name


def test_the_settings_make_the_same_options_again():
    given = {
        "pretrained_model_name_or_path": "user/model", "train_data_dir": "x", "output_dir": "out", "output_name": "frog",
        "network_module": "networks.lora", "network_dim": 8, "text_encoder_lr": [1e-5, 5e-6], "lr_scheduler": "cosine",
        "lr_warmup_steps": 0.1, "resolution": "512,768", "noise_offset": 0.05, "network_args": ["conv_dim=4"], "seed": 3,
    }  # fmt: skip
    first = train_options(given, check_paths=False)
    told = json.loads(recipe.texts(first, seed=3, data={}, versions={})[recipe.SETTINGS])
    again = train_options({**told, "train_data_dir": "x", "output_dir": "out"}, check_paths=False)
    assert flat(first) == flat(again) and config_file.to_toml(first) == config_file.to_toml(again)
