"""base_weights: LoRA files become part of the base model, then another LoRA is trained on it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lora_trainer.errors import InputErrors, LoraFileError
from lora_trainer.models import load
from lora_trainer.networks import files
from lora_trainer.options.network import NetworkOptions
from lora_trainer.sampling.loras import LoraUse, applied
from lora_trainer.training import base_weights
from lora_trainer.training.train import train
from tests.networks import families

from .conftest import Recorder

LOHA = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"


def drawn(shape, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 0.3


def lora(path: Path, seed: int = 1, *, rank: int = 2) -> Path:
    """A LoRA for the tiny SD1 model whose halves both have an effect; of rank 2 with 3x3 convolutions, else without."""
    arguments = {"conv_dim": "2"} if rank == 2 else {}
    texts, unet = families.make("sd1")
    from lora_trainer.networks import registry

    network = registry.get("networks.lora").create_network(1.0, rank, 1.0, None, texts, unet, seed=seed, **arguments)
    tensors = network.state_dict()
    for number, (name, tensor) in enumerate(sorted(tensors.items())):
        if name.endswith("lora_up.weight"):
            tensors[name] = drawn(tensor.shape, 1000 * seed + number)
    files.save(path, tensors, {})
    return path


def loha(path: Path, model) -> Path:
    layer = dict(model.unet.named_modules())["mid_block.attentions.0.transformer_blocks.0.attn1.to_q"]
    out, into = layer.weight.shape
    shapes = {"hada_w1_a": (out, 2), "hada_w1_b": (2, into), "hada_w2_a": (out, 2), "hada_w2_b": (2, into)}
    tensors = {f"{LOHA}.{name}": drawn(shape, number) for number, (name, shape) in enumerate(shapes.items())}
    save_file(tensors | {f"{LOHA}.alpha": torch.tensor(1.0)}, path)
    return path


def answer(model) -> torch.Tensor:
    with torch.no_grad():
        return families.outputs((model.text_encoders, model.unet))


@pytest.mark.effect("base_weights", "base_weights_multiplier")
@pytest.mark.parametrize("ending", ["safetensors", "pt", "ckpt"])
def test_the_model_answers_as_with_the_files_on_it(tiny_sd1, tmp_path, ending):
    """Two files of two kinds; the second has no multiplier of its own, so 1."""
    model = load(tiny_sd1, dtype=torch.float32, device="cpu")
    first, second = lora(tmp_path / f"a.{ending}"), loha(tmp_path / "b.safetensors", model)
    alone = answer(model)
    with applied(model, [LoraUse(first, 0.4, 0.4), LoraUse(second)]):
        wanted = answer(model)
    given = NetworkOptions(base_weights=(str(first), str(second)), base_weights_multiplier=(0.4,))
    base_weights.merge(given, model, lambda event: None)
    merged = answer(model)
    scale = wanted.abs().max()
    assert (merged - wanted).abs().max() < 1e-4 * scale < (merged - alone).abs().max()


def test_a_training_sees_them_and_does_not_save_them(options_for, tmp_path):
    base = lora(tmp_path / "base.safetensors")
    losses = {}
    merged = {"base_weights": [str(base)]}
    given_by_name = {
        "without": {},
        "with": merged,
        "half": merged | {"base_weights_multiplier": [0.5]},
        "none": merged | {"base_weights_multiplier": [0]},
    }
    for name, given in given_by_name.items():
        reporter = Recorder()
        path = train(options_for(max_train_steps=1, output_name=name, **given), reporter=reporter).path
        losses[name] = reporter.losses[0]
        assert not any("conv1" in key for key in files.load(path)[0]), "the base file's convolutions are not in the result"
    assert losses["none"] == losses["without"]
    assert len(set(losses.values())) == 3


def test_wrong_files_are_named_before_anything_is_loaded(options_for, tmp_path, tiny_sd1):
    with pytest.raises(InputErrors) as found:
        options_for(base_weights=[str(tmp_path / "gone.safetensors"), str(tiny_sd1)], base_weights_multiplier=[1, 1, 1])
    told = str(found.value)
    assert "gone.safetensors does not exist" in told and "not a LoRA" in told or "expected" in told
    assert "more numbers than base_weights has files" in told
    with pytest.raises(InputErrors, match="has no effect without base_weights"):
        options_for(base_weights_multiplier=[1])


def test_a_file_of_another_family_is_refused(options_for, tmp_path):
    path = tmp_path / "xl.safetensors"
    name = "lora_unet_input_blocks_4_1_transformer_blocks_9_attn1_to_q"
    save_file({f"{name}.lora_down.weight": torch.zeros(1, 8), f"{name}.lora_up.weight": torch.zeros(8, 1)}, path)
    with pytest.raises(LoraFileError, match="xl.safetensors: 1 of its modules fit no layer"):
        train(options_for(base_weights=[str(path)]), reporter=Recorder())
