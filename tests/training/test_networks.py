"""Trainings with the other kinds of network: what they tell, what the file says, and that it gives what was trained."""

from __future__ import annotations

import importlib.util
import json
import logging

import pytest
import torch
from safetensors.torch import load_file

from lora_trainer.models import load
from lora_trainer.networks import files, registry
from lora_trainer.networks.functional import first_ranks
from lora_trainer.sampling.generate import generate
from lora_trainer.sampling.lora_folders import LoraFolders
from lora_trainer.sampling.request import ImageRequest
from lora_trainer.training.train import train

from .conftest import Recorder


def test_dylora_writes_a_lora_of_the_full_rank_whose_ranks_were_all_trained(options_for, tmp_path, tiny_sd1):
    options = options_for(
        network_module="networks.dylora",
        network_dim=4,
        network_alpha=4,
        network_args=["unit=2", "conv_dim=4", "conv_alpha=2"],
        max_train_steps=6,
    )
    reporter = Recorder()
    result = train(options, reporter=reporter)
    metadata = files.read_metadata(result.path)
    assert (metadata["ss_network_module"], metadata["ss_network_dim"]) == ("networks.dylora", "4")
    assert json.loads(metadata["ss_network_args"]) == {"unit": "2", "conv_dim": "4", "conv_alpha": "2", "dropout": None}
    tensors = load_file(result.path)
    ups = [tensor for key, tensor in tensors.items() if "lora_up" in key]
    assert {up.shape[1] for up in ups} == {4}
    for rank in range(4):  # 6 steps drew both blocks
        assert sum(float(up.select(1, rank).abs().sum()) for up in ups) > 0
    train(options, reporter=Recorder())  # the draws are the seed's
    again = load_file(result.path)
    assert all(torch.equal(tensor, again[key]) for key, tensor in tensors.items())
    more = train(
        options_for(
            network_module="networks.dylora",
            network_args=["unit=2"],
            network_weights=str(result.path),
            dim_from_weights=True,
            output_name="more",
            max_train_steps=1,
        ),
        reporter=Recorder(),
    )
    gone_on = load_file(more.path)
    still = [torch.equal(gone_on[key][:, 2:], tensors[key][:, 2:]) for key in tensors if "lora_up" in key]
    moved = [torch.equal(gone_on[key][:, :2], tensors[key][:, :2]) for key in tensors if "lora_up" in key]
    assert all(still) != all(moved)  # one of the two blocks was drawn
    assert files.read_metadata(more.path)["ss_network_dim"] == "4"
    model = load(tiny_sd1, dtype=torch.float32, device="cpu")
    request = ImageRequest(prompt="sls frog", width=64, height=64, steps=2, seed=1)

    def draw(prompt: str):
        tagged = ImageRequest(prompt=f"sls frog {prompt}", width=64, height=64, steps=2, seed=1)
        return generate(model, tagged, loras=LoraFolders([tmp_path]))[0].image.tobytes()

    plain = generate(model, request)[0].image.tobytes()
    files.save(tmp_path / "half.safetensors", first_ranks(tensors, 2))
    assert draw("<lora:x:1:1:2>") == draw("<lora:half:1>") != plain
    assert draw("<lora:x:1:1:4>") == draw("<lora:x:1>") != draw("<lora:half:1>")


def test_rates_per_block_are_told_and_kept_in_the_metadata(options_for):
    given = ["down_lr_weight=zeros", "mid_lr_weight=0.5", "up_lr_weight=linear+.25", "block_lr_zero_threshold=0.3"]
    reporter = Recorder()
    result = train(options_for(network_args=given, unet_lr=1e-3, text_encoder_lr=1e-4, max_train_steps=2), reporter=reporter)
    step = reporter.of("step")[-1]
    rates = step["rates"]
    assert rates["text_encoder"] == 1e-4 and rates["unet_block12"] == 5e-4 and rates["unet_block24"] == 1.25e-3
    assert not {f"unet_block{block}" for block in range(12)} & set(rates)
    assert step["lr"] == rates["unet_block12"]  # the UNet's, not the text encoder's
    names = {key.partition(".")[0] for key in load_file(result.path)}
    assert not any("down_blocks" in name for name in names) and any("mid_block" in name for name in names)
    metadata = files.read_metadata(result.path)
    assert json.loads(metadata["ss_network_args"]) == dict(text.split("=") for text in given) | {"dropout": None}


def test_ranks_per_block_are_in_the_file(options_for):
    dims = ",".join(["2"] * 12 + ["6"] + ["3"] * 12)
    result = train(options_for(network_args=[f"block_dims={dims}"], network_dim=4, max_train_steps=1), reporter=Recorder())
    ranks = files.ranks(files.read_header(result.path)[0])
    by_part = {
        part: {rank for name, rank in ranks.items() if part in name}
        for part in ("down_blocks", "mid_block", "up_blocks", "lora_te")
    }
    assert by_part == {"down_blocks": {2}, "mid_block": {6}, "up_blocks": {3}, "lora_te": {4}}


def test_numbers_that_the_model_leaves_out_are_told_in_the_log(options_for, caplog):
    with caplog.at_level(logging.WARNING, logger="lora_trainer"):
        train(options_for(network_args=["down_lr_weight=1,1"], max_train_steps=1), reporter=Recorder())
    assert "down_lr_weight has 2 of 12 numbers" in caplog.text


@pytest.mark.skipif(importlib.util.find_spec("lycoris") is None, reason="lycoris-lora is not installed")
@pytest.mark.parametrize("algo", ["loha", "lokr"])
def test_lycoris_trains_and_its_file_goes_on_and_draws(options_for, tmp_path, tiny_sd1, algo):
    options = {"network_module": "lycoris.kohya", "network_args": [f"algo={algo}", "conv_dim=2"], "max_train_steps": 2}
    result = train(options_for(**options), reporter=Recorder())
    tensors = load_file(result.path)
    assert any(("hada_" if algo == "loha" else "lokr_") in key for key in tensors)
    metadata = files.read_metadata(result.path)
    assert metadata["ss_network_module"] == "lycoris.kohya" and json.loads(metadata["ss_network_args"])["algo"] == algo
    again = {"network_weights": str(result.path), "output_name": "more", "dim_from_weights": algo == "loha"}
    more = train(options_for(**options, **again), reporter=Recorder())
    assert load_file(more.path).keys() == tensors.keys()
    assert files.read_metadata(more.path)["ss_network_dim"] == metadata["ss_network_dim"]
    model = load(tiny_sd1, dtype=torch.float32, device="cpu")
    pictures = [
        generate(
            model,
            ImageRequest(prompt=f"sls frog{tag}", width=64, height=64, steps=2, seed=1),
            loras=LoraFolders([tmp_path]),
        )[0].image.tobytes()
        for tag in ("", " <lora:x:1>", "")
    ]
    assert pictures[0] == pictures[2] != pictures[1]
    assert registry.for_weights(tensors).create_network.__module__ == "lora_trainer.networks.lycoris"
