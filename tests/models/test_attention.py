"""Attention and gradient checkpointing change speed and memory, not numbers."""

from __future__ import annotations

import logging
import sys

import torch

from lora_trainer.models import load
from lora_trainer.models.checkpointing import checkpoint_gradients
from tests.closeness import SIDE, UNET_LAYERS, UNET_TERMS, assert_same_but_for_rounding


def test_xformers_that_is_missing_is_a_warning_and_torch_is_used(tiny_sd1, caplog, monkeypatch):
    monkeypatch.setitem(sys.modules, "xformers", None)
    with caplog.at_level(logging.WARNING):
        model = load(tiny_sd1, dtype=torch.float32, device="cpu", attention="xformers")
    assert "xformers cannot be used" in caplog.text
    assert {type(p).__name__ for p in model.unet.attn_processors.values()} == {"AttnProcessor2_0"}


def trained_layers(model) -> list[torch.nn.Parameter]:
    """A trainable addition to the first and last attention of both networks, by hooks on frozen layers as LoRA does it."""
    added = []
    layers = [
        model.unet.down_blocks[0].attentions[0].transformer_blocks[0].attn1.to_q,
        model.unet.up_blocks[3].attentions[2].transformer_blocks[0].attn2.to_v,
        model.text_encoders[0].text_model.encoder.layers[0].self_attn.q_proj,
    ]
    for layer in layers:
        weight = torch.nn.Parameter(torch.full((layer.out_features, layer.in_features), 0.01))
        layer.register_forward_hook(lambda _, inputs, output, weight=weight: output + inputs[0] @ weight.T)
        added.append(weight)
    return added


def test_checkpointing_gives_the_same_loss_and_gradients_to_hooks_on_frozen_layers(tiny_sd1):
    results = []
    for checkpointed in (False, True):
        model = load(tiny_sd1, dtype=torch.float32, device="cpu")
        weights = trained_layers(model)
        calls = 0
        if checkpointed:
            checkpoint_gradients(model.unet, model.text_encoders)

            def count(*_):
                nonlocal calls
                calls += 1

            model.unet.down_blocks[0].resnets[1].register_forward_pre_hook(count)
            model.text_encoders[0].text_model.encoder.layers[1].mlp.register_forward_pre_hook(count)
        latents = torch.randn(1, 4, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
        loss = model.predict(latents, torch.tensor([7]), model.encode(["a cat"])).square().mean()
        loss.backward()
        assert calls == (4 if checkpointed else 0)  # each block runs once more in the backward pass
        results.append((loss.detach(), [weight.grad for weight in weights]))
    (loss, gradients), (loss_checkpointed, gradients_checkpointed) = results
    assert_same_but_for_rounding(loss, loss_checkpointed, terms=UNET_TERMS, layers=UNET_LAYERS)
    assert all(g.abs().max() > 0 for g in gradients)
    for one, two in zip(gradients, gradients_checkpointed, strict=True):
        assert_same_but_for_rounding(one, two, terms=UNET_TERMS, layers=2 * UNET_LAYERS)
