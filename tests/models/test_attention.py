"""Attention and gradient checkpointing change speed and memory, not numbers."""

from __future__ import annotations

import inspect
import logging
import sys

import pytest
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0

from lora_trainer.models import load
from lora_trainer.models.checkpointing import checkpoint_gradients
from lora_trainer.models.plain_attention import PlainAttention
from tests.closeness import SIDE, UNET_LAYERS, UNET_TERMS, assert_same_but_for_rounding
from tests.counting import Operations


def test_xformers_that_is_missing_is_a_warning_and_torch_is_used(tiny_sd1, caplog, monkeypatch):
    monkeypatch.setitem(sys.modules, "xformers", None)
    with caplog.at_level(logging.WARNING):
        model = load(tiny_sd1, dtype=torch.float32, device="cpu", attention="xformers")
    assert "xformers cannot be used" in caplog.text
    assert {type(p).__name__ for p in model.unet.attn_processors.values()} == {"PlainAttention"}


def an_attention(**how):
    torch.manual_seed(0)
    return Attention(32, heads=4, dim_head=8, **how).eval()


CASES = {
    "self": ({}, None),
    "cross": ({"cross_attention_dim": 24, "bias": True}, (2, 7, 24)),
    "scaled": ({"rescale_output_factor": 2.0}, None),
    "residual and a norm": ({"residual_connection": True, "norm_num_groups": 4}, None),
    "norm of the text": ({"cross_attention_dim": 24, "cross_attention_norm": "layer_norm"}, (2, 7, 24)),
    "norms of heads": ({"qk_norm": "layer_norm"}, None),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("shape", [(2, 16, 32), (2, 32, 4, 4)], ids=["rows", "pictures"])
def test_attention_has_the_bytes_of_diffusers_own(case, shape):
    how, text = CASES[case]
    attention = an_attention(**how)
    x, words = torch.randn(shape), None if text is None else torch.randn(text)
    found = []
    for processor in (AttnProcessor2_0(), PlainAttention()):
        attention.set_processor(processor)
        given = x.clone().requires_grad_()
        y = attention(given, words)
        y.square().sum().backward()
        found.append((y, given.grad))
    assert torch.equal(found[0][0], found[1][0]) and torch.equal(found[0][1], found[1][1])


def test_attention_with_a_mask_is_diffusers_own():
    attention = an_attention()
    x, mask = torch.randn(2, 16, 32), torch.zeros(2, 1, 16).masked_fill(torch.arange(16) > 9, -10000.0)
    found = []
    for processor in (AttnProcessor2_0(), PlainAttention()):
        attention.set_processor(processor)
        found.append(attention(x, attention_mask=mask))
    assert torch.equal(*found)


def test_diffusers_finds_the_arguments_without_working_them_out(monkeypatch):
    attention = an_attention(cross_attention_dim=24)
    attention.set_processor(PlainAttention())
    monkeypatch.setattr(inspect, "_signature_from_function", lambda *_, **__: pytest.fail("worked out anew"))
    assert attention(torch.randn(2, 16, 32), torch.randn(2, 7, 24)).shape == (2, 16, 32)


def test_nothing_is_divided_by_one():
    attention = an_attention()
    attention.set_processor(PlainAttention())
    with Operations() as count:
        attention(torch.randn(2, 16, 32))
    assert count.by_name["addmm"] == 1 and count.by_name["mm"] == 3 and not count.by_name["div"]


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
