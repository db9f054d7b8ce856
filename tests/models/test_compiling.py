"""The repeated blocks of a UNet are compiled once for all that are alike, and train the same.

With the cheapest backends, which show what PyTorch takes up; tests/gpu has inductor.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import torch._dynamo as dynamo
from diffusers import UNet2DConditionModel

from lora_trainer.errors import TrainingError
from lora_trainer.models import checkpointing, compiling
from lora_trainer.models.attention import set_attention
from lora_trainer.models.compiling import Way, compiled, regions
from lora_trainer.networks import registry

pytestmark = pytest.mark.skipif(
    not compiling.shares_blocks(), reason="PyTorch before 2.5 compiles layers with a LoRA in pieces"
)

SIZES = ((8, 8), (8, 16), (16, 8))
KINDS = 1  # of blocks


@pytest.fixture(scope="module")
def unet():
    """A UNet of diffusers with 6 transformers of one structure."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = UNet2DConditionModel(
            block_out_channels=(32,),
            down_block_types=("CrossAttnDownBlock2D",),
            up_block_types=("CrossAttnUpBlock2D",),
            cross_attention_dim=32,
            attention_head_dim=4,
        )
    set_attention(made, None, "torch")
    return made.requires_grad_(False).eval()


@pytest.fixture
def network_on(unet):
    """network_on(kind, **arguments): a network on the UNet, which is off again after the test."""
    made = []

    def on(kind="networks.lora", **arguments):
        network = registry.get(kind).create_network(1.0, 4, 4.0, None, [], unet, seed=1, **arguments)
        network.apply_to([], unet)
        network.train()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.01)
        made.append(network)
        return network

    dynamo.reset()
    dynamo.utils.counters.clear()
    yield on
    for network in made:
        network.restore()
    for part in (unet, *regions(unet)):
        part.__dict__.pop("forward", None)
    checkpointing.compute_twice(unet, ())


def graphs() -> int:
    return dynamo.utils.counters["stats"]["unique_graphs"]


def gradients(unet, network, size=SIZES[0], step=1):
    """The loss of a pass, and the gradients by names."""
    torch.manual_seed(step)
    network.zero_grad(set_to_none=True)
    network.start_step(step)
    latents, states = (torch.randn(shape, dtype=unet.dtype) for shape in ((1, 4, *size), (1, 7, 32)))
    loss = unet(latents, torch.tensor([10]), states).sample.square().mean()
    loss.backward()
    return loss.detach(), {name: parameter.grad for name, parameter in network.named_parameters()}


def assert_same(found, plain):
    assert found[0].item() == pytest.approx(plain[0].item(), rel=1e-5)
    for name, gradient in plain[1].items():
        other = found[1][name]
        if gradient is None:  # left out; within a graph that is a gradient of nothing
            assert other is None or not other.any(), name
        else:
            torch.testing.assert_close(other, gradient, rtol=1e-3, atol=1e-6)


@pytest.mark.effect("dynamo_use_regional_compilation")
def test_blocks_that_are_alike_are_compiled_once_and_another_size_once_more(unet, network_on):
    assert_compiled_once_a_size(unet, network_on(), SIZES[:2])


@pytest.mark.long  # compiling for three sizes and two strengths takes half a minute
def test_further_sizes_and_another_strength_are_compiled_once_each(unet, network_on):
    network = network_on()
    made, plain = assert_compiled_once_a_size(unet, network, SIZES)
    network.set_multiplier(0.5)
    weaker = gradients(unet, network)
    assert weaker[0].item() != pytest.approx(plain[0][0].item(), rel=1e-4)
    made.off()
    assert_same(weaker, gradients(unet, network))
    assert not dynamo.utils.counters["graph_break"]


def assert_compiled_once_a_size(unet, network, sizes):
    plain = [gradients(unet, network, size) for size in sizes]
    made = compiled(unet, Way("eager", regional=True))
    made.on()
    counts = []
    for size, expected in zip(sizes, plain, strict=True):
        assert_same(gradients(unet, network, size), expected)
        counts.append(graphs())
    assert len(made.parts) == 6 and counts[0] == KINDS
    assert all(after <= before + counts[0] for before, after in pairwise(counts))
    gradients(unet, network, sizes[0])
    with torch.no_grad():
        unet(torch.randn(1, 4, 24, 24), 1, torch.randn(1, 7, 32))
    assert graphs() == counts[-1], "sizes that were seen, and pictures, are not compiled again"
    made.off()
    assert torch.equal(gradients(unet, network, sizes[0])[0], plain[0][0])
    made.on()
    assert not dynamo.utils.counters["graph_break"]
    return made, plain


SHORT = "modules left out, convolutions"
LONG = pytest.mark.long  # ten seconds each
CASES = {
    "dropouts": ("networks.lora", {"rank_dropout": "0.2", "neuron_dropout": 0.2}),
    SHORT: ("networks.lora", {"module_dropout": "0.4", "conv_dim": "2"}),
    "ranks": ("networks.dylora", {"unit": "2"}),
    "computed twice": ("networks.lora", {}),
}


@pytest.mark.parametrize("case", [SHORT, *(pytest.param(case, marks=LONG) for case in CASES if case != SHORT)])
def test_compiled_blocks_train_the_same_in_one_piece(unet, network_on, case):
    kind, arguments = CASES[case]
    network = network_on(kind, **arguments)
    steps = (1, 2) if case == "ranks" else (1,)
    plain = [gradients(unet, network, step=step) for step in steps]
    if case == "computed twice":
        checkpointing.checkpoint_gradients(unet)
    compiled(unet, Way("eager", regional=True)).on()
    for step, expected in zip(steps, plain, strict=True):
        assert_same(gradients(unet, network, step=step), expected)
    assert not dynamo.utils.counters["graph_break"] and graphs() <= KINDS * len(steps)


def test_blocks_whose_layers_compute_together_are_compiled_once(unet, network_on):
    network = network_on()
    network.computed = torch.float64  # then a layer and its module are one function, as in half precision
    unet.double()
    try:
        plain = gradients(unet, network)
        compiled(unet, Way("eager", regional=True)).on()
        assert_same(gradients(unet, network), plain)
    finally:
        unet.float()
    assert not dynamo.utils.counters["graph_break"] and graphs() == KINDS


def test_what_is_compiled_too_often_goes_on_as_it_is_and_that_is_said(caplog):
    dynamo.reset()
    compiling._tell_once.cache_clear()
    layer = torch.nn.Linear(2, 2)
    compiled(layer, Way("eager")).on()
    with dynamo.config.patch(cache_size_limit=1):
        for count in (1, 2, 3):
            assert layer(torch.zeros(count, 2)).shape == (count, 2)
    assert caplog.text.count("what else comes is computed without compiling") == 1


def test_a_compiler_that_fails_is_said_with_what_to_do():
    def fails(*_):
        raise RuntimeError("no compiler here")

    layer = torch.nn.Linear(2, 2)
    compiled(layer, Way(fails)).on()
    with pytest.raises(TrainingError, match="cannot compile the UNet"):
        layer(torch.zeros(1, 2))
