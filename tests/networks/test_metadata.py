"""The metadata of a run equals what the reference wrote for the same run."""

from __future__ import annotations

import dataclasses
import json

import pytest

from lora_trainer import __version__
from lora_trainer.networks import metadata
from lora_trainer.networks.arguments import parse_network_args
from lora_trainer.networks.metadata import Facts
from lora_trainer.options.train import SECTIONS, TrainOptions

from .conftest import golden

RECORDED = golden("metadata.json")
DATA = (
    "ss_num_train_images", "ss_num_reg_images", "ss_num_batches_per_epoch", "ss_dataset_dirs", "ss_tag_frequency",
    "ss_datasets",
    "ss_batch_size_per_device", "ss_total_batch_size", "ss_resolution", "ss_color_aug", "ss_flip_aug", "ss_random_crop",
    "ss_shuffle_caption", "ss_enable_bucket", "ss_bucket_no_upscale", "ss_min_bucket_reso", "ss_max_bucket_reso",
    "ss_keep_tokens", "ss_reg_dataset_dirs", "ss_bucket_info",
)  # fmt: skip
# Deliberate differences, each with its own test or reason: who wrote it, when; the file's own stem; a rank that was left out.
OURS = {
    "modelspec.implementation_version", "ss_sd_scripts_commit_hash", "modelspec.date", "ss_session_id", "ss_output_name",
    "ss_training_started_at", "ss_training_finished_at", "sshs_model_hash", "sshs_legacy_hash",
}  # fmt: skip
NUMBERS = {"ss_network_alpha"}  # 1 and 1.0 are the same

COMMON = {"network_module": "networks.lora", "save_model_as": "safetensors", "max_data_loader_n_workers": 0}
RUNS = {
    "A": {
        **COMMON, "pretrained_model_name_or_path": "models/random15.safetensors", "output_name": "sls", "resolution": "256",
        "network_dim": 2, "network_alpha": 1.0, "learning_rate": 1e-3, "unet_lr": 1e-4, "text_encoder_lr": (5e-5,),
        "max_train_steps": 10, "save_precision": "fp16", "seed": 42, "training_comment": "golden run", "cache_latents": True,
        "lr_scheduler": "cosine", "lr_warmup_steps": 2, "min_snr_gamma": 5.0,
    },
    "B": {
        **COMMON, "pretrained_model_name_or_path": "tiny.safetensors", "dataset_config": "dsB.toml", "output_name": "two",
        "network_args": ("conv_dim=2", "conv_alpha=0.5"), "network_dim": 4, "learning_rate": 1e-4, "max_train_epochs": 3,
        "seed": 7, "noise_offset": 0.05, "multires_noise_iterations": 6, "network_train_unet_only": True, "clip_skip": 2,
        "max_token_length": 150, "vae": "tiny.safetensors", "metadata_title": "T", "metadata_author": "A",
        "metadata_description": "D", "metadata_license": "L", "metadata_tags": "x,y",
    },
    "C": {
        **COMMON, "pretrained_model_name_or_path": "tiny.safetensors", "output_name": "keep", "resolution": "128",
        "max_train_epochs": 4, "no_metadata": True, "network_train_text_encoder_only": True, "learning_rate": 1e-4, "seed": 1,
    },
    "D": {
        **COMMON, "network_module": "networks.dylora", "network_args": ("unit=2",), "resolution": "128",
        "pretrained_model_name_or_path": "tiny.safetensors", "network_dim": 4, "max_train_steps": 7,
        "network_train_unet_only": True, "learning_rate": 1e-4, "seed": 1, "save_precision": "bf16",
    },
}  # fmt: skip


def options_of(**given) -> TrainOptions:
    sections = {}
    for name, section in SECTIONS.items():
        known = {field.name for field in dataclasses.fields(section)}
        sections[name] = section(**{key: given.pop(key) for key in list(given) if key in known})
    assert not given, given
    return TrainOptions(**sections)


def facts_of(run: str, stem: str, recorded: dict) -> Facts:
    given = RUNS[run]
    return Facts(
        stem=stem,
        step=int(recorded.get("ss_steps", 0)),
        epoch=int(recorded.get("ss_epoch", 0)),
        max_train_steps=int(recorded.get("ss_max_train_steps", 0)),
        num_epochs=int(recorded.get("ss_num_epochs", 0)),
        network_dim=given.get("network_dim", 4),
        network_alpha=1.0,
        optimizer=recorded.get("ss_optimizer", ""),
        started_at=1000.5,
        finished_at=1700000000.25,
        network_args=parse_network_args(given.get("network_args")),
        data={key: recorded[key] for key in DATA if key in recorded},
        base_hashes=(recorded.get("ss_sd_model_hash", ""), recorded.get("ss_new_sd_model_hash", "")),
        vae_hashes=(recorded["ss_vae_hash"], recorded["ss_new_vae_hash"]) if "ss_vae_hash" in recorded else None,
    )


