"""benchmarks/gpu.py in its small form, on whatever device there is."""

from __future__ import annotations

import sys
import time

import pytest

from benchmarks import gpu
from benchmarks.card import child, processes, reference
from benchmarks.card.cases import CASES, by_name
from benchmarks.card.table import markdown
from lora_trainer.options.resolve import train_options


@pytest.fixture
def bench(tmp_path):
    return gpu.Bench(tmp_path, "small", 0.0, 1, None, time.monotonic() + 100)


@pytest.mark.parametrize("name", ["SD1.5 512 b1", pytest.param("SDXL 1024 b1, checkpointing", marks=pytest.mark.long)])
def test_a_case_is_trained_and_set_beside_its_opponent(name, tmp_path):
    case = by_name(name)
    results = {"size": "small", "machine": child.make_models(str(tmp_path), [case.family], "small")}
    results["matmul"] = child.matmul(64, seconds=0.01)
    row = {
        "ours": child.ours(name, str(tmp_path), "small", time.time(), 0.0, 1),
        "opponent": child.against(name, "small", 0.0, 1),
    }
    results["cases"] = {name: row}
    ours = row["ours"]
    assert ours["samples_per_second"] > 0 and ours["seconds_to_first_step"] > 0 and 0 < ours["loss"] < 10
    assert ours["flops"] > 1e7, "forward and backward of a UNet"
    ratio = ours["samples_per_second"] / row["opponent"]["samples_per_second"]
    line = next(line for line in markdown(results).splitlines() if line.startswith(f"| {name} |"))
    assert f"| {ratio:.2f} |" in line


def test_a_process_that_fails_is_a_note_below_the_table(bench):
    found = bench._run([sys.executable, "-c", "raise SystemExit('no such card')"], gpu.ROOT)
    assert found == {"error": "no such card"}
    results = {"size": "small", "machine": {"device": "CPU", "torch": "2"}, "matmul": found, "cases": {"x": {"ours": found}}}
    assert "- x: not measured: no such card" in markdown(results)


def test_a_measurement_runs_in_a_process_of_its_own_and_may_fail_there(tmp_path):
    log = tmp_path / "log"
    assert processes.call(child.matmul, {"side": 8, "seconds": 0.01}, seconds=100, log=log)["flops_per_second"] > 0
    failed = processes.call(child.ours, {"name": "no such case"}, seconds=100, log=log)
    assert failed["error"].startswith("TypeError") and "Traceback" in log.read_text()
    assert processes.call(time.sleep, {"secs": 1}, seconds=1, log=log) == processes.NO_TIME


def test_what_is_left_at_the_end_of_the_time_is_not_begun(tmp_path):
    late = gpu.Bench(tmp_path, "small", 0.0, 1, None, time.monotonic())
    assert late.ours(CASES[0]) == {"error": "no time was left"}


def test_sd_scripts_gets_the_options_that_ours_gets(bench, tmp_path):
    arguments = CASES[0].arguments(tmp_path / "m.safetensors", tmp_path / "data", tmp_path, "full")
    words = reference.words(arguments, tmp_path)
    assert "--resolution=512" in words and "--network_train_unet_only" in words and "--network_dim=16" in words
    assert not any("None" in word or "False" in word for word in words)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_case_is_a_valid_training(case, tiny_model, tmp_path):
    model = tiny_model(case.family)
    (tmp_path / "data").mkdir()
    options = train_options(case.arguments(model, tmp_path / "data", tmp_path / "out", "full"))
    assert options.dataset.train_batch_size == case.batch
