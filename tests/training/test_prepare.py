"""What the options of the model, its texts and its network make before a training: the pieces themselves are looked at."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from diffusers import UNet2DConditionModel

from lora_trainer.networks.dylora import DyLoRAModule
from lora_trainer.networks.module import LoRAModule
from lora_trainer.training import prepare
from lora_trainer.training.conditioning import TextStates
from lora_trainer.training.precision import Precision
from tests.given import given
from tests.tiny import make_checkpoint

CPU = torch.device("cpu")
PLAN = SimpleNamespace(images=[], subsets=[], datasets=[])
TRAINED = SimpleNamespace(trained_parameters=lambda part: [part])


@pytest.fixture(scope="module")
def base(tiny_sd1):
    """base(dtype, **options): the base model that is trained on."""

    def make(dtype=torch.float32, **options):
        options = given(**{"pretrained_model_name_or_path": str(tiny_sd1), **options})
        return prepare.base_model(options.model, PLAN, Precision(CPU, dtype), lambda event: None)

    return make


@pytest.fixture(scope="module")
def model(base):
    """That model without any option, for tests that leave it as it is."""
    return base()


@pytest.mark.effect("vae")
def test_another_vae_takes_the_place_of_the_models_own(base, model, tmp_path):
    other = make_checkpoint(tmp_path / "other.safetensors", seed=7)
    mixed, whole = base(vae=str(other)), base(pretrained_model_name_or_path=str(other))

    def weights(part):
        return torch.cat([parameter.flatten() for parameter in part.parameters()])

    assert torch.equal(weights(mixed.vae), weights(whole.vae)) and not torch.equal(weights(mixed.vae), weights(model.vae))
    assert torch.equal(weights(mixed.unet), weights(model.unet))


@pytest.mark.effect("tokenizer_cache_dir")
def test_the_tokenizer_is_kept_in_the_folder_that_is_named(base, tmp_path):
    base(tokenizer_cache_dir=str(tmp_path / "tokenizers"))
    assert list((tmp_path / "tokenizers").glob("*/vocab.json"))


@pytest.mark.effect("no_half_vae")
def test_the_vae_is_in_half_precision_in_fp16_alone_and_not_where_that_is_not_wanted(base):
    assert base(torch.float16).vae.dtype == torch.float16
    assert base(torch.float16, no_half_vae=True).vae.dtype == base(torch.bfloat16).vae.dtype == torch.float32


@pytest.mark.effect("xformers", "sdpa", "mem_eff_attn")
def test_attention_is_xformers_where_that_is_asked_for_and_otherwise_that_of_torch(base, monkeypatch):
    """torch's own function is the one that the options sdpa and mem_eff_attn mean; no scores of all pairs are kept."""
    asked = []
    monkeypatch.setattr(UNet2DConditionModel, "enable_xformers_memory_efficient_attention", lambda self: asked.append(1))
    calls = []
    real = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(
        torch.nn.functional, "scaled_dot_product_attention", lambda *args, **how: calls.append(1) or real(*args, **how)
    )
    for option in ("sdpa", "mem_eff_attn"):
        model = base(**{option: True})
        before = len(calls)
        with torch.no_grad():
            model.predict(torch.zeros(1, 4, 8, 8), torch.tensor([1]), model.encode(["a"]))
        assert len(calls) - before >= len(model.unet.attn_processors) and not asked
    base(xformers=True)
    assert asked == [1]


@pytest.mark.effect("v_parameterization")
def test_a_model_predicts_what_the_option_says(base, model):
    assert model.prediction_type == "epsilon" and base(v_parameterization=True).prediction_type == "v_prediction"


@pytest.mark.effect("clip_skip", "max_token_length", "weighted_captions")
@pytest.mark.parametrize(
    ("options", "same_as"),
    [
        ({"clip_skip": 2}, {"clip_skip": 2}),
        ({"max_token_length": 150}, {"max_token_length": 150}),
        ({"weighted_captions": True}, {"weighted": True}),
    ],
    ids=lambda options: next(iter(options)),
)
def test_captions_become_the_text_states_that_the_options_ask_for(model, options, same_as):
    caption = "a (frog:1.4) " + "in the rain " * 40

    def states(**options):
        chosen = given(**options).model
        return TextStates.of(chosen, model, TRAINED, PLAN, Precision(CPU, torch.float32), lambda event: None)([caption]).states

    with torch.no_grad():
        expected = model.encode([caption], **same_as).states
        found, plain = states(**options), states()
    assert torch.equal(found, expected)
    assert found.shape != plain.shape or not torch.allclose(found, plain, atol=1e-3)


@pytest.fixture
def network(model):
    """network(**options): the network that is trained, on the model; it comes off before the next one is made."""
    on: list = []

    def off():
        while on:
            on.pop().restore()

    def make(**options):
        off()
        on.append(prepare.network(given(**options).network, model, 5, CPU))
        return on[0]

    yield make
    off()


def modules(built, kind=LoRAModule):
    return [module for module in built.modules() if type(module) is kind]


@pytest.mark.effect("network_module", "network_dim", "network_args")
def test_the_network_has_the_kind_and_the_shapes_that_the_options_ask_for(network):
    plain = modules(network(network_dim=6))
    assert {(one.lora_down.weight.shape[0], one.lora_up.weight.shape[1]) for one in plain} == {(6, 6)}
    wider = modules(network(network_dim=6, network_args=["conv_dim=2"]))
    assert {one.lora_down.weight.shape[0] for one in wider} == {6, 2} and len(wider) > len(plain)
    dylora = network(network_dim=4, network_module="networks.dylora", network_args=["unit=2"])
    assert modules(dylora, DyLoRAModule) and not modules(dylora)


@pytest.mark.effect("network_alpha", "network_dropout")
def test_alpha_scales_the_change_and_dropout_leaves_inner_values_out(network, model):
    changes, left_out = {}, {}
    for name, options in {"plain": {}, "alpha": {"network_alpha": 2}, "dropout": {"network_dropout": 0.25}}.items():
        built = network(network_dim=4, **options)
        layer = model.unet.mid_block.attentions[0].proj_in
        (one,) = [module for module in modules(built) if module.lora_name.endswith("mid_block_attentions_0_proj_in")]
        torch.nn.init.dirac_(one.lora_up.weight)  # the first channels of the change are the inner values
        x = torch.rand(8, layer.weight.shape[1], 4, 4, generator=torch.Generator().manual_seed(1))
        built.start_step(1)
        with torch.no_grad():
            changes[name] = layer(x) - torch.nn.functional.conv2d(x, layer.weight, layer.bias)
        left_out[name] = float((changes[name][:, :4] == 0).float().mean())
    torch.testing.assert_close(changes["alpha"], 2 * changes["plain"], rtol=1e-4, atol=1e-6)
    # Of 512 values a quarter is left out, give or take four standard deviations.
    assert left_out["plain"] == 0 and left_out["dropout"] == pytest.approx(0.25, abs=0.08)
