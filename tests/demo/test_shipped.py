"""The demo base model that ships: it is there, small enough, and draws what captions say that its training never saw."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lora_trainer.demo import export, files, judge, score, webui_files, webui_sizes, world
from lora_trainer.modelfile import probe, problem_as
from lora_trainer.models import load
from lora_trainer.paths import ROOT_DIR

JUDGE = Path(__file__).with_name("judge.safetensors")
HOW = score.Sampling(steps=12, batch=24)


@pytest.fixture(scope="module")
def reader() -> judge.Judge:
    return judge.load(JUDGE)


@pytest.fixture(scope="module")
def model():
    return load(files.SHIPPED, dtype=torch.float32, device="cpu")


def test_it_is_a_base_model_of_at_most_40_mib():
    assert files.SHIPPED.is_file()
    assert files.SHIPPED.stat().st_size <= export.LARGEST
    assert probe(files.SHIPPED) and not problem_as("model", files.SHIPPED)[0]


def test_the_judge_reads_drawings_that_no_training_saw(reader):
    right = judge.accuracy(reader, count=1000)
    assert {question for question, share in right.items() if share < 0.99} == set()


def test_it_draws_held_out_captions(model, reader):
    captions = score.held_out_captions(24)
    drawn = score.pictures(model, captions, HOW)
    found = score.score(reader, drawn, captions)
    assert {part for part, bar in score.BAR.items() if found[part] < bar} == set(), found
    others = captions[7:] + captions[:7]
    assert score.score(reader, drawn, others)["shape"] < 0.6, "the score does not depend on the captions"


@pytest.mark.parametrize(("width", "height"), [(96, 64), (64, 96)])
def test_it_draws_other_shapes_too(model, reader, width, height):
    captions = score.held_out_captions(12)
    drawn = score.pictures(model, captions, HOW, width, height)
    assert drawn.shape == (12, 3, height, width)
    x, y = (width - world.SIDE) // 2, (height - world.SIDE) // 2
    found = score.score(reader, drawn[:, :, y : y + world.SIDE, x : x + world.SIDE], captions)
    assert found["colour"] >= 0.75 and found["background"] >= 0.75, found


def test_the_web_ui_gets_its_sizes(tmp_path):
    path = tmp_path / "demo.safetensors"
    path.write_bytes(files.SHIPPED.read_bytes())
    text = webui_files.write(path).read_text(encoding="utf-8")
    assert f'"{webui_sizes.__name__}.unet"' in text and '"context_dim": 64' in text
    assert {file.name for file in (tmp_path / "demo.clip").iterdir()} >= {"vocab.json", "merges.txt", "config.json"}


def test_the_web_ui_finds_the_sizes_also_while_the_extension_is_switched_off(tmp_path):
    """Its own folder is on its path, ours is not then."""
    extension = tmp_path / "webui" / "extensions" / "lora-trainer"
    (extension / "lora_trainer" / "demo").mkdir(parents=True)
    for name in ("__init__.py", "demo/__init__.py", "demo/webui_sizes.py"):
        (extension / "lora_trainer" / name).write_bytes((ROOT_DIR / "lora_trainer" / name).read_bytes())
    assert webui_files.sizes_module(extension) == webui_sizes.__name__, "no Web UI is there"
    (tmp_path / "webui" / "launch.py").touch()
    module = webui_files.sizes_module(extension)
    code = f"import importlib; print(importlib.import_module({module!r}).Multiple(1.5) * 64)"
    command = [sys.executable, "-c", code]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path / "webui", env=environment)
    assert done.stdout == "96\n", done.stderr
    assert webui_files.sizes_module(extension.with_name("lora.trainer")) == webui_sizes.__name__, "a dot cannot be in a name"


def test_multiples_give_whole_widths():
    share = webui_sizes.Multiple(96 / 64)
    assert [share * 64, 64 * share] == [96, 96]
    assert all(isinstance(width, int) for width in (share * 64, 64 * share))
    assert 96 * webui_sizes.Multiple(32 / 96) == 32
