"""The run of a LoRA file: ours trains to the same bytes again, kohya's fills what it tells, and the rest is told in words."""

from __future__ import annotations

import dataclasses
import json
import shutil
import struct

import pytest
import torch
from safetensors.torch import save_file

from lora_trainer import commands
from lora_trainer.errors import LoraFileError
from lora_trainer.networks import files
from lora_trainer.networks.files import read_metadata
from lora_trainer.options import config_file
from lora_trainer.options.resolve import train_options
from lora_trainer.recipes.form import files as written
from lora_trainer.recipes.form import form_values
from lora_trainer.recipes.places import BASE, VAE, Surroundings, settle
from lora_trainer.recipes.reading import Given, read
from lora_trainer.training.train import train
from tests.networks.conftest import golden
from tests.training.conftest import Recorder, make_images, short_training

TENSORS = {
    "lora_unet_mid_block_attentions_0_proj_in.lora_down.weight": torch.zeros(4, 8),
    "lora_unet_mid_block_attentions_0_proj_in.lora_up.weight": torch.zeros(8, 4),
    "lora_unet_mid_block_attentions_0_proj_in.alpha": torch.tensor(4.0),
}
TEXT = {
    name.replace("lora_unet_mid_block_attentions_0", "lora_te_text_model"): tensor.clone() for name, tensor in TENSORS.items()
}
RECORDED = golden("metadata.json")["runs"]
OF_THE_MOMENT = {"ss_session_id", "ss_training_started_at", "ss_training_finished_at", "sshs_legacy_hash", "modelspec.date"}


def lora(path, metadata, tensors=None):
    save_file(tensors if tensors is not None else TENSORS | TEXT, path, metadata={k: str(v) for k, v in metadata.items()})
    return path


def recipe_of(path, **here):
    recipe = read([Given(path)]).recipe
    settle(recipe, Surroundings(**here))
    return recipe


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_sd1):
    """(file, folder of images) of a run with many settings and a seed that was drawn."""
    root = tmp_path_factory.mktemp("trained")
    pictures, reg = make_images(root / "frogs", 4), make_images(root / "others", 2, first=9)
    (root / "data.toml").write_text(
        f"[[datasets]]\nresolution = 64\nbatch_size = 2\n[[datasets.subsets]]\nimage_dir = '{pictures}'\nnum_repeats = 2\n"
        "class_tokens = 'sls frog'\nshuffle_caption = true\nflip_aug = true\n"
        f"[[datasets.subsets]]\nimage_dir = '{reg}'\nis_reg = true\nclass_tokens = 'frog'\n"
    )
    (root / "prompts.txt").write_text("a sls frog --w 64 --h 64 --s 1\n")
    options = short_training(
        tiny_sd1, pictures, root / "out", train_data_dir=None, dataset_config=str(root / "data.toml"), cache_latents=None,
        seed=None, network_dim=4, network_alpha=2.0, network_args=["conv_dim=2"], min_snr_gamma=5.0, noise_offset=0.05,
        text_encoder_lr=[1e-4], lr_scheduler="cosine", lr_warmup_steps=1, caption_dropout_rate=0.2, output_name="frog",
        metadata_author="me", sample_prompts=str(root / "prompts.txt"), gradient_accumulation_steps=2,
    )  # fmt: skip
    return train(options, reporter=Recorder()).path, root


def test_a_run_that_is_made_again_from_its_file_gives_the_same_bytes(trained, tiny_sd1, tmp_path):
    """On another machine: the file alone, copies of model and pictures under other names."""
    path, root = trained
    models = tmp_path / "models"
    models.mkdir()
    shutil.copy(tiny_sd1, models / tiny_sd1.name)
    for name in ("frogs", "others"):
        shutil.copytree(root / name, tmp_path / "pictures" / name.upper())
    code = commands.run(
        [
            "recreate",
            str(path),
            "--models",
            str(models),
            "--images",
            str(tmp_path / "pictures"),
            "--out",
            str(tmp_path / "again"),
        ]
    )
    assert code == 0
    config = config_file.read(tmp_path / "again" / "config.toml")
    again = train(train_options({}, config), reporter=Recorder()).path
    first, second = read_metadata(path), read_metadata(again)
    assert first["sshs_model_hash"] == second["sshs_model_hash"] == files.tensor_hash(again)
    names = {"ss_dataset_dirs", "ss_tag_frequency", "ss_datasets", "lora_trainer_data"}  # the folders have other names
    assert first.keys() == second.keys()
    assert [key for key in first.keys() - OF_THE_MOMENT - names if first[key] != second[key]] == []
    assert json.loads(first["lora_trainer_data"])["digest"] == json.loads(second["lora_trainer_data"])["digest"]


