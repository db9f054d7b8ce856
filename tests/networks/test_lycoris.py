"""LyCORIS' networks: what is handed on, what is said without the package, and with it: training, files, pictures."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file

from lora_trainer.errors import InputErrors, LoraFileError, NotInstalledError
from lora_trainer.networks import registry
from lora_trainer.networks.files import save
from lora_trainer.options.lycoris_arguments import lycoris_arguments
from tests.closeness import SIDE

from .conftest import outputs

with_package = pytest.mark.skipif(importlib.util.find_spec("lycoris") is None, reason="lycoris-lora is not installed")


def test_without_the_package_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "lycoris", None)
    monkeypatch.setitem(sys.modules, "lycoris.kohya", None)
    for ask in (lambda: registry.get("lycoris.kohya"), lambda: registry.for_weights(["lora_unet_a.hada_w1_a"])):
        with pytest.raises(NotInstalledError, match="pip install lycoris-lora"):
            ask()


def test_arguments_are_turned_into_numbers_switches_and_known_names():
    given = {"algo": "lokr", "preset": "attn-mlp", "factor": "8", "conv_dim": "4", "use_tucker": "True", "dropout": "0.1"}
    expected = {"algo": "lokr", "preset": "attn-mlp", "factor": 8, "conv_dim": 4, "use_tucker": True, "dropout": 0.1}
    assert lycoris_arguments(given) == expected


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"preset": "/etc/passwd"}, "expected one of full"),
        ({"algo": "os.system"}, "expected one of lora, locon, loha"),
        ({"conv_dim": "x"}, "conv_dim is 'x'; expected a whole number from 0 to 2048"),
        ({"factor": "-2"}, "from -1"),
        ({"use_tucker": "perhaps"}, "expected True or False"),
        ({"algos": "loha"}, "Did you mean algo?"),
    ],
)
def test_other_arguments_are_refused(given, words):
    with pytest.raises(InputErrors) as caught:
        lycoris_arguments(given)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("lora_unet_a.hada_w1_a", "lycoris"),
        ("lora_unet_a.lokr_w1", "lycoris"),
        ("lora_unet_a.lora_mid.weight", "lycoris"),
        ("lora_unet_conv_in.lora_down.weight", "lycoris"),
        ("lora_unet_a.lora_down.weight", "lora"),
        ("lora_unet_a.alpha", "lora"),
    ],
)
def test_a_files_keys_tell_who_reads_it(key, kind, monkeypatch):
    monkeypatch.setitem(sys.modules, "lycoris.kohya", ModuleType("lycoris.kohya"))
    monkeypatch.setitem(sys.modules, "lycoris", ModuleType("lycoris"))
    reader = importlib.import_module(f"lora_trainer.networks.{kind}")
    assert registry.for_weights([key]).create_network == reader.create_network


@with_package
@pytest.mark.parametrize("algo", ["loha", "lokr", "locon"])
def test_trained_saved_and_loaded_it_puts_out_the_same(parts, tmp_path, algo):
    text, unet = parts
    base = outputs(text, unet)
    builder = registry.get("lycoris.kohya")
    network = builder.create_network(1.0, 4, 1.0, None, text, unet, algo=algo, conv_dim="4", seed=5)
    twin = builder.create_network(1.0, 4, 1.0, None, text, unet, algo=algo, conv_dim="4", seed=5)
    assert all(torch.equal(tensor, twin.state_dict()[key]) for key, tensor in network.state_dict().items())
    network.apply_to(text, unet)
    network.train()
    optimizer = torch.optim.AdamW(network.parameter_groups(None, None, 1e-2))
    for _ in range(2):
        states = text(torch.tensor([[49406, 320, 49407]])).last_hidden_state
        unet(torch.randn(1, 4, SIDE, SIDE), torch.tensor([3]), states).sample.square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    network.eval()
    trained = outputs(text, unet)
    assert all((a - b).abs().max() > 1e-3 for a, b in zip(trained, base, strict=True))
    network.set_enabled(False)
    assert all(torch.equal(a, b) for a, b in zip(outputs(text, unet), base, strict=True))
    save(tmp_path / "a.safetensors", network.state_dict())
    network.restore()
    assert all(torch.equal(a, b) for a, b in zip(outputs(text, unet), base, strict=True))
    tensors = load_file(tmp_path / "a.safetensors")
    again, weights = registry.for_weights(tensors).create_network_from_weights(
        1.0, None, None, text, unet, weights_sd=tensors, for_inference=True
    )
    again.apply_to(text, unet)
    again.load_state_dict(weights)
    assert all(torch.equal(a, b) for a, b in zip(outputs(text, unet), trained, strict=True))
    again.restore()
    with pytest.raises(LoraFileError, match="fit no layer"):
        builder.create_network_from_weights(1.0, None, None, text, unet, {"lora_unet_nowhere.hada_w1_a": torch.zeros(2, 2)})
