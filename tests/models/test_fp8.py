"""Weights in 8 bits: how exact they are, what they take, and that gradients pass through them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lora_trainer.models import fp8, load
from lora_trainer.models.weights import TEXT, UNET, Holding
from lora_trainer.networks import lora


def narrowed(layer: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    """`layer`, whose path is "x", in 8 bits."""
    root = nn.ModuleDict({"x": layer})
    state = root.state_dict()
    layers = fp8.weights_of(root)
    with torch.device("meta"):
        for one in root.modules():
            one._parameters = {
                name: nn.Parameter(p.to("meta"), False) for name, p in one._parameters.items() if p is not None
            } | {name: None for name, p in one._parameters.items() if p is None}
    fp8.narrow(layers, dtype)
    filled = {name: tensor.to(dtype) for name, tensor in state.items() if name not in layers}
    root.load_state_dict(filled | fp8.stored("x.weight", state["x.weight"]), assign=True)
    return root.requires_grad_(False)["x"]


def test_each_channel_has_the_whole_range_of_the_format():
    """Weights of the sizes that models have: without a scale the smaller half would have two or three values left."""
    weight = torch.randn(64, 32, generator=torch.Generator().manual_seed(0)) * torch.logspace(-6, 1, 64)[:, None]
    found = fp8.dequantize(*fp8.quantize(weight), torch.float32)
    large = weight.abs() > weight.abs().amax(1, keepdim=True) / 100
    assert ((found - weight).abs() / weight.abs())[large].max() <= 2**-4
    plain = weight.to(torch.float8_e4m3fn).float()
    assert ((plain - weight).abs() / weight.abs())[:32].mean() > 10 * ((found - weight).abs() / weight.abs())[:32].mean()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_all_precisions_compute_with_the_same_weights_and_they_stay_when_held_anew(dtype):
    weight = torch.randn(16, 8, 3, 3, generator=torch.Generator().manual_seed(1)) * 0.03
    weight[0] = 0
    quantized, scale = fp8.quantize(weight)
    found = fp8.dequantize(quantized, scale, dtype)
    assert torch.equal(found.float(), fp8.dequantize(quantized, scale, torch.float32))
    again = fp8.quantize(found)
    assert torch.equal(fp8.dequantize(*again, dtype), found)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(12, 8), (2, 5, 12)),
        (nn.Linear(12, 8, bias=False), (3, 12)),
        (nn.Conv2d(4, 6, 3, stride=2, padding=1), (2, 4, 9, 7)),
        (nn.Conv2d(4, 6, 1), (1, 4, 5, 5)),
    ],
    ids=["linear", "without bias", "convolution", "1x1"],
)
def test_output_and_gradient_are_those_of_the_rounded_weight(layer, shape):
    plain = type(layer)(
        **{k: getattr(layer, k) for k in layer.__constants__ if k.startswith(("in_", "out_"))}, **geometry(layer)
    )
    eight = narrowed(layer)
    plain.weight.data = eight.weight.clone()
    x = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    if eight.bias is not None:
        plain.bias.data = eight.bias.data
    first, second = plain(a), eight(b)
    torch.testing.assert_close(second, first)
    (first**2).sum().backward()
    (second**2).sum().backward()
    torch.testing.assert_close(b.grad, a.grad)


def geometry(layer: nn.Module) -> dict:
    if isinstance(layer, nn.Linear):
        return {"bias": layer.bias is not None}
    return {"kernel_size": layer.kernel_size, "stride": layer.stride, "padding": layer.padding}


def test_the_backward_pass_keeps_the_bytes_and_not_the_weight():
    eight = narrowed(nn.Linear(64, 64))
    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        eight(torch.randn(2, 64, requires_grad=True))
    assert sum(tensor.nbytes for tensor in kept) <= 64 * 64 + 64 * 4


def size(module: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))


@pytest.mark.effect("fp8_base", "fp8_base_unet")
@pytest.mark.parametrize("parts", [(UNET,), (UNET, TEXT)], ids=["unet", "both"])
def test_a_model_in_8_bits_takes_little_more_than_a_byte_a_weight(tiny_sd1, parts):
    plain = load(tiny_sd1, dtype=torch.bfloat16, device="cpu")
    eight = load(tiny_sd1, dtype=torch.bfloat16, device="cpu", holding=Holding(eight_bit=parts))
    weights = sum(p.numel() for name, p in plain.unet.named_parameters() if p.ndim > 1)
    saved = size(plain.unet) - size(eight.unet)
    assert 0.9 * weights < saved < weights, "one byte of two, less the scales"
    assert eight.unet.dtype == eight.dtype == torch.bfloat16
    linear = size(plain.text_encoders[0]) - size(eight.text_encoders[0])
    assert (linear > 0) == (TEXT in parts)
    embeddings = eight.text_encoders[0].text_model.embeddings
    assert {p.dtype for p in embeddings.parameters()} == {torch.bfloat16}


def test_a_network_finds_the_same_layers_and_moving_the_model_keeps_its_bytes(tiny_sd1):
    plain = load(tiny_sd1, dtype=torch.float32, device="cpu")
    eight = load(tiny_sd1, dtype=torch.float32, device="cpu", holding=Holding(eight_bit=(UNET, TEXT)))
    networks = [lora.create_network(1.0, 4, 1.0, None, m.text_encoders, m.unet, conv_dim=4, seed=1) for m in (plain, eight)]
    states = [network.state_dict() for network in networks]
    assert states[0].keys() == states[1].keys()
    assert all(states[0][name].shape == states[1][name].shape for name in states[0])
    before = eight.unet.mid_block.attentions[0].proj_in.quantized.clone()
    eight.unet.to(torch.float16)
    assert torch.equal(eight.unet.mid_block.attentions[0].proj_in.quantized, before)