def test_our_file_fills_the_form(trained, tiny_sd1):
    path, root = trained
    recipe = recipe_of(path, models={BASE: [tiny_sd1]}, folders=[root / "others", root / "frogs"])
    assert recipe.missing == [] and recipe.dropped == []
    start = {"lr_scheduler": "constant", "enable_bucket": True, "persistent_data_loader_workers": True}
    start |= {"save_state_every_n_minutes": 5.0, "save_state_on_train_end": True, "split_batch_when_full": True}
    values = form_values(recipe, start)
    assert values["save_state_every_n_minutes"] == 5.0 and values["save_state_on_train_end"], "a crash costs minutes as ever"
    assert values["split_batch_when_full"] is True
    assert values["persistent_data_loader_workers"] is True  # of this machine, where the file says nothing else
    expected = {
        BASE: str(tiny_sd1), "image_dir": str(root / "frogs"), "num_repeats": 2, "identifier": "sls", "class_name": "frog",
        "caption_source": "txt", "reg_dir": str(root / "others"), "reg_repeats": 1, "resolution": "64",
        "train_batch_size": 2, "settings": {"shuffle_caption": True, "flip_aug": True}, "network_args": ["conv_dim=2"],
        "enable_bucket": False,
        "prompts": "a sls frog --w 64 --h 64 --s 1", "lr_scheduler": "cosine", "metadata_author": "me",
    }  # fmt: skip
    assert {name: values.get(name) for name in expected} == expected
    assert values["seed"] == int(read_metadata(path)["ss_seed"])


def test_what_is_not_here_is_told_with_name_and_hash(trained):
    path, _ = trained
    recipe = recipe_of(path)
    said = {note.field: note.message for note in recipe.missing}
    assert set(said) == {BASE, "image_dir", "reg_dir"}
    assert "tiny.safetensors" in said[BASE] and read_metadata(path)["ss_new_sd_model_hash"][:10] in said[BASE]
    assert "frogs" in said["image_dir"] and "4 pictures" in said["image_dir"]
    values = form_values(recipe, {})
    assert BASE not in values and values["image_dir"] is None


def test_a_folder_of_the_right_name_with_other_pictures_is_not_taken(trained, tmp_path):
    path, _ = trained
    other = make_images(tmp_path / "frogs", 4, first=3)
    assert "image_dir" in {note.field for note in recipe_of(path, folders=[other]).missing}


def large(path, fill):
    """A file above 1 MiB, so that its short hash tells something."""
    path.write_bytes(bytes([fill]) * 1_500_000)
    return path


def test_the_base_model_is_found_by_its_hash_whatever_it_is_called(tmp_path):
    mine, same_name = large(tmp_path / "renamed.safetensors", 1), large(tmp_path / "real.safetensors", 2)
    short, whole = files.file_hashes(mine)
    metadata = {"ss_network_module": "networks.lora", "ss_sd_model_name": "real.safetensors", "ss_sd_model_hash": short}
    for hashes in ({}, {"ss_new_sd_model_hash": whole}):
        recipe = recipe_of(lora(tmp_path / "x.safetensors", metadata | hashes), models={BASE: [same_name, mine]})
        assert recipe.options[BASE] == str(mine) and recipe.missing == []


def test_a_short_hash_that_two_files_share_is_not_enough_where_the_whole_is_known(tmp_path):
    mine = large(tmp_path / "a.safetensors", 1)
    twin = tmp_path / "b.safetensors"
    twin.write_bytes(mine.read_bytes() + b"other")
    assert files.short_hash(mine) == files.short_hash(twin)
    metadata = {
        "ss_network_module": "networks.lora", "ss_sd_model_name": "gone.safetensors",
        "ss_sd_model_hash": files.short_hash(mine), "ss_new_sd_model_hash": files.file_hashes(twin)[1],
    }  # fmt: skip
    path = lora(tmp_path / "x.safetensors", metadata)
    assert recipe_of(path, models={BASE: [mine, twin]}).options[BASE] == str(twin)
    assert "gone.safetensors" in recipe_of(path, models={BASE: [mine]}).missing[0].message


