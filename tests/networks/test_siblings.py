"""Layers that read the same input compute their LoRA together, with the numbers of each by itself.

In float64, in which layers and modules are one function as in half precision, so that rounding hides nothing.
"""

from __future__ import annotations

import weakref

import pytest
import torch
from torch.nn.functional import linear

from lora_trainer.models import checkpointing
from lora_trainer.networks import registry
from lora_trainer.networks.joint import JointLinear
from lora_trainer.networks.siblings import Siblings
from tests.counting import Operations
from tests.networks.families import KINDS


@pytest.fixture(scope="module")
def parts():
    """([text encoder], UNet) of few layers in float64."""
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    blocks = {"down_block_types": ("CrossAttnDownBlock2D",), "up_block_types": ("CrossAttnUpBlock2D",)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        unet = UNet2DConditionModel(
            block_out_channels=(32,), layers_per_block=1, cross_attention_dim=32, attention_head_dim=4, **blocks
        )
        text = CLIPTextModel(
            CLIPTextConfig(vocab_size=9, hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2)
        )
    return [text.double().requires_grad_(False).eval()], unet.double().requires_grad_(False).eval()


@pytest.fixture
def network_on(parts):
    """network_on(kind, weights=None, **arguments): a trained network on the model, off again after the test."""
    made = []

    def on(kind="networks.lora", weights=None, **arguments):
        builder = registry.get(kind)
        if weights is None:
            network = builder.create_network(1.0, 4, 1.0, None, *parts, seed=1, **arguments)
        else:
            network, _ = builder.create_network_from_weights(1.0, None, None, *parts, weights, **arguments)
            network.load_state_dict(weights)
        network.apply_to(*parts)
        network.computed = torch.float64
        generator = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.normal_(0.0, 0.1, generator=generator)
        made.append(network)
        return network.train()

    yield on
    for network in made:
        network.restore()


@pytest.fixture
def apart(monkeypatch):
    """apart(): from now on each layer computes by itself."""
    return lambda: monkeypatch.setattr(Siblings, "can_join", lambda _: False)


def loss_of(parts, seed=1):
    (text,), unet = parts
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    words = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    states = text.text_model.encoder(inputs_embeds=words).last_hidden_state  # its masks do not exist in float64
    return unet(x, torch.tensor([500, 20]), states).sample.square().mean()


def step(parts, network, *, passes=1, step=1):
    """{what: its gradient, or the loss} of an optimizer step."""
    network.zero_grad(set_to_none=True)
    network.start_step(step)
    found = {}
    for number in range(passes):
        torch.manual_seed(number)  # of dropouts
        found["loss"] = loss_of(parts, number)
        found["loss"].backward()
    network.end_step()
    return {**found, **{name: parameter.grad for name, parameter in network.named_parameters()}}


def assert_same(found, expected):
    for name, one in expected.items():
        assert (one is None) == (found[name] is None), name
        if one is not None:  # the weights are float32, all else is not
            torch.testing.assert_close(found[name], one, rtol=1e-6, atol=1e-12, msg=lambda text, name=name: f"{name}: {text}")


def count_of(network, parts):
    """How many products and sums a step takes."""
    with Operations() as count:
        step(parts, network)
    return sum(count.by_name[name] for name in ("mm", "addmm", "addmm_", "add"))


CASES = {
    **KINDS,
    "ranks by block": ("networks.lora", {"block_dims": ",".join(str(2 + number % 3) for number in range(25))}),
    "dropouts": ("networks.lora", {"neuron_dropout": 0.2, "rank_dropout": "0.2", "module_dropout": "0.3"}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_step_has_the_gradients_of_each_layer_by_itself(parts, network_on, apart, case):
    kind, arguments = CASES[case]
    network = network_on(kind, **arguments)
    together = step(parts, network, passes=2)
    apart()
    assert_same(together, step(parts, network, passes=2))


def test_all_attentions_compute_together_in_fewer_operations(parts, network_on, apart):
    network = network_on()
    sizes = [len(one.modules) for one in network._siblings]
    assert sorted(set(sizes)) == [2, 3]
    few = count_of(network, parts)
    apart()
    # Products of the inner values and of their gradients, sums of the input's; the first text layer's input asks for none.
    assert count_of(network, parts) - few == 8 * sizes.count(3) + 4 * sizes.count(2) - 4


def test_only_those_that_have_a_module_and_modules_of_other_ranks_and_strengths(parts, network_on, apart):
    network = network_on(weights=some_of(registry.get("networks.lora").create_network(1.0, 4, 1.0, None, *parts)))
    assert {len(one.modules) for one in network._siblings} == {2, 3}, "the text encoder's have all three"
    assert sum(name.endswith("attn2_to_k") for name in network._targets) > 0, "without the values"
    assert len({module.rank for one in network._siblings for module in one.modules}) == 3
    assert len({module.scale for one in network._siblings for module in one.modules}) > 3
    together = step(parts, network)
    apart()
    assert_same(together, step(parts, network))


def some_of(network):
    """Weights of some of the network's modules, with other ranks and alphas."""
    weights = {}
    for number, (key, tensor) in enumerate(network.state_dict().items()):
        name, _, suffix = key.partition(".")
        rank = 2 + number // 3 % 3
        if name.endswith(("attn1_to_q", "attn2_to_v")) or ("down_blocks" in name and "attn1_to_v" in name):
            continue
        if suffix == "alpha":
            weights[key] = torch.tensor(0.5 + number % 5)
        else:
            weights[key] = tensor[:rank] if suffix.startswith("lora_down") else tensor[:, :rank]
    return weights


def test_computed_twice_and_with_another_strength(parts, network_on, apart):
    network = network_on(conv_dim="2")
    _, unet = parts
    plain = step(parts, network)
    checkpointing.checkpoint_gradients(unet)
    try:
        assert_same(step(parts, network), plain)
    finally:
        checkpointing.compute_twice(unet, ())
    network.set_multiplier(0.5, -0.25)
    weaker = step(parts, network)
    apart()
    assert_same(weaker, step(parts, network))
    assert weaker["loss"].item() != pytest.approx(plain["loss"].item(), rel=1e-6)


def test_with_another_network_on_some_of_its_layers_each_computes_by_itself(parts, network_on):
    network = network_on()
    alone = step(parts, network)
    other = network_on(weights=some_of(registry.get("networks.lora").create_network(1.0, 4, 1.0, None, *parts)))
    joined = {len([one for one in network._siblings if one.can_join()]), len(network._siblings)}
    assert len(joined) == 2, "those that the other network left out still do"
    both = step(parts, network)
    other.set_multiplier(0.0)
    without = step(parts, network)
    assert_same(without, alone)
    assert both["loss"].item() != pytest.approx(alone["loss"].item(), rel=1e-6)


def test_a_step_leaves_nothing_behind(parts, network_on):
    network = network_on()
    network.start_step(1)
    loss_of(parts)
    (one, *_) = network._siblings
    assert one._x is None and not one._made, "what all have taken is not held"
    copies = weakref.ref(one._down)
    network.end_step()
    assert copies() is None and all(module.together is None for module in network.adapters())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_three_layers_as_one_function_are_their_formula(dtype):
    torch.manual_seed(0)
    layers, downs, ups = [], [], []
    for out, rank, bias in ((12, 2, None), (20, 5, torch.randn(20)), (8, 3, None)):
        layers.append((torch.randn(out, 16), bias))
        downs.append(torch.randn(rank, 16))
        ups.append(torch.randn(out, rank))
    x, strengths = torch.randn(4, 6, 16), (0.25, 1.0, -2.0)

    def found(dtype, compute):
        given, low, *high = (tensor.bfloat16().to(dtype).requires_grad_() for tensor in (x, torch.cat(downs), *ups))
        frozen = [[part if part is None else part.bfloat16().to(dtype) for part in layer] for layer in layers]
        made = compute(given, low, frozen, high)
        loss = sum((number + 1) * one.double().square().mean() for number, one in enumerate(made))
        return [*made, *torch.autograd.grad(loss, [given, low, *high])]

    def joint(given, low, frozen, high):
        each = [part for layer, up in zip(frozen, high, strict=True) for part in (*layer, up)]
        return JointLinear.apply(given, low, strengths, *each)

    def formula(given, low, frozen, high):
        parts = zip(frozen, low.split([2, 5, 3]), high, strengths, strict=True)
        return [linear(given, weight, bias) + s * linear(linear(given, down), up) for (weight, bias), down, up, s in parts]

    for one, exact in zip(found(dtype, joint), found(torch.float64, formula), strict=True):
        assert one.dtype == dtype and one.shape == exact.shape
        # bfloat16: a rounding of 2**-9 each of the inner values, the outputs, their gradients and the result
        most = 1e-12 if dtype == torch.float64 else 4 * 2**-8
        assert (one.double() - exact).norm().item() / exact.norm().item() < most


def test_who_is_called_first_computes_for_all_that_read_the_very_same(parts, network_on):
    network = network_on()
    network.start_step(1)
    one = next(one for one in network._siblings if len(one.layers) == 3)
    q, k, v = one.layers
    x, other = torch.randn(2, 3, q.in_features, dtype=torch.float64), torch.randn(2, 3, q.in_features, dtype=torch.float64)
    expected = {layer: [layer.forward(given) for given in (x.clone(), other.clone())] for layer in one.layers}
    for order in ((q, k, v), (v, k, q), (q, q, k), (k,)):
        for layer in order:
            assert torch.equal(layer(x), expected[layer][0])
    assert torch.equal(q(other), expected[q][1]) and torch.equal(v(x), expected[v][0]), "one was broken off"
    assert torch.equal(k(other), expected[k][1])
