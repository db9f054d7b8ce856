"""A whole model that two processes share: they train as one that has all of it, and each holds half."""

from __future__ import annotations

import json
import os
import queue
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from lora_trainer.checkpoints import sharding
from lora_trainer.checkpoints.serving import Shards
from lora_trainer.errors import InputError, InputErrors, NotFiniteError
from lora_trainer.options import cli
from lora_trainer.options.optimizer_kinds import OPTIMIZERS
from lora_trainer.options.resolve import train_options
from lora_trainer.runs.events import read_events
from lora_trainer.training.distributed import Processes
from lora_trainer.training.train import train

from .conftest import Recorder, make_images
from .killing import assert_same_file
from .pairs import held_bytes, run_in_pair, train_in_pair, train_one


@pytest.fixture(scope="module")
def chosen(tiny_sd1, tmp_path_factory):
    """3 samples of one size in batches of 2: in the second batch one of two processes has no sample.

    At 128 pixels and with a large eps rounding is not blown up to whole steps (see test_distributed).
    """
    data = make_images(tmp_path_factory.mktemp("three") / "1_sls frog", 3, size=(128, 128)).parent
    prompts = data / "prompts.txt"
    prompts.write_text("sls frog --w 64 --h 64 --s 2 --d 1\n")
    return {
        "pretrained_model_name_or_path": str(tiny_sd1), "train_data_dir": str(data), "output_name": "x", "trains": "model",
        "train_text_encoder": True, "stop_text_encoder_training": 1, "caption_extension": ".txt", "resolution": "128",
        "learning_rate": 0.1, "optimizer_args": ["eps=1.0"], "max_train_steps": 2, "max_data_loader_n_workers": 0, "seed": 5,
        "cache_latents": True, "gradient_checkpointing": True, "save_precision": "float", "sample_prompts": str(prompts),
    }  # fmt: skip


def test_two_processes_that_share_a_model_train_as_one_and_each_holds_half(chosen, tmp_path):
    """With a file, a state and a sample in the middle, of the weights' average; what is written is what one process writes."""
    chosen = {**chosen, "save_every_n_steps": 2, "save_state": True, "sample_every_n_steps": 2, "ema_decay": 0.5}
    alone, one, two = Recorder(), tmp_path / "one", tmp_path / "two"
    train(train_options({**chosen, "output_dir": str(one), "train_batch_size": 2}), reporter=alone)
    events = train_in_pair(tmp_path, {**chosen, "output_dir": str(two), "shard_model": True})

    told = [event["loss"] for event in events if event["type"] == "step"]
    assert told == pytest.approx(alone.losses, rel=2e-4) and len(told) == 2
    told = [event["message"] for event in events if event["type"] in ("warning", "failed")]
    assert [message for message in told if not message.startswith("learning_rate is 0.1")] == []  # it is meant to be large
    start = load_file(chosen["pretrained_model_name_or_path"])
    trained = {name: tensor for name, tensor in start.items() if name.startswith(("model.", "cond_stage_model."))}
    trained = {name: tensor for name, tensor in trained.items() if tensor.is_floating_point()}
    for name in ("x-step00000002.safetensors", "x.safetensors"):
        assert_nearly_same(load_file(one / name), load_file(two / name), trained)
    drawn = [np.asarray(Image.open(next((folder / "sample").glob("*.png"))), dtype=float) for folder in (one, two)]
    assert drawn[0].shape == drawn[1].shape and np.abs(drawn[0] - drawn[1]).max() <= 2
    for name in ("network", "optimizer", "updater"):  # so that any number of processes goes on from it
        mine, theirs = (load_file(folder / "x-step00000002-state" / f"{name}.safetensors") for folder in (one, two))
        assert_nearly_same(mine, theirs, dict.fromkeys(mine, torch.zeros(())))

    numbers = sum(tensor.numel() for tensor in trained.values())
    for parts in held_bytes(tmp_path):
        assert 0.49 < parts["weights"] / (4 * numbers) < 0.51 and 0 < parts["gradients"] <= parts["weights"]
        assert 2 * parts["weights"] <= parts["optimizer"] < 2.1 * parts["weights"]
    assert len(held_bytes(tmp_path)) == 2


def assert_nearly_same(first, second, start):
    assert first.keys() == second.keys()
    moved = sum(float((first[name] - start[name]).norm()) for name in start)
    apart = sum(float((first[name] - second[name]).norm()) for name in start)
    assert moved > 0 and apart < 2e-3 * moved
    assert all(torch.equal(first[name], second[name]) for name in first if name not in start)


