"""DyLoRA: which ranks a step uses and trains, what is saved, and that every prefix is a LoRA of its own."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from lora_trainer.errors import InputError, InputErrors, LoraFileError
from lora_trainer.networks import applied, lora
from lora_trainer.networks.dylora import DyLoRAModule, DyLoRANetwork, create_network, create_network_from_weights
from lora_trainer.networks.files import group_keys, load, save
from lora_trainer.networks.functional import first_ranks
from lora_trainer.networks.targets import Target
from tests.closeness import SIDE, assert_same_outputs

from .conftest import GOLDEN, golden, outputs

TENSORS = load_file(GOLDEN / "network_math.safetensors")
KINDS = ["linear", "conv1x1", "conv3x3", "conv3x3stride2"]


def randomize(network, seed: int = 0, size: float = 0.1) -> None:
    generator = torch.Generator().manual_seed(seed)
    for adapter in network.adapters():
        down, up = adapter.factors()
        adapter.set_factors(down, torch.randn(up.shape, generator=generator) * size)


def make_layer(kind: str) -> nn.Module:
    weight, bias = TENSORS[f"{kind}.weight"], TENSORS[f"{kind}.bias"]
    if weight.ndim == 2:
        layer: nn.Module = nn.Linear(weight.shape[1], weight.shape[0])
    else:
        size = weight.shape[-1]
        layer = nn.Conv2d(*weight.shape[1::-1], size, stride=2 if "stride2" in kind else 1, padding=size // 2)
    layer.load_state_dict({"weight": weight, "bias": bias})
    return layer.requires_grad_(False)


def make_module(kind: str, unit: int = 2) -> tuple[nn.Module, DyLoRAModule]:
    layer = make_layer(kind)
    module = DyLoRAModule("lora_unet_x", layer, rank=8, alpha=4.0, unit=unit)
    module.set_factors(TENSORS[f"dylora.{kind}.down"], TENSORS[f"dylora.{kind}.up"])
    applied.add(layer, module)
    return layer, module


@pytest.mark.parametrize("kind", KINDS)
def test_the_full_rank_equals_the_reference_and_plain_lora(kind):
    layer, module = make_module(kind)
    x, expected = TENSORS[f"{kind}.x"], TENSORS[f"dylora.{kind}.drawn7.y"]
    for mode, active in ((False, 0), (True, None), (True, 3)):  # in evaluation the draw does not matter
        module.train(mode).active = active
        torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-5)
    plain = lora.LoRAModule("lora_unet_x", layer, rank=8, alpha=4.0)
    plain.set_factors(*module.factors())
    assert plain.state_dict().keys() == module.state_dict().keys()
    assert all(torch.equal(tensor, module.state_dict()[key]) for key, tensor in plain.state_dict().items())
    weight = layer.weight.clone()
    applied.remove(layer, module)
    applied.merge(layer, module)
    torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-5)
    applied.unmerge(layer, module)
    assert torch.equal(layer.weight, weight)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("active", range(4))
def test_a_step_uses_the_ranks_to_the_blocks_end_and_trains_the_block_alone(kind, active):
    layer, module = make_module(kind)
    x, rank = TENSORS[f"{kind}.x"], 2 * (active + 1)
    module.train().active = active
    y = layer(x)
    state = {f"a.{key}": tensor for key, tensor in module.state_dict().items()}
    cut = first_ranks(state, rank)
    prefix = lora.LoRAModule("lora_unet_x", layer, rank=rank, alpha=float(cut["a.alpha"]))
    prefix.set_factors(cut["a.lora_down.weight"], cut["a.lora_up.weight"])
    other = make_layer(kind)
    applied.add(other, prefix)
    torch.testing.assert_close(y, other(x), rtol=1e-5, atol=1e-5)
    y.square().sum().backward()
    other(x).square().sum().backward()
    for number, (down, up) in enumerate(zip(module.downs, module.ups, strict=True)):
        assert (down.grad is not None) == (up.grad is not None) == (number == active)
    part = slice(2 * active, rank)
    torch.testing.assert_close(module.downs[active].grad, prefix.lora_down.weight.grad[part], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(module.ups[active].grad, prefix.lora_up.weight.grad[:, part], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
@pytest.mark.parametrize("conv", ["", "_conv_dim16"])
def test_names_and_shapes_equal_the_reference(family, conv, request):
    recorded = golden(f"modules_{family}_dylora_dim16{conv}_unit4.json")
    text, unet = request.getfixturevalue(family)
    if family == "sdxl":  # the reference gives both text encoders one name, so that 192 of 264 modules are saved
        state = create_network(1.0, 16, 1.0, None, None, unet, **recorded["network_args"]).state_dict()
        expected = [row for row in recorded["state_dict"] if row[0].startswith("lora_unet_")]
        texts = create_network(1.0, 16, 1.0, None, text, None, **recorded["network_args"])
        assert len(texts.adapters()) == recorded["te_modules_created"] == len(group_keys(texts.state_dict()))
        assert {name[:8] for name in texts.state_dict()} == {"lora_te1", "lora_te2"}
    else:
        network = create_network(1.0, 16, 1.0, None, text, unet, **recorded["network_args"])
        state, expected = network.state_dict(), recorded["state_dict"]
        assert sum(p.numel() for p in network.parameters()) == recorded["trainable_parameters"]
    assert sorted([key, list(tensor.shape)] for key, tensor in state.items()) == expected
    assert {float(state[key]) for key in state if key.endswith(".alpha")} == {recorded["alpha_of_every_module"]}


def test_all_modules_train_the_same_block_drawn_from_seed_and_step(parts):
    def draws(seed: int, steps: int = 400) -> list[int]:
        network = create_network(1.0, 8, 4.0, None, parts[0], None, seed=seed, unit="2")
        found = []
        for step in range(1, steps + 1):
            network.start_step(step)
            active = {adapter.active for adapter in network.adapters()}
            assert len(active) == 1
            found += active
        return found

    first = draws(5)
    assert first == draws(5) and first != draws(6)
    counts = [first.count(block) for block in range(4)]
    assert sum(counts) == 400 and min(counts) > 70  # uniform: 100 each, with a spread of 9


def train(network, parts, steps: int = 6) -> None:
    text, unet = parts
    network.apply_to(text, unet)
    network.train()
    optimizer = torch.optim.AdamW(network.parameter_groups(1e-2, 1e-2, None), weight_decay=0.1)
    generator = torch.Generator().manual_seed(0)
    for step in range(1, steps + 1):
        network.start_step(step)
        states = text(torch.tensor([[49406, 320, 1125, 49407]])).last_hidden_state
        x = torch.randn(1, 4, SIDE, SIDE, generator=generator)
        unet(x, torch.tensor([500]), states).sample.square().mean().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    network.restore()
    network.eval()


def test_only_the_drawn_blocks_change_whatever_the_optimizer(parts):
    network = create_network(1.0, 8, 8.0, None, *parts, unit="2", conv_dim="8")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    train(network, parts, 2)
    drawn = set()
    for step in (1, 2):
        network.start_step(step)
        drawn.add(network.adapters()[0].active)
    assert 0 < len(drawn) < 4
    for key, tensor in network.state_dict().items():
        changed = {
            rank // 2
            for rank in range(8 if tensor.ndim else 0)
            if not torch.equal(tensor.select(int("lora_up" in key), rank), before[key].select(int("lora_up" in key), rank))
        }
        assert changed <= drawn
        if tensor.ndim and "lora_up" in key:
            assert changed == drawn, key


def test_every_prefix_comes_near_the_best_of_its_rank():
    """A layer learns a matrix with a falling spectrum; the best approximation of each rank is its truncated SVD."""
    generator = torch.Generator().manual_seed(0)
    left, _ = torch.linalg.qr(torch.randn(24, 24, generator=generator))
    right, _ = torch.linalg.qr(torch.randn(24, 24, generator=generator))
    singular = 0.7 ** torch.arange(24.0)
    wanted = left @ torch.diag(singular) @ right
    layer = nn.Linear(24, 24, bias=False)
    nn.init.zeros_(layer.weight).requires_grad_(False)
    module = DyLoRAModule("lora_unet_x", layer, rank=8, alpha=8.0, unit=2)
    network = DyLoRANetwork([(Target("lora_unet_x", layer, "unet"), module)])
    optimizer = torch.optim.AdamW(network.parameter_groups(None, None, 1e-2), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, 3000)
    network.train()
    for step in range(1, 3001):
        network.start_step(step)
        down, up = module.weights(torch.float32)
        change = up @ down
        (change - wanted).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        schedule.step()
    down, up = module.factors()
    errors = [(up[:, :rank] @ down[:rank] - wanted).norm().item() for rank in (2, 4, 6, 8)]
    best = [singular[rank:].norm().item() for rank in (2, 4, 6, 8)]
    assert errors == sorted(errors, reverse=True)
    assert all(error < 1.05 * least for error, least in zip(errors, best, strict=True)), (errors, best)


def test_a_part_with_rate_0_is_not_woken_by_the_draw(parts):
    network = create_network(1.0, 4, 4.0, None, *parts, unit="2")
    network.parameter_groups(0, 1e-3, None)
    network.start_step(1)
    assert not any(p.requires_grad for a in network.adapters("text_encoder") for p in a.parameters())
    assert all(sum(p.requires_grad for p in a.parameters()) == 2 for a in network.adapters("unet"))


def test_the_file_is_a_plain_lora_and_its_prefixes_are_what_was_trained(parts, tmp_path):
    network = create_network(1.0, 8, 4.0, None, *parts, unit="2", conv_dim="8", conv_alpha="2")
    train(network, parts)
    network.apply_to(*parts)
    expected = outputs(*parts)
    save(tmp_path / "dy.safetensors", network.state_dict())
    in_training = {}
    network.train()
    for rank in (2, 4, 6, 8):
        for adapter in network.adapters():
            adapter.active = rank // 2 - 1
        in_training[rank] = outputs(*parts)
    network.restore()
    tensors, _ = load(tmp_path / "dy.safetensors")
    for rank, wanted in [*in_training.items(), (9, expected)]:
        cut, weights = lora.create_network_from_weights(1.0, None, None, *parts, first_ranks(tensors, rank), True)
        assert {adapter.rank for adapter in cut.adapters()} == {min(rank, 8)}
        cut.apply_to(*parts)
        cut.load_state_dict(weights)
        assert_same_outputs(outputs(*parts), wanted)
        cut.restore()
    with pytest.raises(AssertionError):
        assert_same_outputs(in_training[2], in_training[8])


def test_going_on_from_a_file_takes_its_ranks_and_checks_the_unit(parts, tmp_path):
    network = create_network(1.0, 8, 4.0, None, *parts, unit="2")
    randomize(network)
    save(tmp_path / "dy.safetensors", network.state_dict())
    again, weights = create_network_from_weights(1.0, tmp_path / "dy.safetensors", None, *parts, unit="4", seed=3)
    again.load_state_dict(weights)
    assert all(len(adapter.downs) == 2 for adapter in again.adapters()) and again.seed == 3
    assert all(torch.equal(tensor, again.state_dict()[key]) for key, tensor in network.state_dict().items())
    assert not create_network(1.0, 8, 4.0, None, *parts).load_weights(tmp_path / "dy.safetensors").fresh
    with pytest.raises(LoraFileError, match="rank 8, which unit 3 does not divide"):
        create_network_from_weights(1.0, tmp_path / "dy.safetensors", None, *parts, unit="3")


def test_scale_weight_norms_shrinks_the_whole_product(parts):
    network = create_network(1.0, 4, 4.0, None, *parts, unit="1")
    randomize(network, size=1.0)
    shrunk, _, greatest = network.apply_max_norm(0.5).tolist()
    assert shrunk == len(network.adapters()) and greatest == pytest.approx(0.5, rel=1e-4)


@pytest.mark.parametrize("which", ["neuron", "rank", "module"])
def test_dropouts_act_in_training_only(parts, which):
    arguments = {"neuron_dropout": 0.5} if which == "neuron" else {f"{which}_dropout": "0.5"}
    network = create_network(1.0, 8, 8.0, None, *parts, unit="4", **arguments)
    randomize(network)
    network.apply_to(*parts)
    network.eval()
    still = outputs(*parts)
    assert all(torch.equal(a, b) for a, b in zip(outputs(*parts), still, strict=True))
    network.train()
    network.start_step(1)
    torch.manual_seed(0)
    assert not torch.equal(outputs(*parts)[1], outputs(*parts)[1])


def test_weights_per_block_count_here_too(parts):
    network = create_network(1.0, 4, 4.0, None, *parts, unit="2", mid_lr_weight="0", down_lr_weight="linear+0.5")
    groups = {group["name"]: group["lr"] for group in network.parameter_groups(None, None, 1e-3)}
    assert "unet_block12" not in groups and groups["unet_block24"] == 1e-3 and groups["unet_block1"] < 1e-3


@pytest.mark.parametrize(
    ("dim", "arguments", "words"),
    [
        (4, {"unit": "3"}, "unit is 3, which does not divide network_dim 4. Choose one of 1, 2, 4."),
        (4, {"unit": "0"}, "unit is 0; expected a whole number of at least 1"),
        (4, {"unit": "x"}, "unit is 'x'"),
        (4, {"unit": "8"}, "does not divide"),
        (4, {"conv_dim": "8"}, "conv_dim is 8; expected network_dim, 4"),
        (4, {"conv_dim": "0"}, "conv_dim is 0; expected network_dim, 4"),
        (4, {"block_dims": ",".join("4" * 25)}, "block_dims: all modules of a DyLoRA have one rank"),
        (4, {"units": "2"}, "does not know the argument 'units'"),
    ],
)
def test_wrong_arguments_say_what_was_expected(parts, dim, arguments, words):
    with pytest.raises((InputError, InputErrors)) as caught:
        create_network(1.0, dim, 1.0, None, *parts, **arguments)
    assert words in str(caught.value)
