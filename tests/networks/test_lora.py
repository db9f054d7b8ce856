"""One layer's maths against recorded outputs; initial weights; dropouts; arguments."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from lora_trainer.errors import InputError, InputErrors
from lora_trainer.networks import applied, functional, lengths
from lora_trainer.networks.arguments import parse_network_args
from lora_trainer.networks.lora import create_network
from lora_trainer.networks.module import Dropouts, LoRAModule
from lora_trainer.networks.network import Network
from lora_trainer.networks.targets import Target

from ..counting import Operations
from .conftest import GOLDEN, golden

TENSORS = load_file(GOLDEN / "network_math.safetensors")
CASES = golden("network_math.json")["cases"]
LORA_CASES = [case for case in CASES if case["case"].startswith("lora.")]
NORM_CASES = [case for case in CASES if case["case"].startswith("maxnorm")]


def make_layer(kind: str) -> nn.Module:
    weight, bias = TENSORS[f"{kind}.weight"], TENSORS[f"{kind}.bias"]
    if weight.ndim == 2:
        layer = nn.Linear(weight.shape[1], weight.shape[0])
    else:
        size = weight.shape[-1]
        layer = nn.Conv2d(*weight.shape[1::-1], size, stride=2 if "stride2" in kind else 1, padding=size // 2)
    layer.load_state_dict({"weight": weight, "bias": bias})
    return layer.requires_grad_(False)


@pytest.mark.parametrize("case", LORA_CASES, ids=lambda case: case["case"])
def test_output_and_merged_weight_equal_the_reference(case):
    name = case["case"]
    kind = name.split(".")[1]
    layer, x = make_layer(kind), TENSORS[f"{kind}.x"]
    base = layer(x)
    torch.testing.assert_close(base, TENSORS[f"{kind}.base"], rtol=1e-5, atol=1e-5)
    module = LoRAModule("lora_unet_x", layer, rank=case["dim"], alpha=case["alpha_given"])
    module.multiplier = case["multiplier"]
    module.lora_down.weight.data.copy_(TENSORS[f"{name}.down"])
    module.lora_up.weight.data.copy_(TENSORS[f"{name}.up"])
    module.refresh()
    assert float(module.alpha) == case["alpha_stored"]
    assert module.scale == pytest.approx(case["scale"])
    applied.add(layer, module)
    torch.testing.assert_close(layer(x), TENSORS[f"{name}.y"], rtol=1e-5, atol=1e-5)
    applied.remove(layer, module)
    assert torch.equal(layer(x), base) and "forward" not in layer.__dict__
    original = layer.weight.clone()
    applied.merge(layer, module)
    torch.testing.assert_close(layer(x), TENSORS[f"{name}.y"], rtol=1e-5, atol=1e-5)
    applied.unmerge(layer, module)
    assert torch.equal(layer.weight, original)


@pytest.mark.parametrize("case", NORM_CASES, ids=lambda case: case["case"])
def test_scale_weight_norms_equals_the_reference(case):
    pairs = []
    for kind in ("linear", "conv1x1", "conv3x3", "conv3x3stride2"):
        layer = make_layer(kind)
        module = LoRAModule(f"m_{kind}", layer, rank=case["dim"], alpha=case["alpha"])
        module.lora_down.weight.data.copy_(TENSORS[f"lora.{kind}.a1.0.d4.m1.0.down"] * (0.3 if kind == "linear" else 1.0))
        module.lora_up.weight.data.copy_(TENSORS[f"lora.{kind}.a1.0.d4.m1.0.up"])
        pairs.append((Target(module.lora_name, layer, "unet"), module))
    network = Network(pairs, multiplier=0.3)
    shrunk, mean, greatest = network.apply_max_norm(case["scale_weight_norms"]).tolist()
    assert shrunk == case["keys_scaled"]
    assert mean == pytest.approx(case["mean_norm_returned"], rel=1e-5)
    assert greatest == pytest.approx(case["max_norm_returned"], rel=1e-5)
    for key, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, TENSORS[f"{case['case']}.{key}"], rtol=1e-5, atol=1e-5)


def many(count: int, *, spread: float = 1.0) -> Network:
    """A network on `count` layers of each of three shapes, with random weights of growing size."""
    generator, pairs = torch.Generator().manual_seed(3), []
    for number in range(count):
        for kind, layer in (("a", nn.Linear(6, 8)), ("b", nn.Conv2d(6, 8, 3)), ("c", nn.Linear(8, 8))):
            module = LoRAModule(f"m_{kind}{number}", layer, rank=3, alpha=2)
            for parameter in module.parameters():
                parameter.data = torch.randn(parameter.shape, generator=generator) * spread * (1 + number)
            pairs.append((Target(module.lora_name, layer, "unet"), module))
    return Network(pairs)


def test_lengths_are_limited_in_as_many_operations_as_there_are_shapes():
    counts = []
    for layers in (2, 40):
        network = many(layers)
        with Operations() as operations:
            network.apply_max_norm(1.0)
        counts.append(operations.total)
    assert counts[0] == counts[1] <= 81, operations.by_name


@pytest.mark.parametrize("together", [1 << 22, 100])
def test_lengths_limited_together_are_those_limited_one_by_one(monkeypatch, together):
    monkeypatch.setattr(lengths, "_TOGETHER", together)
    network, before = many(5, spread=0.1), many(5, spread=0.1)
    norms = [functional.delta_norm(*module.factors(), module.scale) for module in before.adapters()]
    limit = float(torch.stack(norms).median())
    found = network.apply_max_norm(limit)
    for module, old, norm in zip(network.adapters(), before.adapters(), norms, strict=True):
        root = (limit / norm).clamp(max=1.0).sqrt()
        for new, kept in zip(module.parameters(), old.parameters(), strict=True):
            torch.testing.assert_close(new, kept * root, rtol=1e-6, atol=0)
            assert norm > limit or torch.equal(new, kept)
    assert found[0] == sum(norm > limit for norm in norms) > 3
    assert found[2] == pytest.approx(limit, rel=1e-5)


def test_norm_of_the_change_needs_no_full_matrix():
    down, up = torch.randn(4, 9, 3, 3), torch.randn(7, 4, 1, 1)
    torch.testing.assert_close(functional.delta_norm(down, up, -0.5), functional.delta(down, up, -0.5).norm())


def test_new_module_changes_nothing_and_its_weights_depend_on_seed_and_name_alone():
    layer = nn.Conv2d(6, 8, 3)
    torch.manual_seed(1)
    one = LoRAModule("lora_unet_a", layer, rank=4, alpha=1, seed=5)
    torch.manual_seed(2)
    two = LoRAModule("lora_unet_a", layer, rank=4, alpha=1, seed=5)
    assert torch.equal(one.lora_down.weight, two.lora_down.weight)
    for name, seed in (("lora_unet_b", 5), ("lora_unet_a", 6)):
        assert not torch.equal(one.lora_down.weight, LoRAModule(name, layer, rank=4, alpha=1, seed=seed).lora_down.weight)
    assert not one.lora_up.weight.any()


def test_initial_down_is_uniform_with_the_spread_of_kaiming():
    drawn = functional.initial_down((64, 400), 0, "x")
    reference = nn.init.kaiming_uniform_(torch.empty(64, 400), a=5**0.5)
    assert drawn.abs().max() <= 1 / 20 and drawn.abs().max() > 0.0499
    assert drawn.std().item() == pytest.approx(reference.std().item(), rel=0.02)
    assert abs(drawn.mean().item()) < 1e-3


def make_trained(dropouts: Dropouts, kind: str = "linear", rank: int = 64) -> tuple[nn.Module, LoRAModule]:
    layer = make_layer(kind)
    module = LoRAModule("lora_unet_x", layer, rank=rank, alpha=rank, dropouts=dropouts)
    module.lora_up.weight.data.normal_(generator=torch.Generator().manual_seed(0))
    applied.add(layer, module)
    return layer, module


@pytest.mark.parametrize("kind", ["linear", "conv3x3"])
@pytest.mark.parametrize("which", ["neuron", "rank", "module"])
def test_dropout_acts_in_training_only(which, kind):
    layer, module = make_trained(Dropouts(**{which: 0.5}), kind)
    plain_layer, plain = make_trained(Dropouts(), kind)
    x = TENSORS[f"{kind}.x"]
    module.eval()
    assert torch.equal(layer(x), plain_layer(x))
    module.train()
    torch.manual_seed(0)
    draws = torch.stack([layer(x) for _ in range(400)])
    assert not torch.equal(draws[0], draws[1]) or which == "module"
    base, full = layer.forward.__self__.original(x), plain_layer(x)
    change = (draws.mean(0) - base).norm() / (full - base).norm()
    expected = 0.5 if which == "module" else 1.0  # the reference does not make up for modules that are left out
    assert change.item() == pytest.approx(expected, rel=0.15)
    if which == "module":
        assert {torch.equal(draw, base) for draw in draws} == {True, False}


def test_rank_dropout_leaves_out_whole_ranks_of_one_image():
    layer, module = make_trained(Dropouts(rank=0.5), rank=4)
    nn.init.eye_(module.lora_up.weight)  # the first channels of the change are the inner values
    torch.manual_seed(0)
    x = torch.rand(8, 5, 12) + 1.0
    off = (layer(x) == layer.forward.__self__.original(x))[..., :4]
    assert off.any() and not off.all()
    assert torch.equal(off.all(dim=1), off.any(dim=1))  # the same for all tokens of an image


@pytest.mark.parametrize("compute", [torch.float16, torch.bfloat16])
def test_half_precision_layers_with_float32_lora_work_with_and_without_autocast(compute):
    layer, module = make_trained(Dropouts(), rank=4)
    x = TENSORS["linear.x"]
    expected = layer(x)
    layer.to(compute)
    try:
        layer.forward.__self__.original(x.to(compute))
    except RuntimeError:
        pytest.skip("this torch has no such layers on the CPU at all")
    y = layer(x.to(compute))
    assert y.dtype == compute
    torch.testing.assert_close(y.float(), expected, rtol=0.05, atol=0.1)
    if compute is torch.bfloat16:
        with torch.autocast("cpu", dtype=compute):
            y = layer(x)
        assert y.dtype == compute
        y.float().sum().backward()
        assert module.lora_up.weight.grad.dtype == torch.float32


def test_half_precision_keeps_alpha_exact():
    module = LoRAModule("x", nn.Linear(8, 8), rank=3, alpha=0.1)
    before = module.strength
    module.to(torch.bfloat16)
    module.refresh()
    assert module.strength == before
    assert module.alpha.dtype == torch.float32 and module.state_dict()["alpha"] == torch.tensor(0.1)
    assert module.lora_up.weight.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"conv_dim": "x"}, "conv_dim is 'x'; expected a whole number"),
        ({"conv_dim": "-1"}, "at least 0"),
        ({"conv_dim": "2.5"}, "expected a whole number"),
        ({"conv_alpha": "1"}, "without conv_dim"),
        ({"conv_dim": "2", "conv_alpha": "-1"}, "at least 0"),
        ({"conv_dim": "2", "conv_alpha": "nan"}, "expected a number"),
        ({"rank_dropout": "1"}, "below 1"),
        ({"nonsense": "1"}, "does not know the argument 'nonsense'"),
        ({"conv_dims": "1"}, "Did you mean conv_dim?"),
        ({"dropout": "0.1"}, "It is an option of its own: network_dropout."),
        ({"algo": "lora"}, "It is for network_module lycoris.kohya."),
    ],
)
def test_wrong_arguments_are_refused_with_what_was_expected(parts, arguments, words):
    with pytest.raises((InputError, InputErrors)) as caught:
        create_network(1.0, 4, 1.0, None, *parts, **arguments)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("dim", "alpha", "field"), [(0, 1.0, "network_dim"), (-1, 1.0, "network_dim"), (4, -1.0, "network_alpha")]
)
def test_rank_and_alpha_out_of_range_name_their_option(parts, dim, alpha, field):
    with pytest.raises(InputError) as caught:
        create_network(1.0, dim, alpha, None, *parts)
    assert caught.value.field == field


def test_rank_left_out_is_4_and_alpha_0_is_the_rank(parts):
    network = create_network(1.0, None, None, None, *parts)
    assert {(adapter.rank, float(adapter.alpha)) for adapter in network.adapters()} == {(4, 1.0)}
    network = create_network(1.0, 3, 0, None, *parts, conv_dim="2")
    found = {(adapter.lora_down.weight.ndim, adapter.rank, float(adapter.alpha)) for adapter in network.adapters()}
    conv = {adapter.rank for adapter in network.adapters() if adapter.lora_down.weight.shape[2:] == (3, 3)}
    assert conv == {2} and (2, 3, 3.0) in found and (4, 3, 3.0) in found


def test_network_args_are_parsed_and_every_mistake_is_reported():
    assert parse_network_args(["conv_dim=2", " conv_alpha = 0.5", "x=a=b"]) == {
        "conv_dim": "2",
        "conv_alpha": "0.5",
        "x": "a=b",
    }
    assert parse_network_args(None) == {}
    with pytest.raises(InputErrors) as caught:
        parse_network_args(["conv_dim", "=1", "a=1", "a=2"])
    assert len(caught.value.errors) == 3 and {error.field for error in caught.value.errors} == {"network_args"}
