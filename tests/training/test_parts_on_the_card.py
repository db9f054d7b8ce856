"""Which part of a base model is on the card when: VAE, text encoders, and the UNet last."""

from __future__ import annotations

from itertools import groupby

import psutil
import pytest
import torch

from lora_trainer.models import load
from lora_trainer.models.weights import Holding
from lora_trainer.options.model import ModelOptions
from lora_trainer.training import memory, prepare
from lora_trainer.training.train import train

from .conftest import Recorder

CARD = torch.device("cuda")


def test_a_unet_that_waits_is_read_into_main_memory_and_the_other_parts_to_the_device(tiny_sd1):
    """The device is one without numbers here."""
    for waits, place in ((True, "cpu"), (False, "meta")):
        model = load(tiny_sd1, dtype=torch.float32, device="meta", holding=Holding(unet_waits=waits))
        assert {tensor.device.type for tensor in model.unet.parameters()} == {place}
        assert {tensor.device.type for part in (model.vae, *model.text_encoders) for tensor in part.parameters()} == {"meta"}


@pytest.mark.parametrize("trains", [{}, {"network_train_unet_only": True}])
def test_the_unet_comes_when_images_and_captions_are_encoded(options_for, monkeypatch, trains):
    monkeypatch.setattr(memory, "unet_waits", lambda options, device: True)
    order: list[str] = []
    move, real = torch.nn.Module.to, prepare.load
    models = []

    def to(self, *args, **kwargs):
        if models and self is models[0].unet:
            order.append("it comes")
        return move(self, *args, **kwargs)

    def loaded(*args, holding, **kwargs):
        assert holding.unet_waits
        model = real(*args, holding=holding, **kwargs)
        for part, name in ((model.vae, "vae"), (model.text_encoders[0], "text"), (model.unet, "unet")):
            inner = part.encoder if name == "vae" else part
            inner.register_forward_pre_hook(lambda *_, name=name: order.append(name))
        models.append(model)
        return model

    monkeypatch.setattr(torch.nn.Module, "to", to)
    monkeypatch.setattr(prepare, "load", loaded)
    train(options_for(max_train_steps=1, **trains), reporter=Recorder())
    kinds = [name for name, _ in groupby(order)]
    assert kinds == (["vae", "text", "it comes", "unet"] if trains else ["vae", "it comes", "text", "unet"])


@pytest.mark.parametrize(
    ("chosen", "free", "main", "waits"),
    [
        ({}, 2.0, 10.0, True),
        ({}, 3.0, 10.0, False),  # all of it has room on the card
        ({}, 2.0, 1.1, False),  # main memory has none
        ({"lowram": True}, 2.0, 10.0, False),
        ({"highvram": True}, 2.0, 10.0, False),
        ({"fp8_base": True}, 2.0, 10.0, False),
        ({"blocks_to_swap": 3}, 2.0, 10.0, False),
    ],
)
def test_it_waits_where_the_card_is_small_and_main_memory_has_room(tiny_sd1, monkeypatch, chosen, free, main, waits):
    size = tiny_sd1.stat().st_size
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (int(free * size), 0))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": int(main * size)}))
    options = ModelOptions(pretrained_model_name_or_path=str(tiny_sd1), **chosen)
    assert memory.unet_waits(options, CARD) == waits
    assert not memory.unet_waits(options, torch.device("cpu"))
    assert not memory.unet_waits(ModelOptions(pretrained_model_name_or_path="someone/model", **chosen), CARD), "not here yet"
