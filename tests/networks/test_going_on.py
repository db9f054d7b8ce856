"""What keeps a training from going on from a LoRA file is told from its header."""

from __future__ import annotations

import pytest
import torch

from lora_trainer.errors import InputError
from lora_trainer.networks import files, going_on
from lora_trainer.options.network import NetworkOptions

KEYS = {
    "sd1": "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q",
    "sdxl": "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q",
    "text": "lora_te_text_model_encoder_layers_0_mlp_fc1",
    "conv": "lora_unet_down_blocks_0_resnets_0_conv1",
}


@pytest.fixture
def lora(tmp_path):
    """lora(sd1=4, conv=2): the file of a LoRA with one layer of each kind and its rank."""

    def make(**ranks: int):
        tensors = {}
        for kind, rank in ranks.items():
            size = (3, 3) if kind == "conv" else ()
            tensors[f"{KEYS[kind]}.lora_down.weight"] = torch.zeros(rank, 8, *size)
            tensors[f"{KEYS[kind]}.lora_up.weight"] = torch.zeros(8, rank, *(1 for _ in size))
            tensors[f"{KEYS[kind]}.alpha"] = torch.tensor(1.0)
        files.save(tmp_path / "l.safetensors", tensors, {})
        return tmp_path / "l.safetensors"

    return make


def options(**given) -> NetworkOptions:
    return NetworkOptions(network_module="networks.lora", **given)


@pytest.mark.parametrize(
    ("ranks", "given", "said"),
    [
        ({"sd1": 8}, {"network_dim": 4}, "has rank 8, but network_dim is 4. Give network_dim 8,"),
        ({"sd1": 8, "text": 2}, {"network_dim": 4}, "has rank 2 to 8, but network_dim is 4. Give dim_from_weights."),
        ({"sd1": 4, "conv": 2}, {"network_dim": 4}, "rank 2 in its 3x3 convolutions, but conv_dim is not given."),
        (
            {"sd1": 4, "conv": 2},
            {"network_dim": 4, "network_args": ("conv_dim=4",)},
            "but conv_dim is 4. Give network_args conv_",
        ),
    ],
)
def test_ranks_that_no_module_of_the_file_has_are_refused(lora, ranks, given, said):
    with pytest.raises(InputError) as refused:
        going_on.check_ranks(lora(**ranks), options(**given))
    assert said in str(refused.value) and refused.value.field == "network_weights"


@pytest.mark.parametrize(
    ("ranks", "given"),
    [
        ({"sd1": 8}, {"network_dim": 8}),
        ({"sd1": 8, "text": 2}, {"network_dim": 8}),  # the text encoders need not be trained
        ({"sd1": 8}, {"network_dim": 8, "network_args": ("conv_dim=4",)}),  # what the file lacks starts fresh
        ({"sd1": 8, "conv": 2}, {"network_dim": 8, "network_args": ("conv_dim=2",)}),
        ({"sd1": 8, "conv": 2}, {"network_dim": 4, "dim_from_weights": True}),
        ({"sd1": 8}, {"network_dim": 4, "network_args": ("block_dims=" + ",".join(["8"] * 25),)}),
    ],
)
def test_ranks_that_fit_or_are_the_files_are_taken(lora, ranks, given):
    going_on.check_ranks(lora(**ranks), options(**given))


@pytest.mark.parametrize(("kind", "family"), [("sd1", "sdxl"), ("text", "sdxl"), ("sdxl", "sd1"), ("sdxl", "sd2")])
def test_a_lora_of_another_family_is_refused_before_the_images_are_encoded(lora, kind, family):
    with pytest.raises(InputError, match="was made for Stable Diffusion"):
        going_on.check_family(lora(**{kind: 4}), family)
    going_on.check_family(lora(**{kind: 4}), "sdxl" if kind == "sdxl" else "sd1")