@pytest.mark.parametrize("run", RUNS)
def test_metadata_of_a_run_equals_the_references(run):
    (name, recorded), *_ = RECORDED["runs"][run]["metadata"].items()
    stem = name.removesuffix(".safetensors")
    ours = metadata.build(options_of(**RUNS[run]), facts_of(run, stem, recorded))
    assert set(ours) | {"sshs_model_hash", "sshs_legacy_hash"} == set(recorded)
    assert all(isinstance(value, str) for value in ours.values())
    expected = dict(recorded)
    if run == "C":
        expected["ss_network_dim"] = "4"  # the reference writes None for a rank that was left out
    if run == "D":
        expected["modelspec.title"] = "LoRA@1700000000.25"
    for key in expected.keys() - OURS - NUMBERS:
        assert ours[key] == expected[key], key
    for key in NUMBERS:
        assert float(ours[key]) == float(expected[key])


def test_each_file_has_its_own_stem_step_and_epoch():
    run = RECORDED["runs"]["A"]
    recorded = run["metadata"]["sls.safetensors"]
    facts = facts_of("A", "sls", recorded)
    options = options_of(**RUNS["A"])
    for name, values in run["metadata_that_differs_between_files"].items():
        stem = name.removesuffix(".safetensors")
        its = dataclasses.replace(facts, stem=stem, step=int(values["ss_steps"]), epoch=int(values["ss_epoch"]))
        ours = metadata.build(options, its)
        assert (ours["ss_output_name"], ours["ss_steps"], ours["ss_epoch"]) == (stem, values["ss_steps"], values["ss_epoch"])
        assert ours["ss_session_id"] == str(facts.session_id)


def test_shapes_are_those_that_the_web_uis_card_editor_expects():
    ours = metadata.build(options_of(**RUNS["A"]), facts_of("A", "sls", RECORDED["runs"]["A"]["metadata"]["sls.safetensors"]))
    assert all("img_count" in folder for folder in json.loads(ours["ss_dataset_dirs"]).values())
    assert all(set(b) == {"resolution", "count"} for b in json.loads(ours["ss_bucket_info"])["buckets"].values())
    assert all(isinstance(n, int) for tags in json.loads(ours["ss_tag_frequency"]).values() for n in tags.values())
    assert float(ours["ss_training_started_at"]) < float(ours["ss_training_finished_at"])
    assert not ours["ss_base_model_version"].startswith("sdxl_") and ours["ss_v2"] == "False"


MODELSPEC = [row for row in RECORDED["modelspec"] if row["kind"] == "lora"]


@pytest.mark.parametrize("row", MODELSPEC, ids=lambda row: row["family"] + " " + " ".join(row["argv"]))
def test_modelspec_equals_the_references(row):
    given: dict = {}
    for argument in row["argv"]:
        name, _, value = argument.removeprefix("--").partition("=")
        whole = {"clip_skip", "min_timestep", "max_timestep"}
        given[name] = True if not value else int(value) if name in whole else value
    v2, v_prediction = given.pop("v2", False), given.pop("v_parameterization", False)
    facts = dataclasses.replace(
        facts_of("A", "x", {}),
        family="sdxl" if row["family"] == "sdxl" else "sd2" if v2 else "sd1",
        v_parameterization=v_prediction,
    )
    ours = metadata.modelspec(options_of(**given), facts)
    expected = dict(row["metadata"])
    assert set(ours) == set(expected)
    assert ours.pop("modelspec.implementation_version") == f"lora-trainer/{__version__}"
    if expected["modelspec.title"] == "LoRA@TIME":
        assert ours.pop("modelspec.title").startswith("LoRA@")
    assert all(ours[key] == expected[key] for key in ours if key != "modelspec.date")


def test_base_model_version_of_every_family():
    for row in RECORDED["ss_base_model_version"]["sd1/sd2 [v2, v_parameterization]"]:
        v2, v_prediction = row["argv"]
        assert metadata.base_model_version("sd2" if v2 else "sd1", v_prediction) == row["ss_base_model_version"]
    assert metadata.base_model_version("sdxl", False) == RECORDED["ss_base_model_version"]["sdxl"]


def test_several_text_encoder_rates_and_the_optimisers_arguments():
    facts = facts_of("A", "x", {})
    assert metadata.build(options_of(text_encoder_lr=(1e-4, 5e-5)), facts)["ss_text_encoder_lr"] == "[0.0001, 5e-05]"
    recorded = RECORDED["runs"]["B"]["metadata"]["two.safetensors"]["ss_optimizer"]

    class AdamW:
        pass

    AdamW.__module__, AdamW.__qualname__ = "torch.optim.adamw", "AdamW"
    assert metadata.optimizer_text(AdamW, {"weight_decay": 0.1, "betas": (0.9, 0.99)}) == recorded
    assert metadata.optimizer_text(AdamW, {}) == "torch.optim.adamw.AdamW"


@pytest.mark.parametrize(("args", "expected"), [((), "adafactor:0.0002"), (("relative_step=False",), "constant_with_warmup")])
def test_the_schedule_that_adafactor_makes_is_told_in_place_of_the_one_given(args, expected):
    given = {"optimizer_type": "AdaFactor", "optimizer_args": args, "learning_rate": 2e-4}
    options = options_of(**given, lr_scheduler="constant_with_warmup")
    assert metadata.build(options, facts_of("A", "x", {}))["ss_lr_scheduler"] == expected
