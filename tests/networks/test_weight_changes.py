"""Files of every kind of network, without metadata: they change what LyCORIS' own package changes, or one clear sentence."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lora_trainer.errors import LoraFileError
from lora_trainer.networks.merged import MergedNetwork
from lora_trainer.networks.weight_changes import Unfit, change_of

from .conftest import outputs

SHAPES = {"linear": (12, 8), "conv": (12, 8, 3, 3), "conv1x1": (12, 8, 1, 1)}


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 0.3


def layer_of(shape) -> nn.Module:
    layer = nn.Linear(shape[1], shape[0]) if len(shape) == 2 else nn.Conv2d(*shape[1::-1], shape[2:], padding=shape[2] // 2)
    with torch.no_grad():
        layer.weight.copy_(draw(*shape, seed=99))
    return layer.requires_grad_(False)


def theirs(algorithm: str, shape, **arguments) -> tuple[dict[str, Tensor], nn.Module, Tensor, Tensor]:
    """(tensors, layer, x, what comes out of the layer) of a module of LyCORIS' own package with drawn factors."""
    lycoris = pytest.importorskip("lycoris.modules")
    kinds = {
        "lora": lycoris.LoConModule, "loha": lycoris.LohaModule, "lokr": lycoris.LokrModule, "oft": lycoris.DiagOFTModule,
        "ia3": lycoris.IA3Module, "full": lycoris.FullModule,
    }  # fmt: skip
    layer = layer_of(shape)
    made = kinds[algorithm]("x", layer, 1.0, arguments.pop("rank", 3), arguments.pop("alpha", 2.0), **arguments)
    with torch.no_grad():
        for number, (name, parameter) in enumerate(made.named_parameters()):
            if "dora_scale" in name or "rescale" in name:
                parameter.mul_(1 + draw(*parameter.shape, seed=number).abs())
            else:
                parameter.copy_(draw(*parameter.shape, seed=number))
        tensors = {name: tensor.detach().clone() for name, tensor in made.state_dict().items()}
        x = draw(2, 5, 8, seed=7) if len(shape) == 2 else draw(2, 8, 5, 5, seed=7)
        made.apply_to()
        out = layer(x)
        made.restore()
    return tensors, layer, x, out


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize(
    ("algorithm", "arguments"),
    [
        ("lora", {}),
        ("lora", {"use_tucker": True}),
        ("lora", {"weight_decompose": True}),
        ("lora", {"weight_decompose": True, "wd_on_out": False}),
        ("loha", {}),
        ("loha", {"use_tucker": True}),
        ("loha", {"weight_decompose": True}),
        ("lokr", {"rank": 1, "decompose_both": True, "factor": 4}),
        ("lokr", {"rank": 1, "factor": 2}),
        ("lokr", {"rank": 1, "use_tucker": True, "factor": 2}),
        ("lokr", {"rank": 64}),
        ("lokr", {"rank": 1, "factor": 2, "weight_decompose": True}),
        ("oft", {"rank": 4}),
        ("oft", {"rank": 4, "rescaled": True}),
        ("oft", {"rank": 4, "constraint": 0.01}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value) or "plain",
)
def test_the_change_is_that_of_lycoris_own_package(algorithm, arguments, kind):
    tensors, layer, x, expected = theirs(algorithm, SHAPES[kind], **arguments)
    before = layer(x)
    change = change_of(tensors, layer.weight)
    assert change.bias is None
    layer.weight += change.weight
    assert (expected - before).norm() > 0.001 * before.norm()
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)


def test_full_changes_biases_norms_and_sparse_rests():
    weight = draw(12, 8)
    change = change_of({"diff": draw(12, 8, seed=1), "diff_b": draw(12, seed=2)}, weight)
    torch.testing.assert_close(change.weight, draw(12, 8, seed=1))
    torch.testing.assert_close(change.bias, draw(12, seed=2))
    norm = change_of({"w_norm": draw(12, seed=3), "b_norm": draw(12, seed=4)}, draw(12))
    torch.testing.assert_close(norm.weight, draw(12, seed=3))
    torch.testing.assert_close(norm.bias, draw(12, seed=4))
    pair = {"lora_up.weight": draw(12, 2), "lora_down.weight": draw(2, 8), "alpha": torch.tensor(1.0)}
    sparse = {
        "bias_indices": torch.tensor([[3], [5]]), "bias_values": torch.tensor([0.5]), "bias_size": torch.tensor([12, 8]),
    }  # fmt: skip
    difference = change_of(pair | sparse, weight).weight - change_of(pair, weight).weight
    assert difference[3, 5] == pytest.approx(0.5) and difference.count_nonzero() == 1
    stretched = change_of({"weight": draw(8), "on_input": torch.tensor(True)}, weight).weight
    torch.testing.assert_close(stretched, weight * draw(8))