def test_a_model_of_the_same_name_with_another_content_is_taken_with_a_word(tmp_path):
    other = large(tmp_path / "real.safetensors", 2)
    metadata = {"ss_network_module": "networks.lora", "ss_sd_model_name": "real.safetensors", "ss_sd_model_hash": "12345678"}
    recipe = recipe_of(lora(tmp_path / "x.safetensors", metadata), models={BASE: [other], VAE: []})
    assert recipe.options[BASE] == str(other) and "another content" in recipe.missing[0].message


@pytest.mark.parametrize("run", ["A", "B", "D"])
def test_a_file_of_sd_scripts_gives_the_options_of_its_run(run, tmp_path):
    """The metadata that sd-scripts itself wrote, and the options that it was given."""
    from tests.networks.test_metadata import RUNS

    (_, metadata), *_ = RECORDED[run]["metadata"].items()
    recipe = recipe_of(lora(tmp_path / "x.safetensors", metadata))
    expected = dict(RUNS[run])
    for name in (BASE, "vae", "dataset_config", "save_precision", "save_model_as", "max_data_loader_n_workers"):
        expected.pop(name, None)
    if epochs := expected.pop("max_train_epochs", None):
        assert metadata["ss_num_epochs"] == str(epochs)
        expected["max_train_steps"] = int(metadata["ss_max_train_steps"])
    if expected.pop("network_train_unet_only", False):
        only_unet = recipe_of(lora(tmp_path / "y.safetensors", metadata, TENSORS))
        assert only_unet.options["network_train_unet_only"] is True
    assert {name: recipe.options.get(name) for name in expected} == expected
    assert {note.field for note in recipe.missing} >= {BASE, "image_dir"}
    if run == "A":
        assert [(f.name, f.images, f.settings["num_repeats"], f.is_reg) for f in recipe.folders] == [
            ("2_sls frog", 2, 2, False), ("1_frog", 1, 1, True),
        ]  # fmt: skip
        values = form_values(recipe, {})
        assert (values["identifier"], values["class_name"], values["num_repeats"]) == ("sls", "frog", 2)
    if run == "B":
        assert recipe.options["optimizer_args"] == ("weight_decay=0.1", "betas=(0.9,0.99)")
        assert [table.settings["batch_size"] for table in recipe.tables] == [2, 1]
        assert any("the form holds one of each" in note.message for note in recipe.missing) or form_values(recipe, {})
    if run == "D":
        assert any("saved at step 5 of 7" in note.message for note in recipe.notes)


@pytest.mark.parametrize(
    ("metadata", "key"),
    [
        ({"ss_network_module": "networks.lora_fa"}, "ss_network_module"),
        ({"ss_network_module": "networks.lora", "ss_network_dim": "Dynamic"}, "ss_network_dim"),
        ({"ss_network_module": "networks.lora", "ss_optimizer": "my.own.Optimizer(lr=1)"}, "ss_optimizer"),
        ({"ss_network_module": "networks.lora", "ss_noise_offset": "loud"}, "ss_noise_offset"),
    ],
)
def test_a_value_that_means_nothing_here_is_dropped_with_its_reason(metadata, key, tmp_path):
    recipe = recipe_of(lora(tmp_path / "x.safetensors", metadata))
    assert [line.why for line in recipe.dropped if line.key == key][0]


@pytest.mark.parametrize(
    ("metadata", "option", "value"),
    [
        ({"ss_text_encoder_lr": "[1e-05, 5e-06]"}, "text_encoder_lr", (1e-5, 5e-6)),
        ({"ss_resolution": "(512, 768)"}, "resolution", "512,768"),
        ({"ss_lr_warmup_steps": "0.1"}, "lr_warmup_steps", 0.1),
        ({"ss_optimizer": "bitsandbytes.optim.adamw.AdamW8bit(weight_decay=0.1)"}, "optimizer_type", "AdamW8bit"),
        ({"ss_network_args": '{"conv_dim": "4", "dropout": 0.1}'}, "network_args", ("conv_dim=4",)),
        ({"modelspec.timestep_range": "100,900"}, "max_timestep", 900),
        ({"modelspec.prediction_type": "v"}, "v_parameterization", True),
    ],
)
def test_values_are_read_as_sd_scripts_writes_them(metadata, option, value, tmp_path):
    path = lora(tmp_path / "x.safetensors", {"ss_network_module": "networks.lora", **metadata})
    assert recipe_of(path).options[option] == value


