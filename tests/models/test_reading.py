"""Reading a model without mapping its file: the same tensors, and nothing is mapped."""

from __future__ import annotations

import pytest
import safetensors
import torch

from lora_trainer.errors import BaseModelError
from lora_trainer.foreign import tensors
from lora_trainer.models import load
from lora_trainer.training import memory
from tests.training.conftest import options_for, pictures  # noqa: F401 - fixtures


@pytest.mark.effect("disable_mmap_load_safetensors")
def test_a_model_whose_file_cannot_be_mapped_is_read(options_for, tiny_sd1, monkeypatch):  # noqa: F811
    plain = load(tiny_sd1, dtype=torch.float32, device="cpu")

    def fail(*_, **__):
        raise OSError("cannot map")

    monkeypatch.setattr(safetensors, "safe_open", fail)
    with pytest.raises(BaseModelError, match="cannot map"):
        load(tiny_sd1, dtype=torch.float32, device="cpu")
    holding = memory.holding(options_for(disable_mmap_load_safetensors=True).model, torch.device("cpu"))
    read = load(tiny_sd1, dtype=torch.float32, device="cpu", holding=holding)
    for one, other in ((plain.unet, read.unet), (plain.vae, read.vae), (plain.text_encoders[0], read.text_encoders[0])):
        state = other.state_dict()
        assert all(torch.equal(tensor, state[name]) for name, tensor in one.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.int64, torch.bool])
def test_each_type_is_read_as_it_is_mapped(tmp_path, dtype):
    from safetensors.torch import save_file

    kept = {
        "b": torch.arange(6).reshape(2, 3).to(dtype),
        "a": torch.ones((), dtype=dtype),
        "empty": torch.empty(0, 3, dtype=dtype),
    }
    save_file(kept, tmp_path / "x.safetensors")
    with tensors.open_weights(tmp_path / "x.safetensors", mapped=False) as weights:
        found = {name: weights.tensor(name) for name in kept}
    assert all(found[name].dtype == dtype and torch.equal(found[name], kept[name]) for name in kept)


def test_a_checkpoint_is_read_without_mapping_too(tmp_path, monkeypatch):
    kept = {"x": torch.arange(4.0)}
    torch.save(kept, tmp_path / "x.ckpt")
    asked = []
    read = torch.load
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: asked.append(kwargs["mmap"]) or read(*args, **kwargs))
    for mapped in (True, False):
        with tensors.open_weights(tmp_path / "x.ckpt", mapped) as weights:
            assert torch.equal(weights.tensor("x"), kept["x"])
    assert asked == [True, False]