def test_a_missing_alpha_is_the_rank_and_float8_is_read():
    pair = {"lora_up.weight": draw(12, 2), "lora_down.weight": draw(2, 8)}
    torch.testing.assert_close(change_of(pair, draw(12, 8)).weight, draw(12, 2) @ draw(2, 8))
    small = {name: tensor.to(torch.float8_e4m3fn) for name, tensor in pair.items()}
    assert change_of(small, draw(12, 8)).weight.isfinite().all()


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"hada_w1_a": draw(12, 2)}, "do not belong together"),
        ({"hada_w1_a": draw(12, 2), "hada_w1_b": draw(3, 8), "hada_w2_a": draw(12, 2), "hada_w2_b": draw(2, 8)}, "together"),
        ({"lora_up.weight": draw(10, 2), "lora_down.weight": draw(2, 8)}, r"shape \[10, 8\], here it is \[12, 8\]"),
        ({"oft_blocks": draw(2, 3, 3)}, "no rotation of 12 rows"),
        ({"oft_blocks": draw(1, 2, 3, 3)}, "BOFT"),
        ({"a1.weight": draw(2, 2)}, "GLoRA"),
        ({"lora_up.weight": draw(12, 2), "lora_down.weight": draw(2, 8), "dora_scale": draw(5)}, "dora_scale"),
        ({"alpha": draw(2)}, "expected one number"),
        ({"strange": draw(2)}, "a kind that is not known here"),
    ],
)
def test_what_does_not_fit_is_said(tensors, words):
    with pytest.raises(Unfit, match=words):
        change_of(tensors, draw(12, 8))


QUERY = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
NORM, TEXT = "lora_unet_down_blocks_0_resnets_0_norm1", "lora_te_text_model_encoder_layers_0_mlp_fc1"


def file_for(text, unet) -> dict[str, Tensor]:
    layers = dict(unet.named_modules())
    out, width = layers["down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"].weight.shape
    channels = layers["down_blocks.0.resnets.0.norm1"].weight.shape[0]
    fc = next(layer for name, layer in text.named_modules() if name.endswith("layers.0.mlp.fc1"))
    halves = {"hada_w1_a": draw(out, 2), "hada_w1_b": draw(2, width), "hada_w2_a": draw(out, 2), "hada_w2_b": draw(2, width)}
    return {
        **{f"{QUERY}.{name}": tensor for name, tensor in halves.items()},
        f"{QUERY}.alpha": torch.tensor(2.0),
        f"{QUERY}.diff_b": draw(out),  # the layer has no bias of its own
        f"{NORM}.w_norm": draw(channels),
        f"{NORM}.b_norm": draw(channels),
        f"{TEXT}.diff": draw(*fc.weight.shape),
    }


def test_on_the_model_and_off_again_with_every_multiplier(parts):
    text, unet = parts
    base, bits = outputs(text, unet), [parameter.clone() for parameter in (*unet.parameters(), *text.parameters())]
    network = MergedNetwork(file_for(text, unet), "a.safetensors", text, unet)
    changed = {}
    for te, strength in ((1.0, 1.0), (0.0, 1.0), (1.0, 0.0), (0.0, 0.0), (-0.5, 2.0)):
        network.set_multiplier(te, strength)
        network.apply_to(text, unet)
        changed[te, strength] = outputs(text, unet)
        network.restore()
        now = [parameter for parameter in (*unet.parameters(), *text.parameters())]
        assert all(torch.equal(one, two) for one, two in zip(now, bits, strict=True))
    assert all(torch.equal(one, two) for one, two in zip(changed[0.0, 0.0], base, strict=True))
    assert torch.equal(changed[0.0, 1.0][0], base[0]) and not torch.equal(changed[1.0, 0.0][0], base[0])
    assert not torch.equal(changed[0.0, 1.0][1], base[1])


def test_a_file_that_does_not_fit_leaves_the_model_as_it_was(parts):
    text, unet = parts
    bits = [parameter.clone() for parameter in unet.parameters()]
    with pytest.raises(LoraFileError, match="1 of its modules fit no layer of this model, for example lora_unet_nowhere"):
        MergedNetwork({"lora_unet_nowhere.hada_w1_a": draw(2, 2)}, "a.safetensors", text, unet)
    wrong = file_for(text, unet) | {f"{TEXT}.diff": draw(3, 3)}
    network = MergedNetwork(dict(reversed(wrong.items())), "a.safetensors", text, unet)
    with pytest.raises(
        LoraFileError, match=rf"a.safetensors cannot be used: {TEXT}: it was made for a layer of shape \[3, 3\]"
    ):
        network.apply_to(text, unet)
    assert all(torch.equal(one, two) for one, two in zip(unet.parameters(), bits, strict=True))


def test_sdxls_layers_are_found_by_the_words_of_both_programs():
    from .families import make

    (first, second), unet = make("sdxl")
    layers = dict(unet.named_modules())
    query = layers["down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"].weight
    norm = layers["down_blocks.1.resnets.0.norm1"].weight
    for name, parameter in (
        ("lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q", query),
        ("lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q", query),
        ("lora_unet_input_blocks_4_0_in_layers_0", norm),
        ("lora_te2_text_model_encoder_layers_0_self_attn_q_proj", None),
    ):
        if parameter is None:
            parameter = next(p for n, p in second.named_parameters() if n.endswith("layers.0.self_attn.q_proj.weight"))
        before = parameter.clone()
        network = MergedNetwork({f"{name}.diff": torch.ones(parameter.shape)}, "a", [first, second], unet)
        network.apply_to()
        torch.testing.assert_close(parameter, before + 1)
        network.restore()
        assert torch.equal(parameter, before)
