"""Training a whole model (fine_tune, train_db, sdxl_train): what changes, what is saved, what is refused, and that a killed one
goes on."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open

from lora_trainer.checkpoints.model_files import ModelFiles
from lora_trainer.checkpoints.whole_model import WholeModel, block_of
from lora_trainer.errors import InputError, InputErrors
from lora_trainer.models import load
from lora_trainer.networks.files import read_metadata
from lora_trainer.options import cli
from lora_trainer.training import prepare
from lora_trainer.training.precision import Precision
from lora_trainer.training.train import train
from lora_trainer.training.trainee import Trainee

from ..checkpoints.test_model_files import FORMS, assert_same_model
from .conftest import Recorder, short_training
from .killing import assert_same_file, losses, train_with_kills

MODEL = {"network_module": None, "trains": "model", "learning_rate": 1e-4}
TEXT = {"train_text_encoder": True}


@pytest.fixture
def loaded(tiny_sd1):
    return load(tiny_sd1, dtype=torch.float32, device="cpu")


@pytest.fixture
def model_options(options_for):
    return lambda **changed: options_for(**(MODEL | changed))


def tensors_of(path):
    with safe_open(str(path), "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def changed_parts(before, after):
    """The beginnings of the names of tensors that differ, in files of the same names."""
    first, second = tensors_of(before), tensors_of(after)
    assert first.keys() == second.keys()
    assert all(first[name].shape == second[name].shape for name in first)
    return {name.partition(".")[0] for name in first if not torch.equal(first[name], second[name])}


@pytest.mark.effect("trains", "learning_rate_te", "stop_text_encoder_training")
def test_the_unet_is_trained_and_the_text_encoder_as_long_as_it_is_to_be(model_options, tiny_sd1):
    recorder = Recorder()
    options = model_options(
        **TEXT, stop_text_encoder_training=2, learning_rate_te=1e-5, save_every_n_steps=1, save_precision="float"
    )
    result = train(options, reporter=recorder)
    assert recorder.saved == [*(f"x-step0000000{step}.safetensors" for step in (1, 2, 3)), "x.safetensors"]
    steps = [result.path.with_name(name) for name in recorder.saved[:3]]
    assert changed_parts(tiny_sd1, steps[0]) == {"model", "cond_stage_model"}
    assert changed_parts(steps[0], steps[1]) == {"model", "cond_stage_model"}
    assert changed_parts(steps[1], steps[2]) == {"model"}
    assert changed_parts(steps[2], result.path) == set()
    assert recorder.of("step")[0]["rates"] == {"unet": 1e-4, "text_encoder": 1e-5}
    metadata = read_metadata(result.path)
    assert metadata["ss_learning_rate_te"] == "1e-05" and metadata["ss_stop_text_encoder_training"] == "2"
    assert metadata["modelspec.architecture"] == "stable-diffusion-v1" and metadata["modelspec.title"] == "x"
    assert metadata["modelspec.implementation"] == "https://github.com/Stability-AI/generative-models"
    assert not [key for key in metadata if key.startswith(("ss_network", "sshs_", "ss_unet_lr"))]
    load(result.path, dtype=torch.float32, device="cpu")


@pytest.mark.effect("train_text_encoder")
@pytest.mark.parametrize(
    ("chosen", "parts"),
    [
        ({}, ["unet"]),
        (TEXT, ["unet", "text_encoder"]),
        (TEXT | {"learning_rate_te": 0.0}, ["unet"]),
        (TEXT | {"stop_text_encoder_training": -1}, ["unet"]),
        (TEXT | {"learning_rate": 0.0, "learning_rate_te": 1e-4}, ["text_encoder"]),
    ],
)
def test_the_rates_say_which_parts_are_trained(model_options, loaded, chosen, parts):
    options = model_options(mixed_precision="bf16", **chosen)
    whole = prepare.whole_model(options, loaded, SimpleNamespace(datasets=[]), Precision(torch.device("cpu"), torch.bfloat16))
    assert whole.trained_parts == parts and [group["name"] for group in whole.parameter_groups(None, None, None)] == parts
    assert len(whole.trained_parameters("unet")) + len(whole.trained_parameters("text_encoder")) == len(
        list(whole.parameters())
    )


@pytest.mark.effect("no_token_padding")
def test_captions_are_read_as_far_as_the_longest_goes_and_what_is_not_trained_stays_bit_by_bit(
    model_options, tiny_sd1, monkeypatch
):
    """Also where it is computed in half precision."""
    options = model_options(max_train_steps=1, mixed_precision="bf16", no_token_padding=True)
    seen = []
    whole = Trainee._inputs

    def inputs(self, batch, step, positions):
        found = whole(self, batch, step, positions)
        seen.append((max(len(caption.split()) for caption in batch["captions"]), found.conditioning.states.shape[1]))
        return found

    monkeypatch.setattr(Trainee, "_inputs", inputs)
    assert changed_parts(tiny_sd1, train(options, reporter=Recorder()).path) == {"model"}
    assert seen == [(4, 7)], "sls frog , colour 1 between start and end: words of one token each, and the comma"


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"network_args": ["conv_dim=4"]}, "network_args"),
        ({"unet_lr": 1e-4}, "unet_lr"),
        ({"text_encoder_lr": [1e-4]}, "text_encoder_lr"),
        ({"network_train_unet_only": True}, "network_train_unet_only"),
        ({"token_string": "sls"}, "token_string"),
        ({"fp8_base": True, "mixed_precision": "bf16"}, "fp8_base"),
        ({"blocks_to_swap": 2, "gradient_checkpointing": True}, "blocks_to_swap"),
        ({"scale_weight_norms": 1.0}, "scale_weight_norms"),
        ({"save_live_every_n_steps": 5}, "save_live_every_n_steps"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"learning_rate_te": 1e-5}, "learning_rate_te"),
        ({"stop_text_encoder_training": 10}, "stop_text_encoder_training"),
        (TEXT | {"cache_text_encoder_outputs": True}, "cache_text_encoder_outputs"),
        ({"block_lr": ",".join(["1e-5"] * 23)}, "block_lr"),
        ({"block_lr": "1e-5,1e-5"}, "block_lr"),
        ({"no_token_padding": True, "max_token_length": 150}, "no_token_padding"),
        ({"save_model_as": "pt"}, "save_model_as"),
        ({"trains": "network", "network_module": "networks.lora", "save_model_as": "diffusers"}, "save_model_as"),
        ({"trains": "network", "network_module": "networks.lora", "train_text_encoder": True}, "train_text_encoder"),
        ({"fused_optimizer_groups": 4}, "fused_optimizer_groups"),
    ],
)
def test_what_means_nothing_to_a_whole_model_is_refused_by_name(model_options, changed, field):
    with pytest.raises(InputErrors) as raised:
        model_options(**changed)
    assert {error.field for error in raised.value.errors} == {field}


@pytest.mark.effect("diffusers_xformers")
def test_the_commands_of_the_documents_train_whole_models(tiny_sd1, pictures, tmp_path):
    words = [
        f"--pretrained_model_name_or_path={tiny_sd1}", f"--train_data_dir={pictures}", f"--output_dir={tmp_path}",
        "--output_name=sls", "--resolution=64", "--learning_rate=5e-6", "--max_train_steps=10000",
    ]  # fmt: skip
    assert cli.parse(words, "fine_tune").trained.train_text_encoder is False
    assert cli.parse([*words, "--diffusers_xformers"], "fine_tune").model.xformers is True
    dreambooth = cli.parse(words, "train_db").trained
    assert (dreambooth.trains, dreambooth.train_text_encoder) == ("model", True)
    assert cli.parse([*words, "--no-train_text_encoder"], "train_db").trained.train_text_encoder is False
    with pytest.raises(InputError, match=r"sdxl_train is for .* Use fine_tune"):
        cli.parse(words, "sdxl_train")


def test_the_blocks_of_sdxls_unet_have_the_numbers_of_the_reference():
    names = ("time_embed.0.weight", "label_emb.0.0.weight", "input_blocks.0.0.weight", "input_blocks.8.1.norm.weight",
             "middle_block.0.x", "middle_block.2.x", "output_blocks.0.0.x", "output_blocks.8.0.x", "out.2.bias")  # fmt: skip
    assert [block_of(name) for name in names] == [0, 0, 1, 9, 10, 12, 13, 21, 22]


@pytest.mark.effect("learning_rate_te1", "learning_rate_te2", "block_lr")
def test_sdxl_has_a_rate_for_each_text_encoder_and_block(tiny_model, pictures, tmp_path):
    rates = [0.0] * 21 + [1e-3, 1e-4]
    options = short_training(
        tiny_model("sdxl"), pictures, tmp_path, **MODEL, **TEXT, block_lr=",".join(map(str, rates)), learning_rate_te1=0.0,
        learning_rate_te2=1e-5, max_train_steps=1,
    )  # fmt: skip
    recorder = Recorder()
    result = train(options, reporter=recorder)
    assert recorder.of("step")[0]["rates"] == {"unet_block21": 1e-3, "unet_block22": 1e-4, "text_encoder2": 1e-5}
    before, after = tensors_of(tiny_model("sdxl")), tensors_of(result.path)
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.split(".")[1] for name in changed if name.startswith("conditioner")} == {"embedders"}
    assert all(name.startswith("conditioner.embedders.1.") for name in changed if name.startswith("conditioner"))
    unet = {name.removeprefix("model.diffusion_model.") for name in changed if name.startswith("model.")}
    assert {block_of(name) for name in unet} == {21, 22}


def test_a_killed_training_ends_as_one_that_was_not(model_options, tmp_path):
    chosen = TEXT | {"stop_text_encoder_training": 1, "ema_decay": 0.9, "shuffle_caption": True, "save_every_n_steps": 1}
    undisturbed = Recorder()
    whole = train(model_options(output_dir=str(tmp_path / "whole"), **chosen), reporter=undisturbed)
    recorders, path = train_with_kills(model_options, 1, 3, save_state=True, **chosen)
    assert len(recorders[1].of("resumed")) == 1 and losses(recorders) == losses([undisturbed])
    assert_same_file(whole.path, path)


def test_one_of_stable_diffusion_2_predicts_velocity_after_it_goes_on_and_in_every_format(tiny_model, model_options, tmp_path):
    base = tiny_model("sd2-v")
    chosen = TEXT | {
        "pretrained_model_name_or_path": str(base), "v2": True, "v_parameterization": True, "save_every_n_steps": 1,
        "learning_rate_te": 1e-5, "save_precision": "float",
    }  # fmt: skip
    whole = train(model_options(**chosen, output_dir=str(tmp_path / "whole")), reporter=Recorder()).path
    assert changed_parts(base, whole) == {"model", "cond_stage_model"}, "the layer that SD2 does not use is kept"
    metadata = read_metadata(whole)
    assert metadata["modelspec.prediction_type"] == "v" and metadata["modelspec.architecture"] == "stable-diffusion-v2-768-v"
    _, path = train_with_kills(model_options, 1, 3, save_state=True, **chosen)
    assert_same_file(whole, path)
    model = load(whole, dtype=torch.float32, device="cpu")
    assert (model.family.name, model.prediction_type) == ("sd2", "v_prediction")
    trained = WholeModel(model, unet_lr=1.0, text_lrs=[1.0], dtype=torch.float32)
    for form, ending in FORMS.items():
        ModelFiles(model, trained, form).save(tmp_path / f"again{ending}", {}, None, step=3, epoch=0)
        assert_same_model(model, tmp_path / f"again{ending}")


@pytest.mark.parametrize(
    "shown", [{"ema_decay": 0.9}, {"optimizer_type": "AdamWScheduleFree"}], ids=lambda shown: next(iter(shown))
)
def test_weights_in_16_bits_whose_average_has_32_are_measured_and_drawn(model_options, tmp_path, shown):
    (tmp_path / "prompts.txt").write_text("a frog --w 64 --h 64 --s 1")
    narrow = {"full_bf16": True, "mixed_precision": "bf16"}
    measured = {"validation_split": 0.25, "validate_every_n_steps": 1}
    drawn = {"sample_prompts": str(tmp_path / "prompts.txt"), "sample_every_n_steps": 1}
    recorder = Recorder()
    train(model_options(**TEXT, **narrow, **measured, **drawn, **shown, max_train_steps=2), reporter=recorder)
    assert [event["step"] for event in recorder.of("validation")] == [0, 1, 2] and len(recorder.of("sample")) == 2
    assert not [event for event in recorder.of("warning") if "could not be drawn" in event["message"]]


def test_folders_of_diffusers_are_saved_removed_and_gone_on_from_by_their_names(model_options, tmp_path):
    """A name may have a dot: a folder has no ending."""
    chosen = {"save_model_as": "diffusers_safetensors", "output_name": "x.v1", "save_every_n_steps": 1, "save_last_n_steps": 1}
    recorders, path = train_with_kills(model_options, 1, 3, save_state=True, **chosen)
    assert [event["step"] for event in recorders[1].of("resumed")] == [1] and path.name == "x.v1"
    assert not [event for each in recorders for event in each.of("warning") if "learning_rate" not in event["message"]]
    folders = {one.name for one in path.parent.iterdir() if not one.name.endswith("-state")}
    assert folders == {"x.v1", "x.v1-step00000002", "x.v1-step00000003"}
    load(path, dtype=torch.float32, device="cpu")


def test_the_base_model_is_never_written_over(model_options, tiny_sd1):
    before = tiny_sd1.read_bytes()
    with pytest.raises(InputError, match="would take the place of the base model"):
        train(model_options(output_dir=str(tiny_sd1.parent), output_name=tiny_sd1.stem), reporter=Recorder())
    assert tiny_sd1.read_bytes() == before


def test_a_model_without_any_rate_above_0_is_refused(loaded):
    whole = WholeModel(loaded, unet_lr=0.0, text_lrs=[0.0], dtype=torch.float32)
    assert not list(whole.parameters())
    with pytest.raises(InputError, match="nothing to train"):
        whole.parameter_groups(None, None, 0.0)
