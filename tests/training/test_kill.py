"""kill -9 at any instant: the training that goes on ends with the bytes of one that was never killed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from lora_trainer.runs import states

from .killing import assert_same_file
from .kills import Killer
from .pairs import start_pair, train_in_pair, train_one

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


def test_two_processes_that_were_killed_end_as_two_that_were_not(tiny_sd1, pictures, tmp_path):
    """Killed together, as a power cut does; three pictures, so that one process has no sample in an epoch's last batch."""
    data = tmp_path / "three"
    shutil.copytree(pictures, data)
    for name in ("3.png", "3.txt"):
        (data / "1_sls frog" / name).unlink()
    chosen = options(tiny_sd1, data, max_train_steps=6, max_data_loader_n_workers=0, cache_latents=True, save_every_n_steps=1)
    whole, out = tmp_path / "whole", tmp_path / "out"
    train_in_pair(tmp_path, {**chosen, "output_dir": str(whole)})
    saving = {**chosen, "output_dir": str(out), "save_state": True}
    both = start_pair(train_one, (saving, str(tmp_path), str(tmp_path / "killed.jsonl"), 0))
    until(lambda: len(states.states_in(out)) >= 3 or not all(process.is_alive() for process in both))
    for process in both:
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, "it had ended before"
    assert not (out / "x.safetensors").exists()
    events = train_in_pair(tmp_path, {**saving, "resume": "latest"})
    assert [event["step"] >= 2 for event in events if event["type"] == "resumed"] == [True]
    assert_same_file(whole / "x.safetensors", out / "x.safetensors")


def until(is_so, seconds: float = 600) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)
