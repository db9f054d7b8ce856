"""kill -9 at any instant: the training that goes on ends with the bytes of one that was never killed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lora_trainer.runs import states

from .killing import assert_same_file
from .kills import Killer
from .test_distributed import free_port

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL")


def options(model: Path, data: Path, **changed) -> dict:
    return {
        "pretrained_model_name_or_path": str(model),
        "train_data_dir": str(data),
        "output_name": "x",
        "network_module": "networks.lora",
        "caption_extension": ".txt",
        "resolution": "64",
        "learning_rate": 1e-3,
        "max_train_steps": 8,
        "seed": 5,
        "deterministic": True,
        **changed,
    }


@pytest.mark.effect("resume")
@pytest.mark.parametrize(
    "chosen",
    [
        pytest.param(
            {"cache_latents": True, "max_data_loader_n_workers": 0, "gradient_accumulation_steps": 2, "lr_scheduler": "cosine"},
            marks=pytest.mark.long,  # what is resumed of these is compared in one process, too
        ),
        {"max_data_loader_n_workers": 2, "shuffle_caption": True, "mixed_precision": "bf16", "network_dropout": 0.2},
    ],
    ids=["accumulated, cached", "bf16, read by processes"],
)
def test_random_kills_change_no_byte(tiny_sd1, pictures, tmp_path, chosen):
    killer = Killer(tmp_path, options(tiny_sd1, pictures, **chosen))
    killer.undisturbed()
    killer.killed(random.Random(len(chosen)), kills=2)
    killer.killed(random.Random(0), while_saving=True)
    assert killer.kills >= 2 and killer.unfinished_states >= 1


@pytest.mark.long
def test_two_processes_that_were_killed_end_as_two_that_were_not(tiny_sd1, pictures, tmp_path):
    """Killed together, as a power cut does; three pictures, so that one process has no sample in an epoch's last batch."""
    data = tmp_path / "three"
    shutil.copytree(pictures, data)
    for name in ("3.png", "3.txt"):
        (data / "1_sls frog" / name).unlink()
    chosen = options(tiny_sd1, data, max_train_steps=6, max_data_loader_n_workers=0, save_every_n_steps=1)

    def start(out: Path, *more: str) -> subprocess.Popen:
        launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes=2", "--num_machines=1"]
        launcher += ["--mixed_precision=no", "--dynamo_backend=no", f"--main_process_port={free_port()}", "-m", "lora_trainer"]
        given = [f"--{name}={value}" for name, value in chosen.items()] + [f"--output_dir={out}", "--cache_latents", *more]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
        with (tmp_path / "log.txt").open("ab") as log:
            words = [*launcher, "train_network", *given]
            return subprocess.Popen(words, env=environment, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)

    def said() -> str:
        return (tmp_path / "log.txt").read_text()[-3000:]

    whole = start(tmp_path / "whole")
    assert whole.wait(600) == 0, said()
    process = start(tmp_path / "out", "--save_state")
    while len(states.states_in(tmp_path / "out")) < 3:
        assert process.poll() is None, said()
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "out" / "x.safetensors").exists()
    again = start(tmp_path / "out", "--save_state", "--resume=latest")
    assert again.wait(600) == 0, said()
    assert "going on after step" in said()
    assert_same_file(tmp_path / "whole" / "x.safetensors", tmp_path / "out" / "x.safetensors")
