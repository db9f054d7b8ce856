"""Two processes on the CPU, started by `accelerate launch`, and the sums that keep them in step."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lora_trainer.data.plan import cache_folders
from lora_trainer.errors import InputError, InputErrors
from lora_trainer.options.training import TrainingOptions
from lora_trainer.training.distributed import Processes
from lora_trainer.training.train import train

from .conftest import Recorder
from .pairs import free_port

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "kind",
    [
        {"network_module": "networks.lora"},
        pytest.param({"network_module": "networks.dylora", "network_dim": 4, "network_args": "unit=2"}, marks=pytest.mark.long),
        pytest.param(
            {"network_module": None, "trains": "model", "train_text_encoder": True, "stop_text_encoder_training": 2},
            marks=pytest.mark.long,  # what is done is that of LoRA, for more weights
        ),
    ],
    ids=["LoRA", "DyLoRA", "model"],  # DyLoRA: all processes draw the same ranks, and what is not drawn rests in all of them
)
def test_two_processes_train_as_one_with_twice_the_batch(options_for, tiny_sd1, pictures, tmp_path, kind):
    """3 samples of the same size in batches of 2: in the second batch one of the processes has no sample."""
    data = tmp_path / "three"
    shutil.copytree(pictures, data, ignore=shutil.ignore_patterns(cache_folders.FOLDER))  # what other tests kept of them
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
    if kind["network_module"] == "networks.lora":  # what the options of several cards do changes no number
        given["cache_latents_to_disk"] = True  # each encodes its part; the other kind's latents are exchanged
        given |= {"ddp_timeout": 20, "ddp_gradient_as_bucket_view": True, "ddp_static_graph": True}
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes=2", "--num_machines=1"]
    launcher += ["--mixed_precision=no", "--dynamo_backend=no", f"--main_process_port={free_port()}", "-m", "lora_trainer"]
    done = subprocess.run(
        [
            *launcher,
            "train_network",
            *(f"--{name}={value}" for name, value in given.items() if value is not None),
            "--cache_latents",
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT), "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    kept = list((data / "1_sls frog" / cache_folders.FOLDER).glob("*.safetensors"))
    assert len(kept) == (3 if "cache_latents_to_disk" in given else 0)
    assert "5 steps, 3 epochs" in done.stderr  # 2 batches per epoch: each process has half of them
    assert done.stderr.count("finished at step 5") == 1  # only the main process talks
    last = float(re.findall(r"step 5/5.*?loss ([\d.]+)", done.stderr)[-1])
    assert last == pytest.approx(reporter.losses[-1], rel=2e-4)
    one, two = (load_file(tmp_path / "out" / f"{name}.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    start = {} if kind["network_module"] else load_file(tiny_sd1)
    trained = [name for name in one if "lora_up" in name or name in start and one[name].is_floating_point()]
    moved = sum(float((one[name] - start.get(name, 0)).norm()) for name in trained)
    apart = sum(float((one[name] - two[name]).norm()) for name in trained)
    assert moved > 0 and apart < 2e-3 * moved


@pytest.mark.effect("ddp_gradient_as_bucket_view")
def test_gradients_are_added_up_in_place_without_a_copy(monkeypatch):
    """What is sent is the gradients' own memory; the sums are the same."""
    found = {}
    for in_place in (False, True):
        pair = Processes("cpu", in_place=in_place)
        pair.world_size, sent = 2, []
        monkeypatch.setattr(
            torch.distributed, "all_reduce", lambda tensor, sent=sent: sent.append(tensor.data_ptr()) or tensor.mul_(2)
        )
        parameters = [torch.nn.Parameter(torch.zeros(size)) for size in (2, 3)]
        for parameter in parameters:
            parameter.grad = torch.arange(1.0, 1.0 + parameter.numel())
        own = [parameter.grad.data_ptr() for parameter in parameters]
        pair.add_up_gradients(parameters)
        found[in_place] = [parameter.grad.tolist() for parameter in parameters]
        assert (sent[1:] == own) is in_place and len(sent) == (3 if in_place else 2)
    assert found[True] == found[False] == [[2.0, 4.0], [2.0, 4.0, 6.0]]


@pytest.mark.effect("ddp_static_graph")
def test_with_a_static_graph_nobody_asks_which_gradients_there_are_after_the_first_step(monkeypatch):
    pair = Processes("cpu", same_each_step=True)
    pair.world_size, sizes = 2, []
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda tensor: sizes.append(tensor.numel()))
    first, second = (torch.nn.Parameter(torch.zeros(size)) for size in (5, 7))
    for grad in (torch.ones(5), None):  # in the second step this process has no sample
        first.grad = grad
        pair.add_up_gradients([first, second])
    assert sizes == [2, 5, 5] and first.grad.tolist() == [0.0] * 5
    second.grad = torch.ones(7)
    with pytest.raises(InputError, match="ddp_static_graph"):
        pair.add_up_gradients([first, second])


@pytest.mark.effect("ddp_timeout")
def test_how_long_the_processes_wait_for_each_other_is_theirs_to_know(monkeypatch):
    import accelerate

    asked = []

    class State:
        process_index, num_processes, local_process_index, device = 1, 2, 1, torch.device("cpu")

        def __init__(self, **how):
            asked.append(how)

    monkeypatch.setattr(accelerate, "PartialState", State)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert Processes.of(TrainingOptions(ddp_timeout=7)).rank == 1
    Processes.of(TrainingOptions())
    assert asked == [{"timeout": timedelta(minutes=7)}, {}]


def test_a_static_graph_does_not_go_with_what_differs_from_step_to_step(options_for):
    for given in ({"network_module": "networks.dylora"}, {"network_args": "module_dropout=0.1"}):
        with pytest.raises(InputErrors, match="ddp_static_graph does not go with"):
            options_for(ddp_static_graph=True, **given)
    assert options_for(ddp_static_graph=True, network_args="rank_dropout=0.1")


def test_deepspeed_is_refused_with_its_reason(options_for):
    with pytest.raises(InputErrors, match="deepspeed, zero_stage: not taken here, because DeepSpeed spreads"):
        options_for(deepspeed=True, zero_stage=1)


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