def test_a_model_that_is_told_by_its_path_is_looked_for_by_its_name(tmp_path):
    model = large(tmp_path / "real.safetensors", 3)
    metadata = {"ss_network_module": "networks.lora", "ss_sd_model_name": "C:\\models\\real.safetensors"}
    assert recipe_of(lora(tmp_path / "x.safetensors", metadata), models={BASE: [model]}).options[BASE] == str(model)


def test_a_resized_file_gives_the_rank_of_its_training(tmp_path):
    comment = "dimension is resized from 32 to 4; my comment"
    metadata = {"ss_network_module": "networks.lora", "ss_network_dim": "4", "ss_training_comment": comment}
    recipe = recipe_of(lora(tmp_path / "x.safetensors", metadata))
    assert recipe.options["network_dim"] == 32 and recipe.options["training_comment"] == "my comment"
    assert any("rank 32" in note.message for note in recipe.notes)


def test_a_lora_for_flux_is_said_to_be_one(tmp_path):
    metadata = {"ss_network_module": "networks.lora_flux", "ss_base_model_version": "flux1"}
    assert any("flux1" in note.message for note in recipe_of(lora(tmp_path / "x.safetensors", metadata)).missing)


def test_a_file_without_metadata_tells_what_its_tensors_show(tmp_path):
    half = {name: tensor.half() for name, tensor in TENSORS.items()}
    recipe = recipe_of(lora(tmp_path / "x.safetensors", {}, half))
    assert recipe.options == {"network_dim": 4, "network_train_unet_only": True, "save_precision": "fp16"}
    assert "tells nothing" in recipe.notes[0].message


@pytest.mark.parametrize("ending", [".ckpt", ".pt"])
def test_a_pickled_file_is_read_without_running_it(ending, tmp_path):
    torch.save(TENSORS, tmp_path / f"x{ending}")
    assert recipe_of(tmp_path / f"x{ending}").options == {"network_train_unet_only": True}


def test_the_header_alone_is_enough(trained, tmp_path):
    path, _ = trained
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        file.seek(0)
        (tmp_path / "head").write_bytes(file.read(8 + length))
    given = Given(tmp_path / "head", "frog.safetensors", header_alone=True)
    assert read([given]).recipe.options == read([Given(path)]).recipe.options
    with pytest.raises(LoraFileError, match="cut short"):
        read([dataclasses.replace(given, header_alone=False)])


def test_another_file_is_called_what_it_is(tiny_sd1):
    with pytest.raises(LoraFileError, match="not a LoRA"):
        read([Given(tiny_sd1)])


@pytest.mark.parametrize(
    "hostile", ["[" * 100_000, '{"a": ' * 500, "NaN", '{"network_dim": {"a": 1}}', '{"resolution": [1e999]}']
)
def test_hostile_metadata_drop_and_never_break(hostile, tmp_path):
    keys = ("lora_trainer_settings", "lora_trainer_data", "ss_datasets", "ss_dataset_dirs", "ss_network_args", "ss_optimizer")
    metadata = {"ss_network_module": "networks.lora", **dict.fromkeys(keys, hostile)}
    recipe = recipe_of(lora(tmp_path / "x.safetensors", metadata))
    form_values(recipe, {})
    written(recipe, tmp_path)


@pytest.mark.parametrize(
    ("trains", "name"), [("model", "model.diffusion_model.input_blocks.0.0.weight"), ("embedding", "emb_params")]
)
def test_what_another_training_of_ours_wrote_fills_the_form_and_others_models_are_refused(trains, name, tmp_path):
    told = {"trains": trains, "learning_rate": 2e-6, "seed": 3, "pretrained_model_name_or_path": "base.safetensors"}
    tensors = {name: torch.zeros(4, 4, 3, 3)}
    path = lora(tmp_path / "mine.safetensors", {"lora_trainer_settings": json.dumps(told)}, tensors)
    recipe = recipe_of(path)
    values = form_values(recipe, {"trains": "network"})
    assert (values["trains"], values["learning_rate"], values["seed"]) == (trains, 2e-6, 3)
    assert not recipe.dropped and [note.field for note in recipe.missing] == [BASE]
    with pytest.raises(LoraFileError, match="is not a LoRA file"):
        recipe_of(lora(tmp_path / "theirs.safetensors", {}, tensors))
