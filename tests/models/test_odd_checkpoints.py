"""Base models with odd outsides load or are refused by name; numbers that mean something else never train on noise."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from lora_trainer.errors import BaseModelError
from lora_trainer.modelfile import probe, problem_as
from lora_trainer.models import load

UNET = "model.diffusion_model."
LAYER = f"{UNET}input_blocks.1.1.transformer_blocks.0.attn1.to_k"


@pytest.fixture(scope="module")
def tensors(tiny_sd1):
    return load_file(tiny_sd1)


def read(path):
    return load(path, dtype=torch.float32, device="cpu")


def refused(path, *words):
    with pytest.raises(BaseModelError) as caught:
        read(path)
    assert all(word in str(caught.value) for word in (str(path), *words)), caught.value
    return str(caught.value)


def test_a_file_is_read_by_its_content_whatever_its_ending_says(tmp_path, tiny_sd1, tensors):
    (tmp_path / "safetensors_named.ckpt").write_bytes(tiny_sd1.read_bytes())
    torch.save({"state_dict": tensors}, tmp_path / "ckpt_named.safetensors")
    torch.save({"state_dict": tensors}, tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    for path in tmp_path.iterdir():
        assert not probe(path).problem
        assert torch.equal(read(path).unet.conv_in.weight, tensors[f"{UNET}input_blocks.0.0.weight"])


@pytest.mark.parametrize(
    "wrap",
    [
        lambda tensors: {"state_dict": {"state_dict": tensors}},
        lambda tensors: {"model": tensors},
        lambda tensors: {"epoch": 1, "module": {"model": tensors}, "optimizer": {"state": {0: torch.zeros(2)}}},
    ],
)
def test_tables_in_tables_are_found_by_the_look_before_the_start_and_by_the_load(tmp_path, tensors, wrap):
    torch.save(wrap(tensors), tmp_path / "m.ckpt")
    assert (probe(tmp_path / "m.ckpt").kind, probe(tmp_path / "m.ckpt").problem) == ("sd1", "")
    assert read(tmp_path / "m.ckpt").family.name == "sd1"


ODD = {
    "ema": lambda given: {
        ("model_ema." + key[6:].replace(".", "") if key.startswith(UNET) else key): value for key, value in given.items()
    },
    "no_unet": lambda given: {key: value for key, value in given.items() if not key.startswith(UNET)},
    "unet_ldm": lambda given: {key[len(UNET) :]: value for key, value in given.items() if key.startswith(UNET)},
}


@pytest.mark.parametrize(
    ("kind", "words"),
    [("ema", "running average (EMA)"), ("no_unet", "without its UNet"), ("unet_ldm", "UNet alone, in the original names")],
)
def test_a_part_of_a_checkpoint_is_called_what_it_is(tmp_path, tensors, kind, words):
    path = tmp_path / "m.safetensors"
    save_file({key: value.contiguous() for key, value in ODD[kind](tensors).items()}, path)
    assert probe(path).kind == kind
    message = refused(path, words)
    assert "VAE alone" not in message
    assert not problem_as("vae", path)[0] or kind == "unet_ldm"


def test_a_left_over_key_of_a_lora_makes_no_lora_of_a_checkpoint(tmp_path, tensors):
    left = {"lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": torch.zeros(1, 4)}
    save_file(tensors | left, tmp_path / "m.safetensors")
    assert read(tmp_path / "m.safetensors").family.name == "sd1"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(
    "name",
    [
        f"{LAYER}.weight",
        "cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.weight",
        "first_stage_model.encoder.conv_in.bias",
    ],
)
def test_what_is_no_number_in_the_base_model_is_found_when_it_is_loaded(tmp_path, tensors, name, value):
    spoilt = {key: tensor.clone() for key, tensor in tensors.items()}
    spoilt[name].view(-1)[3] = value
    save_file(spoilt, tmp_path / "m.safetensors")
    message = refused(tmp_path / "m.safetensors", name, "base model itself", "NaN or infinity (1 of ")
    assert "learning rate" not in message


def test_values_that_the_precision_cannot_hold_are_named(tmp_path, tensors):
    name = f"{LAYER}.weight"
    save_file(tensors | {name: tensors[name] + 1e5}, tmp_path / "m.safetensors")
    read(tmp_path / "m.safetensors")
    with pytest.raises(BaseModelError, match=r"attn1.to_k.weight of the UNet has values up to 1e\+05, too large for float16"):
        load(tmp_path / "m.safetensors", dtype=torch.float16, device="cpu")


def as_int8(tensor):
    return (tensor * 100).to(torch.int8)


QUANTISED = {
    "float8 with scales": lambda weight: {
        f"{LAYER}.weight": weight.to(torch.float8_e4m3fn),
        f"{LAYER}.scale_weight": torch.tensor(2.0),
    },
    "float8 with scales, a mark for all": lambda weight: {"scaled_fp8": torch.zeros(2).to(torch.float8_e4m3fn)},
    "float8 with scales of another program": lambda weight: {f"{LAYER}.weight_scale": torch.tensor(2.0)},
    "bitsandbytes 8 bits": lambda weight: {f"{LAYER}.weight": as_int8(weight), f"{LAYER}.SCB": torch.ones(weight.shape[0])},
    "bitsandbytes 4 bits": lambda weight: {
        f"{LAYER}.weight": torch.zeros(weight.numel() // 2, 1, dtype=torch.uint8),
        f"{LAYER}.weight.absmax": torch.ones(4),
        f"{LAYER}.weight.quant_state.bitsandbytes__nf4": torch.zeros(4, dtype=torch.uint8),
    },
    "GPTQ": lambda weight: {f"{LAYER}.qweight": torch.zeros(4, 4, dtype=torch.int32)},
    "quanto": lambda weight: {f"{LAYER}.weight._data": as_int8(weight), f"{LAYER}.weight._scale": torch.ones(4)},
    "whole numbers alone": lambda weight: {f"{LAYER}.weight": as_int8(weight)},
    "whole numbers in the text encoder": lambda weight: {
        "cond_stage_model.transformer.text_model.final_layer_norm.weight": torch.ones(64, dtype=torch.uint8)
    },
    "something nobody has seen yet": lambda weight: {f"{LAYER}.codebook": torch.ones(4)},
    "an adapter inside": lambda weight: {f"{LAYER}.lora_down.weight": torch.ones(1, 4)},
    "another block in the UNet": lambda weight: {f"{UNET}ip_adapter.0.weight": torch.ones(4)},
    "another part in the VAE": lambda weight: {"first_stage_model.decoder.gate.weight": torch.ones(4)},
    "another norm in the text encoder": lambda weight: {
        "cond_stage_model.transformer.text_model.encoder.layers.0.layer_norm3.weight": torch.ones(4)
    },
    "another schedule": lambda weight: {"edm_mean": torch.zeros(4), "edm_std": torch.ones(4)},
}


@pytest.mark.parametrize("suffix", ["safetensors", "ckpt"])
@pytest.mark.parametrize("case", QUANTISED)
def test_numbers_that_mean_something_else_are_refused_by_name(tmp_path, tensors, case, suffix):
    found = QUANTISED[case](tensors[f"{LAYER}.weight"])
    path = tmp_path / f"m.{suffix}"
    whole = {key: value.contiguous() for key, value in {**tensors, **found}.items()}
    if suffix == "ckpt":
        torch.save({"state_dict": whole}, path)
    else:
        save_file(whole, path)
    message = refused(path)
    assert any(name in message for name in found), message
    if suffix == "safetensors" and "another" not in case.split()[0]:
        assert probe(path).problem, "the page says so before the start"


def test_plain_float8_is_what_it_says(tmp_path, tensors):
    narrow = {key: value.to(torch.float8_e4m3fn) if value.ndim > 1 else value for key, value in tensors.items()}
    save_file(narrow, tmp_path / "m.safetensors")
    assert torch.equal(read(tmp_path / "m.safetensors").unet.conv_in.weight, narrow[f"{UNET}input_blocks.0.0.weight"].float())


def test_what_stands_beside_the_model_without_a_part_in_it_is_no_reason_to_refuse_it(tmp_path, tensors):
    beside = {
        "alphas_cumprod": torch.ones(1000),
        "model_ema.decay": torch.ones(1),
        "cond_stage_model.transformer.text_model.embeddings.position_ids": torch.arange(77)[None],
        "first_stage_model.loss.discriminator.main.3.weight": torch.ones(4),
        "first_stage_model.loss.discriminator.main.3.running_mean": torch.ones(4),
        "cond_stage_model.logit_scale": torch.ones(1),
    }
    save_file(tensors | beside, tmp_path / "m.safetensors")
    assert not probe(tmp_path / "m.safetensors").problem
    assert read(tmp_path / "m.safetensors").family.name == "sd1"


def test_a_quantised_folder_is_refused_before_anything_is_read(tmp_path):
    (tmp_path / "unet").mkdir()
    (tmp_path / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    configuration = {"in_channels": 4, "quantization_config": {"load_in_4bit": True}}
    (tmp_path / "unet" / "config.json").write_text(json.dumps(configuration))
    refused(tmp_path, "is quantised (quantization_config)")


SIZES = {
    "a text encoder of a billion layers": (
        "cond_stage_model.transformer.text_model.encoder.layers.999999999.mlp.fc1.weight", torch.zeros(1)
    ),
    "a UNet with a billion transformers in a row": (
        f"{UNET}input_blocks.1.1.transformer_blocks.999999999.attn1.to_k.weight", torch.zeros(1)
    ),
    "a VAE of a billion levels": ("first_stage_model.encoder.down.999999999.block.0.conv1.weight", torch.zeros(1, 1)),
    "sizes of one dimension": ("cond_stage_model.transformer.text_model.embeddings.token_embedding.weight", torch.zeros(4)),
    "a UNet of three channels": (f"{UNET}input_blocks.1.0.in_layers.2.weight", torch.zeros(3, 3, 3, 3)),
    "a tensor without numbers": (f"{UNET}middle_block.1.proj_in.weight", torch.zeros(0)),
}  # fmt: skip


@pytest.mark.parametrize("case", SIZES)
def test_impossible_sizes_are_the_files_fault_and_cost_no_time(tmp_path, tensors, case):
    name, tensor = SIZES[case]
    save_file(tensors | {name: tensor}, tmp_path / "m.safetensors")
    refused(tmp_path / "m.safetensors")


class TestPickled:
    """What torch.save can hold besides plain tensors."""

    def save(self, path, tensors, tensor):
        torch.save({"state_dict": tensors | {f"{LAYER}.weight": tensor}}, path)
        return path

    @pytest.mark.filterwarnings("ignore")  # torch wants to be rid of some of these
    @pytest.mark.parametrize(
        ("make", "word"),
        [
            (lambda weight: weight.to_sparse(), "sparse"),
            (lambda weight: weight.to("meta"), "without numbers"),
            (lambda weight: torch.zeros(1).expand(100_000, 100_000), "expanded"),
            (lambda weight: torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8), "quantised"),
            (lambda weight: weight.to(torch.complex64), "complex"),
        ],
    )
    def test_tensors_that_are_not_their_numbers_are_refused_by_name(self, tmp_path, tensors, make, word):
        refused(self.save(tmp_path / "m.ckpt", tensors, make(tensors[f"{LAYER}.weight"])), f"{LAYER}.weight", word)
