"""Trainings on a base model in 8 bits: which part is held how, in each precision, and with what goes on top of it."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from lora_trainer.models import fp8
from lora_trainer.training import memory, prepare
from lora_trainer.training.train import train

from .conftest import Recorder


@pytest.fixture
def held(monkeypatch):
    """held() are the parts of the last training's model that are in 8 bits."""
    models = []
    load = prepare.load
    monkeypatch.setattr(prepare, "load", lambda *args, **kwargs: models.append(load(*args, **kwargs)) or models[-1])

    def parts() -> set[str]:
        found = {"unet": models[-1].unet, "text": models[-1].text_encoders[0], "vae": models[-1].vae}
        return {name for name, part in found.items() if any(isinstance(m, fp8._EightBit) for m in part.modules())}

    return parts


@pytest.mark.effect("fp8_base", "fp8_base_unet")
@pytest.mark.parametrize("mixed", ["no", "bf16"])
def test_the_losses_are_near_those_of_the_whole_weights(options_for, held, mixed):
    losses = {}
    for name, chosen, parts in (
        ("whole", {}, set()),
        ("unet", {"fp8_base_unet": True}, {"unet"}),
        ("both", {"fp8_base": True}, {"unet", "text"}),
        ("unet alone", {"fp8_base": True, "fp8_base_unet": True}, {"unet"}),
    ):
        reporter = Recorder()
        train(options_for(output_name=name, mixed_precision=mixed, **chosen), reporter=reporter)
        assert held() == parts
        losses[name] = reporter.losses
    for name in ("unet", "both"):
        assert losses[name] != losses["whole"]
        assert losses[name] == pytest.approx(losses["whole"], rel=0.05)
    assert losses["unet alone"] == losses["unet"]


def test_checkpointing_changes_no_loss(options_for):
    found = []
    for checkpointing in (False, True):
        reporter = Recorder()
        options = options_for(fp8_base=True, gradient_checkpointing=checkpointing, output_name=f"c{checkpointing}")
        path = train(options, reporter=reporter).path
        found.append((reporter.losses, load_file(path)))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)


@pytest.mark.parametrize("algo", ["lokr", "loha"])
def test_lycoris_reads_the_weights_as_they_are_computed_with(options_for, algo):
    pytest.importorskip("lycoris")
    losses = []
    for eight in (False, True):
        reporter = Recorder()
        chosen = {"network_module": "lycoris.kohya", "network_args": [f"algo={algo}"], "fp8_base_unet": eight}
        train(options_for(network_train_unet_only=True, max_train_steps=2, **chosen), reporter=reporter)
        losses.append(reporter.losses)
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


def test_a_lora_is_merged_into_weights_of_8_bits(options_for, tmp_path):
    first = load_file(train(options_for(max_train_steps=2, learning_rate=0.05, output_name="first"), reporter=Recorder()).path)
    save_file(first, tmp_path / "first.safetensors")
    losses = []
    for eight, base in ((False, True), (True, True), (False, False)):
        reporter = Recorder()
        chosen = {"base_weights": [str(tmp_path / "first.safetensors")]} if base else {}
        train(options_for(max_train_steps=1, fp8_base=eight, **chosen), reporter=reporter)
        losses += reporter.losses
    merged, eight, plain = losses
    assert abs(eight - merged) < abs(plain - merged) / 2


def test_a_graphics_processor_without_such_numbers_is_named(options_for):
    from lora_trainer.errors import InputError

    with pytest.raises(InputError, match="8 bits"):
        memory.holding(options_for(fp8_base=True).model, torch.device("mps"))
