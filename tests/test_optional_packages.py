"""What the Web UI or another extension has installed does not decide whether a worker starts."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lora_trainer import optional_packages
from lora_trainer.paths import ROOT_DIR
from lora_trainer.runs import worker

# What the three libraries look for and may find: they need it, or it is part of what a worker brings or of torch.
NEEDED = {"PIL", "accelerate", "ftfy", "huggingface_hub", "numpy", "psutil", "safetensors", "tokenizers", "torch", "tqdm"}
NEEDED |= {"transformers", "triton", "jinja2"}
# Looked for, never imported on the way: a namespace of many, modules of a package being built, names of distributions.
NEVER_IMPORTED = {"google", "jinja", "opencv", "pillow", "pytest", "pyximport"}

# The commands that train and draw, with all that they bring, and one module of each library run.
EVERYTHING = """
import sys
from lora_trainer import commands
def run(argv):
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer
    import lora_trainer.models.loading, lora_trainer.sampling.generate, lora_trainer.training.train
    from accelerate import PartialState
    PartialState()
    config = CLIPTextConfig(vocab_size=9, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    with torch.no_grad():
        CLIPTextModel(config)(torch.zeros(1, 3, dtype=torch.long))
        AutoencoderKL(block_out_channels=(32,), norm_num_groups=8).encode(torch.zeros(1, 3, 8, 8))
        UNet2DConditionModel(block_out_channels=(32, 32), layers_per_block=1, cross_attention_dim=8, attention_head_dim=8,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        )(torch.zeros(1, 4, 8, 8), 1, torch.zeros(1, 3, 8))
    print("ALL WELL")
    return 0
commands.run = run
from lora_trainer.__main__ import main
sys.argv = ["lora_trainer", "worker", "x"]
sys.exit(main())
"""


def probed(library: str) -> set[str]:
    """The packages that the library's sources ask for by name."""
    spec = importlib.util.find_spec(library)
    assert spec is not None and spec.origin is not None
    question = re.compile(r"""(?:is_package_available(?:_with_version_check)?|find_spec)\(\s*["']([A-Za-z0-9_]+)""")
    return {name for file in Path(spec.origin).parent.rglob("*.py") for name in question.findall(file.read_text("utf-8"))}


@pytest.mark.parametrize("library", ["diffusers", "transformers", "accelerate", "huggingface_hub"])
def test_every_package_that_a_library_looks_for_is_hidden_or_needed(library):
    """Fails when new pins look for something new: decide where it belongs."""
    found = probed(library) - set(sys.stdlib_module_names)
    assert found, "the question is asked in other words now"
    assert sorted(found - optional_packages.HIDDEN - NEEDED - NEVER_IMPORTED) == []
    assert not optional_packages.HIDDEN & (NEEDED | NEVER_IMPORTED)


def broken_packages(folder: Path) -> Path:
    """One of each hidden package, of an impossible version, that cannot be imported."""
    for name in optional_packages.HIDDEN:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f"raise RuntimeError('{name} of the host was imported')\n")
        info = folder / f"{name}-0.0.1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.0.1\n")
        (info / "top_level.txt").write_text(name + "\n")
    return folder


def test_broken_packages_of_the_host_do_not_keep_a_worker_from_starting(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(broken_packages(tmp_path)), str(ROOT_DIR)])}
    done = subprocess.run([sys.executable, "-c", EVERYTHING], capture_output=True, text=True, env=environment, cwd=ROOT_DIR)
    assert "ALL WELL" in done.stdout, done.stderr[-3000:]


def test_a_package_that_the_user_asks_for_is_found_and_may_use_others(tmp_path, monkeypatch):
    (tmp_path / "asked_for.py").write_text("import comet_ml\nVALUE = comet_ml.VALUE\n")
    (tmp_path / "comet_ml.py").write_text("VALUE = 7\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("comet_ml", "asked_for"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "comet_ml", None)
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ImportError):
        importlib.import_module("comet_ml")
    assert optional_packages.load("asked_for").VALUE == 7
    assert sys.modules["wandb"] is None, "what it did not bring stays hidden"
    with pytest.raises(ImportError):
        optional_packages.load("not_installed_at_all")


def test_a_worker_does_not_inherit_what_steers_its_libraries(monkeypatch):
    class Host:
        def worker_environment(self):
            return {"PYTHONPATH": "packages"}

    steering = ("USE_TF", "USE_TORCH", "RANK", "WORLD_SIZE", "ACCELERATE_MIXED_PRECISION", "PYTHONWARNINGS", "PYTHONHOME")
    for name in steering:
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    given = worker.environment(Host())
    assert not set(steering) & set(given)
    assert given["CUDA_VISIBLE_DEVICES"] == "1"
    assert given["PYTHONPATH"].split(os.pathsep)[:2] == ["packages", str(ROOT_DIR)]