@pytest.mark.long
def test_a_sample_that_fails_in_the_middle_of_the_unet_costs_a_warning_alone(chosen, tmp_path):
    chosen = {**chosen, "shard_model": True, "optimizer_type": "SGD", "optimizer_args": None, "save_precision": "float"}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    undisturbed = train_in_pair(tmp_path, {**chosen, "output_dir": str(tmp_path / "one")})
    disturbed = {**chosen, "output_dir": str(tmp_path / "two"), "sample_every_n_steps": 1}
    run_in_pair(_train_with_bad_samples, (disturbed, str(tmp_path), str(tmp_path / "events.jsonl")))
    events = read_events(tmp_path / "events.jsonl")[0]
    assert len([one for one in events if "no picture today" in one.get("message", "")]) == 2
    losses = [[event["loss"] for event in told if event["type"] == "step"] for told in (undisturbed, events)]
    assert losses[0] == losses[1] and len(losses[0]) == 2
    one, two = (load_file(tmp_path / name / "x.safetensors") for name in ("one", "two"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def _train_with_bad_samples(chosen: dict[str, Any], folder: str, events: str) -> None:
    """The UNet's second block fails in the main process, whenever no gradients are wanted."""
    from diffusers.models.unets.unet_2d_blocks import UNetMidBlock2DCrossAttn

    forward = UNetMidBlock2DCrossAttn.forward

    def bad(self, *given, **named):
        if not torch.is_grad_enabled() and os.environ["RANK"] == "0":
            raise RuntimeError("no picture today")
        return forward(self, *given, **named)

    UNetMidBlock2DCrossAttn.forward = bad
    train_one(chosen, folder, events, 0)


@pytest.mark.long  # that states hold all of it is shown above; this, that no byte is another
def test_killed_and_resumed_by_as_many_processes_the_bytes_are_the_same(chosen, tmp_path):
    chosen = {
        **chosen,
        "shard_model": True,
        "save_every_n_steps": 1,
        "save_state": True,
        "ema_decay": 0.5,
        "max_train_steps": 4,
    }
    train_in_pair(tmp_path, {**chosen, "output_dir": str(tmp_path / "whole")})
    out = {**chosen, "output_dir": str(tmp_path / "killed")}
    train_in_pair(tmp_path, out, stops_at=3)
    events = train_in_pair(tmp_path, {**out, "resume": "latest"})
    assert [event["step"] for event in events if event["type"] == "resumed"] == [2]
    assert_same_file(tmp_path / "whole" / "x.safetensors", tmp_path / "killed" / "x.safetensors")


def test_the_optimizers_that_may_share_a_model_make_of_their_parts_what_they_make_of_the_whole(tmp_path):
    run_in_pair(_compare_optimizers, (str(tmp_path / "apart.json"),))
    apart = json.loads((tmp_path / "apart.json").read_text())
    assert len(apart) == len(_may_share()) >= 14 and max(apart.values()) < 1e-6, apart


def _may_share():
    return [kind.name for kind in OPTIMIZERS if kind.apart]


def _compare_optimizers(result: str) -> None:
    """How far the weights are apart, after 3 steps with parts of these shapes: one has nothing for the second process."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor

    from lora_trainer.training import optimizers

    processes = Processes()
    mesh, found = init_device_mesh("cpu", (2,)), {}
    draw = torch.Generator().manual_seed(1)
    shapes = [(4, 3), (5,), (1, 2)]
    starts, gradients = [[torch.randn(shape, generator=draw) for shape in shapes] for _ in range(2)]
    for name in _may_share():
        ends = []
        for shared in (False, True):
            weights = [torch.nn.Parameter(start.clone()) for start in starts]
            if shared:
                weights = [torch.nn.Parameter(distribute_tensor(one.detach(), mesh, [Shard(0)])) for one in weights]
            made = optimizers.create(name, [{"params": weights, "lr": 0.01}], learning_rate=0.01, args={}).optimizer
            for _ in range(3):
                for weight, gradient in zip(weights, gradients, strict=True):
                    weight.grad = sharding.as_held(gradient, weight).clone()
                torch.nn.utils.clip_grad_norm_(weights, 1.0)
                made.step()
            if hasattr(made, "eval"):
                made.eval()  # to the average, as it is saved
            ends.append([weight.detach().full_tensor() if shared else weight.detach() for weight in weights])
        found[name] = max(float((a - b).abs().max()) for a, b in zip(*ends, strict=True))
    if processes.is_main:
        Path(result).write_text(json.dumps(found))
    processes.leave()


class _Pair:
    """Two threads in place of two processes: what the main one tells reaches the other."""

    world_size, device = 2, torch.device("cpu")

    def __init__(self, rank: int, told: queue.Queue) -> None:
        self.rank, self.told = rank, told

    def agree(self, number: int) -> int:
        if self.rank == 0:
            self.told.put(number)
            return number
        return self.told.get(timeout=60)


def _together(main, other):
    """`main(shards)` and `other(shards)`, the latter in a thread; returns what each raised."""
    told: queue.Queue = queue.Queue()
    first, second = (Shards([], _Pair(rank, told)) for rank in (0, 1))
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(other, second)
        try:
            main(first)
            error = None
        except Exception as raised:
            error = raised
        return error, waiting.exception(timeout=60)


def test_where_the_main_process_fails_at_what_it_does_alone_the_others_serve_its_rescue_and_end():
    def main(shards):
        with shards.attended():
            try:
                with shards.served():
                    raise OSError("the disk is full")
            except OSError:
                assert shards.come_for(all_failed=False), "they are there, to give what is to be saved"
                raise

    def other(shards):
        with shards.served():
            pass

    mine, theirs = _together(main, other)
    assert isinstance(mine, OSError) and isinstance(theirs, SystemExit)


def test_where_one_process_fails_in_the_middle_of_a_step_nobody_is_asked_and_where_all_do_all_come():
    def alone(shards):
        with shards.attended():
            assert not shards.come_for(all_failed=False), "the other waits elsewhere, or has ended"
            raise OSError

    def all_of_them(shards):
        with shards.attended():
            assert shards.come_for(all_failed=True)
            raise NotFiniteError("no number")

    assert isinstance(_together(alone, lambda shards: None)[0], OSError)
    mine, theirs = _together(all_of_them, all_of_them)
    assert isinstance(mine, NotFiniteError) and isinstance(theirs, SystemExit)


@pytest.mark.effect("shard_model")
@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"trains": "network", "network_module": "networks.lora"}, "shard_model"),
        ({"optimizer_type": "AdaFactor"}, "optimizer_type"),
        ({"optimizer_type": "AdamW8bit"}, "optimizer_type"),
        ({"optimizer_type": "Prodigy"}, "optimizer_type"),
        ({"fused_backward_pass": True}, "fused_backward_pass"),
        ({"full_bf16": True, "mixed_precision": "bf16"}, "full_bf16"),
        ({"torch_compile": True}, "torch_compile"),
        ({"gradient_checkpointing": True, "gradient_checkpointing_blocks": "auto"}, "gradient_checkpointing_blocks"),
        ({"split_batch_when_full": True}, "split_batch_when_full"),
        ({"check": True}, "check"),
    ],
)
def test_what_does_not_go_with_a_shared_model_is_refused_by_name(options_for, changed, field):
    with pytest.raises(InputErrors, match="shard_model") as raised:
        options_for(**{"network_module": None, "trains": "model", "shard_model": True} | changed)
    assert [error.field for error in raised.value.errors] == [field]


def test_one_process_alone_and_a_pytorch_that_cannot_are_told(options_for, monkeypatch):
    options = options_for(network_module=None, trains="model", shard_model=True)
    with pytest.raises(InputError, match="this is one alone"):
        train(options, reporter=Recorder())
    monkeypatch.delattr(torch.distributed.fsdp, "FSDPModule")
    with pytest.raises(InputError, match="needs PyTorch 2.8"):
        sharding.check()


def test_accelerates_own_flag_means_the_same(chosen, monkeypatch, tmp_path):
    """accelerate launch --use_fsdp tells its processes by the environment."""
    words = [f"--{name}={chosen[name]}" for name in ("pretrained_model_name_or_path", "train_data_dir", "output_name")]
    words += [f"--output_dir={tmp_path}", "--resolution=64"]
    assert not cli.parse(words, "fine_tune").training.shard_model
    monkeypatch.setitem(os.environ, "ACCELERATE_USE_FSDP", "true")
    assert cli.parse(words, "fine_tune").training.shard_model
    with pytest.raises(InputErrors, match="shard_model has no effect when network is trained"):
        cli.parse([*words, "--network_module=networks.lora"])
