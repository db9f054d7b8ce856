"""Optimizers by name, compared with the reference's; refusals that name the option and the nearest known name."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import pytest
import torch

from lora_trainer.errors import InputError
from lora_trainer.training import optimizers
from lora_trainer.training.schedulers import parse_arguments

CASES = json.loads((Path(__file__).parents[1] / "golden" / "optimizers.json").read_text())["cases"]


def groups() -> list[dict]:
    return [{"params": [torch.nn.Parameter(torch.ones(2))], "lr": rate} for rate in (5e-5, 1e-4)]


def build(name: str, args: list[str] = ()) -> optimizers.BuiltOptimizer:
    return optimizers.create(name, groups(), learning_rate=1e-4, args=parse_arguments(args, option="optimizer_args"))


def read(case: dict) -> tuple[str, list[str]]:
    argv = case["argv"]
    name = argv[argv.index("--optimizer_type") + 1] if "--optimizer_type" in argv else ""
    return name, argv[argv.index("--optimizer_args") + 1 :] if "--optimizer_args" in argv else []


OURS = [c for c in CASES if c.get("class") == "torch.optim.adamw.AdamW"]
THEIRS = [c for c in CASES if "class" in c and "--optimizer_type" in c["argv"] and "AdamW" not in c["class"].split(".")[-1]]


@pytest.mark.parametrize("case", OURS, ids=lambda case: " ".join(case["argv"]))
def test_adamw_is_built_with_the_given_arguments(case):
    name, args = read(case)
    built = build(name, args)
    assert type(built.optimizer) is torch.optim.AdamW and not built.warning
    metadata = case["name_in_metadata"] + (f"({case['arguments_in_metadata']})" if case["arguments_in_metadata"] else "")
    assert built.description == metadata
    for key, value in case["keyword_arguments"].items():
        expected = tuple(value) if isinstance(value, list) else value
        assert built.optimizer.defaults[key] == expected
    assert [group["lr"] for group in built.optimizer.param_groups] == case["group_lrs"]


@pytest.mark.parametrize("case", THEIRS, ids=lambda case: " ".join(case["argv"]))
def test_other_known_optimizers_are_refused_as_not_supported_yet(case):
    with pytest.raises(InputError, match="supported yet|unknown") as error:
        build(*read(case))
    assert error.value.field == "optimizer_type" and "AdamW" in error.value.advice


def test_a_class_of_another_module_is_never_imported(monkeypatch):
    monkeypatch.setattr(optimizers.optional_packages, "load", lambda name: pytest.fail(f"imported {name}"))
    for name in ("os.system", "nopackage.Opt", "torch.optim.Adam"):
        with pytest.raises(InputError, match="not supported yet"):
            build(name)


def test_a_misspelt_name_gets_the_nearest_known_one():
    with pytest.raises(InputError, match="Did you mean AdamW8bit"):
        build("AdamW8bits")
    with pytest.raises(InputError, match="unknown"):
        build("Nothing")


def test_8bit_without_cuda_trains_with_adamw_and_says_so():
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    built = build("AdamW8bit", ["weight_decay=0.1"])
    assert type(built.optimizer) is torch.optim.AdamW and built.optimizer.defaults["weight_decay"] == 0.1
    assert "AdamW8bit" in built.warning and "CUDA" in built.warning
    assert built.description == "torch.optim.adamw.AdamW(weight_decay=0.1)"


def test_8bit_with_cuda_is_that_of_bitsandbytes(monkeypatch):
    class AdamW8bit(torch.optim.AdamW):
        pass

    AdamW8bit.__module__, AdamW8bit.__qualname__ = "bitsandbytes.optim.adamw", "AdamW8bit"
    fake = types.SimpleNamespace(optim=types.SimpleNamespace(AdamW8bit=AdamW8bit))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setitem(sys.modules, "bitsandbytes", fake)
    built = build("adamw8bit")
    assert type(built.optimizer) is AdamW8bit and not built.warning
    assert built.description == "bitsandbytes.optim.adamw.AdamW8bit"


def test_an_argument_that_the_optimizer_has_not_is_refused():
    with pytest.raises(InputError, match="Did you mean 'weight_decay'") as error:
        build("AdamW", ["weight_deca=0.1"])
    assert error.value.field == "optimizer_args"
    with pytest.raises(InputError, match="does not accept"):
        build("AdamW", ["betas=2,3"])
    with pytest.raises(InputError, match="does not accept"):
        build("AdamW", ["weight_decay='a lot'"])
