"""The trained weights in the type that is computed in: one cast for all of them, with the numbers of a cast at each use."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lora_trainer.networks import copies
from lora_trainer.networks.dylora import DyLoRAModule, DyLoRANetwork
from lora_trainer.networks.module import Dropouts, LoRAModule
from lora_trainer.networks.network import Network
from lora_trainer.networks.targets import Target

LAYERS = {"linear": lambda: nn.Linear(12, 10), "conv": lambda: nn.Conv2d(12, 10, 3, padding=1)}
INPUTS = {"linear": (3, 5, 12), "conv": (3, 12, 5, 5)}


def made(
    kind: str, *, dylora: bool = False, dropouts: Dropouts | None = None, dtype: torch.dtype = torch.bfloat16
) -> tuple[nn.Module, Network]:
    """A frozen layer in bf16 with a trained float32 module on it; another `dtype` computes with the same numbers."""
    torch.manual_seed(0)
    layer = LAYERS[kind]().to(torch.bfloat16).to(dtype).requires_grad_(False)
    target = Target("lora_unet_x", layer, "unet")
    if dylora:
        network = DyLoRANetwork([(target, DyLoRAModule("lora_unet_x", layer, rank=4, alpha=2.0, unit=2))])
    else:
        network = Network([(target, LoRAModule("lora_unet_x", layer, rank=4, alpha=2.0, dropouts=dropouts))])
    network.seed = 1
    network._find_layers = lambda *_: {"lora_unet_x": layer}
    network.apply_to(None, None)
    for parameter in network.parameters():
        parameter.data.normal_().copy_(parameter.data.to(torch.bfloat16))
    return layer, network.train()


def gradients(
    kind: str, *, copied: bool, passes: int = 1, dtype: torch.dtype = torch.bfloat16, **how
) -> list[torch.Tensor | None]:
    """(output of the last pass, gradients of input and weights) of a step."""
    layer, network = made(kind, dtype=dtype, **how)
    network.computed = dtype if copied else None
    network.start_step(3)
    for number in range(passes):
        torch.manual_seed(number)
        x = torch.randn(INPUTS[kind]).to(torch.bfloat16).to(dtype).requires_grad_()
        y = layer(x)
        y.float().square().sum().backward()
    return [y.detach(), x.grad, *(parameter.grad for parameter in network.parameters())]


@pytest.fixture
def apart(monkeypatch):
    """Layers and modules compute apart."""
    monkeypatch.setattr(LoRAModule, "joins", lambda *_: False)


@pytest.mark.usefixtures("apart")
@pytest.mark.parametrize("how", [{}, {"dylora": True}, {"dropouts": Dropouts(neuron=0.5, rank=0.5)}], ids=str)
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("passes", [1, 3])
def test_outputs_and_gradients_have_the_bytes_of_a_cast_at_each_use(kind, passes, how):
    plain, shared = (gradients(kind, copied=copied, passes=passes, **how) for copied in (False, True))
    assert [one is None for one in plain] == [one is None for one in shared]
    assert all(one is None or torch.equal(one, two) for one, two in zip(plain, shared, strict=True))
    assert {one.dtype for one in shared[2:] if one is not None} == {torch.float32}


@pytest.mark.parametrize("dylora", [False, True])
@pytest.mark.parametrize("passes", [1, 3])
def test_layer_and_module_in_one_function_are_those_apart_with_fewer_roundings(monkeypatch, passes, dylora):
    joint = gradients("linear", copied=True, passes=passes, dylora=dylora)
    monkeypatch.setattr(LoRAModule, "joins", lambda *_: False)
    apart = gradients("linear", copied=True, passes=passes, dylora=dylora)
    exact = gradients("linear", copied=True, passes=passes, dylora=dylora, dtype=torch.float32)

    def error(found):
        pairs = [(one.float(), two) for one, two in zip(found, exact, strict=True) if two is not None]
        return [float((one - two).norm() / two.norm()) for one, two in pairs]

    assert [one is None for one in joint] == [one is None for one in exact]
    assert max(error(joint)) < 2**-7, "two roundings to 8 bits"
    assert sum(error(joint)) <= 1.5 * sum(error(apart)), "few numbers: the roundings of one are luck"


def test_an_input_that_asks_for_no_gradient_gets_none_and_a_strength_of_0_is_the_layer_alone():
    layer, network = made("linear")
    network.computed = torch.bfloat16
    network.start_step(1)
    x = torch.randn(INPUTS["linear"]).to(torch.bfloat16)
    layer(x).float().sum().backward()
    assert x.grad is None and all(parameter.grad is not None for parameter in network.parameters())
    network.set_multiplier(0.0)
    assert torch.equal(layer(x), nn.functional.linear(x, layer.weight, layer.bias))


@pytest.mark.usefixtures("apart")
def test_the_copies_last_until_the_optimizer_has_changed_the_weights():
    layer, network = made("linear")
    network.computed = torch.bfloat16
    (module,) = network.adapters()
    x = torch.ones(INPUTS["linear"], dtype=torch.bfloat16)
    network.start_step(1)
    before = layer(x)
    with torch.no_grad():
        module.lora_up.weight.mul_(2)
    assert torch.equal(layer(x), before), "all passes of a step compute with the same weights"
    network.end_step()
    after = layer(x)
    assert not torch.equal(after, before) and module.copies is None
    network.start_step(2)
    assert torch.equal(layer(x), after)
    assert "lora_unet_x.lora_up.weight" in network.state_dict() and len(network.training_state()) == 3, "copies are no state"


def test_weights_that_have_the_models_type_are_used_themselves():
    layer, network = made("linear")
    network.to(torch.bfloat16)
    network.computed = torch.bfloat16
    network.start_step(1)
    assert network.adapters()[0].copies is None


def test_what_is_not_trained_has_copies_without_gradients_and_what_took_no_part_has_none(monkeypatch):
    monkeypatch.setattr(copies, "TOGETHER", 2)
    weights = [nn.Parameter(torch.full((2,), float(number))) for number in range(5)]
    weights[1].requires_grad_(False)
    cast = copies.copies([[weight] for weight in weights], torch.bfloat16)
    assert [one.requires_grad for one in cast] == [True, False, True, True, True]
    assert all(torch.equal(one.float(), weight) for one, weight in zip(cast, weights, strict=True))
    for _ in range(2):  # the same copies, twice backwards
        (cast[0] * 3 + cast[1] + cast[4]).float().sum().backward()
    assert [None if weight.grad is None else weight.grad.tolist() for weight in weights] == [[6, 6], None, None, None, [2, 2]]
