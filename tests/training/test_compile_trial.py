"""Compiling is kept where it pays, and what was found goes on with the training."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
import torch

from lora_trainer.errors import InputErrors, TrainingError
from lora_trainer.models import compiling
from lora_trainer.networks.files import read_metadata
from lora_trainer.training import compile_trial
from lora_trainer.training.compile_trial import Times
from lora_trainer.training.train import train

from .conftest import Recorder

CHOSEN = {"torch_compile": True, "dynamo_backend": "aot_eager", "torch_compile_when_faster": True}
CHOSEN |= {"dynamo_use_regional_compilation": False}


def test_it_pays_where_what_is_saved_is_more_than_what_is_still_to_be_compiled():
    fast = Times(compiling=60.0, compiled=0.5, plain=1.0)
    assert fast.pays(batches=2, shapes=1), "what was compiled to try is there"
    assert not fast.pays(batches=100, shapes=2) and fast.pays(batches=121, shapes=2)
    assert not Times(60.0, 0.98, 1.0).pays(10**6, 1), "no more than times differ by anyway"
    assert not Times(60.0, 1.2, 1.0).pays(10**6, 1)


@pytest.fixture
def compilers(monkeypatch):
    """compilers(seconds): what is compiled computes the same, and takes so much longer, or fails. Returns its calls."""
    calls: list[str] = []

    def of(seconds):
        def forward(part, way):
            plain = part.forward

            def run(*args, **kwargs):
                if not torch.is_grad_enabled():
                    return plain(*args, **kwargs)
                calls.append(way.name)
                if seconds is None:
                    raise TrainingError("PyTorch cannot compile the UNet")
                time.sleep(seconds)
                return plain(*args, **kwargs)

            return run

        monkeypatch.setattr(compiling, "_forward", forward)
        return calls

    return of


@pytest.mark.effect("torch_compile_when_faster")
def test_a_compiled_unet_that_is_slower_is_left_out(options_for, compilers, monkeypatch):
    calls = compilers(0.5)
    monkeypatch.setattr(compile_trial, "_ROUNDS", 1)
    reporter = Recorder()
    result = train(options_for(max_train_steps=1, save_state=True, **CHOSEN), reporter=reporter)
    assert calls == ["whole aot_eager"] * 2, "it was tried, and not trained with"
    assert "trying whether compiling pays" in [event["name"] for event in reporter.of("phase")]
    resumed = Recorder()
    state = str(result.path.with_name("x-state"))
    train(options_for(max_train_steps=2, resume=state, **CHOSEN), reporter=resumed)
    assert len(calls) == 2 and len(resumed.losses) == 1, "what was found holds"
    assert read_metadata(result.path)["ss_torch_compile"] == "False"


def test_one_that_pays_is_kept_and_the_training_is_as_if_nobody_had_tried(options_for, compilers, monkeypatch):
    calls = compilers(0.0)
    monkeypatch.setattr(compile_trial, "_ROUNDS", 1)
    monkeypatch.setattr(Times, "pays", lambda *_: True)
    found, told = [], []
    for chosen in ({}, CHOSEN):
        reporter = Recorder()
        result = train(options_for(max_train_steps=2, network_dropout=0.2, **chosen), reporter=reporter)
        found.append(reporter.losses)
        told.append(read_metadata(result.path).get("ss_torch_compile"))
    assert told == [None, "whole aot_eager"]
    assert found[0] == found[1] and len(calls) == 2 + 2, "to try, and each step"


def test_what_cannot_be_compiled_is_left_out(compilers):
    compilers(None)
    layer, used = torch.nn.Linear(2, 2), []
    made = compiling.compiled(layer, compiling.Way())
    model = SimpleNamespace(compiled=None, device=torch.device("cpu"))
    model.compute_with = lambda which: (used.append(which), which.on() if which else made.off())
    assert compile_trial.times(model, made, lambda: layer(torch.zeros(1, 2))) is None
    assert used == [None, made, None], "as it was"


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"torch_compile_when_faster": True}, "has no effect without torch_compile"),
        ({**CHOSEN, "fused_backward_pass": True, "optimizer_type": "adafactor"}, "these change the weights"),
    ],
)
def test_what_means_nothing_is_refused(options_for, chosen, message):
    with pytest.raises(InputErrors, match=message):
        options_for(**chosen)
