"""Two processes on the CPU, started by `accelerate launch`, and the sums that keep them in step."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lora_trainer.training.distributed import Processes
from lora_trainer.training.train import train

from .conftest import Recorder

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@pytest.mark.parametrize(
    "kind",
    [{"network_module": "networks.lora"}, {"network_module": "networks.dylora", "network_dim": 4, "network_args": "unit=2"}],
    ids=["LoRA", "DyLoRA"],  # DyLoRA: all processes draw the same ranks, and what is not drawn rests in all of them
)
def test_two_processes_train_as_one_with_twice_the_batch(options_for, tiny_sd1, pictures, tmp_path, kind):
    """3 samples of the same size in batches of 2: in the second batch one of the processes has no sample."""
    data = tmp_path / "three"
    shutil.copytree(pictures, data)
    for name in ("3.png", "3.txt"):
        (data / "1_sls frog" / name).unlink()
    # At 128 pixels: at 64 the tiny model's groups of two numbers make its gradients ill-conditioned.
    # A large eps keeps Adam's step proportional to the gradient, so that rounding is not blown up to whole steps.
    shared = {
        "resolution": "128",
        "train_data_dir": str(data),
        "max_train_steps": 5,
        "learning_rate": 0.1,
        "optimizer_args": "eps=1.0",
        **kind,
    }
    reporter = Recorder()
    train(options_for(output_name="one", train_batch_size=2, **shared), reporter=reporter)

    given = {
        "pretrained_model_name_or_path": tiny_sd1,
        "output_dir": tmp_path / "out",
        "output_name": "two",
        "caption_extension": ".txt",
        "max_data_loader_n_workers": 0,
        "seed": 5,
        "train_batch_size": 1,
        **shared,
    }
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes=2", "--num_machines=1"]
    launcher += ["--mixed_precision=no", "--dynamo_backend=no", f"--main_process_port={free_port()}", "-m", "lora_trainer"]
    done = subprocess.run(
        [*launcher, "train_network", *(f"--{name}={value}" for name, value in given.items()), "--cache_latents"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "5 steps, 3 epochs" in done.stderr  # 2 batches per epoch: each process has half of them
    assert done.stderr.count("finished at step 5") == 1  # only the main process talks
    last = float(re.findall(r"step 5/5.*?loss ([\d.]+)", done.stderr)[-1])
    assert last == pytest.approx(reporter.losses[-1], rel=2e-4)
    one, two = (load_file(tmp_path / "out" / f"{name}.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    moved = sum(float(tensor.norm()) for name, tensor in one.items() if "lora_up" in name)
    apart = sum(float((one[name] - two[name]).norm()) for name in one if "lora_up" in name)
    assert moved > 0 and apart < 2e-3 * moved


def test_alone_nothing_is_exchanged():
    alone = Processes("cpu")
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.grad = torch.tensor([1.0, 2.0])
    alone.add_up_gradients([parameter])
    alone.same_start([parameter])
    alone.wait()
    alone.leave()
    assert alone.is_main and alone.add_up([1.5, 2.0]) == [1.5, 2.0] and alone.agree(7) == 7 and not alone.any(False)
    assert parameter.grad.tolist() == [1.0, 2.0]


def test_gradients_of_all_processes_are_added_and_a_missing_one_counts_as_zero(monkeypatch):
    """What the other process would send is put in place of the network. One parameter has gradients in neither process."""
    pair = Processes("cpu")
    pair.world_size = 2
    sent = [torch.tensor([0.0, 1.0, 0.0]), torch.arange(5.0)]  # which gradients there are, and those that are
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda tensor: tensor.add_(sent.pop(0)))
    first, second, third = (torch.nn.Parameter(torch.zeros(size)) for size in (2, 3, 4))
    first.grad = torch.ones(2)
    pair.add_up_gradients([first, second, third])
    assert first.grad.tolist() == [1.0, 2.0] and second.grad.tolist() == [2.0, 3.0, 4.0]
    assert third.grad is None, "an optimizer would move it by its momentum, which one process with all samples does not"


def test_a_step_without_gradients_in_any_process_has_none(monkeypatch):
    pair = Processes("cpu")
    pair.world_size = 2
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda tensor: tensor)
    parameter = torch.nn.Parameter(torch.zeros(2))
    pair.add_up_gradients([parameter])
    assert parameter.grad is None
