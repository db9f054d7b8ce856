"""An option that we accept has its effect: a training really reads it (what its effect is, the rooms' own tests say)."""

from __future__ import annotations

import sys

import pytest

from lora_trainer.networks.files import read_metadata
from lora_trainer.options import OPTIONS
from lora_trainer.options.data_spec import DatasetSpec, SubsetSpec
from lora_trainer.options.dataset_keys import KEYS
from lora_trainer.options.train import SECTIONS
from lora_trainer.training.train import train
from tests.training.conftest import Recorder, pictures, short_training  # noqa: F401 - a fixture

# Read before there is a training, or by nobody, and why that is right.
ELSEWHERE = {
    "config_file": "the command line reads it: tests/options/test_cli_and_files.py",
    "output_config": "the command line writes it: tests/options/test_cli_and_files.py",
    "console_log_level": "the command sets the logger before the training: tests/test_log.py",
    "console_log_file": "the same",
    "console_log_simple": "the same",
    "v2": "a check before the training, which finds the family itself: tests/options/test_resolve.py",
    "no_half_vae": "read in fp16 alone, which needs a card: tests/gpu/test_training.py",
    **dict.fromkeys(
        [f"huggingface_{name}" for name in ("repo_type", "path_in_repo", "token", "repo_visibility")]
        + ["save_state_to_huggingface", "async_upload"],
        "read where something is uploaded or fetched: tests/training/test_hub.py",
    ),
    "wandb_api_key": "read where Weights & Biases is asked for: tests/training/test_trackers.py",
    "use_8bit_adam": "stands for an optimizer_type, which is read: tests/training/test_optimizers.py",
    "use_lion_optimizer": "the same",
    "diffusers_xformers": "stands for xformers, which is read: tests/training/test_whole_model.py",
    "install_packages": "the command line does it before the training: tests/installing/test_extras.py",
    "reg_data_dir": "its folders become subsets: tests/options/test_dataset_config.py",
    "sdpa": "PyTorch's attention is what is used when xformers is not asked for",
    "mem_eff_attn": "the same",
    "persistent_data_loader_workers": "one loader goes through all epochs, so its processes always stay",
}
# Writing an option's value into the file's metadata is not using it.
NOT_READERS = (
    "lora_trainer.options",
    "lora_trainer.networks.metadata",
    "lora_trainer.networks.recipe",
    "lora_trainer.data.plan.digest",
    "dataclasses",
    "copy",
)
# These make the data set of the options, and say what format the files have.
BUT = tuple(f"lora_trainer.options.{name}" for name in ("dataset_folders", "dataset_config", "sentences", "saving"))
TEXTS = {"training_comment": "ss_training_comment"} | {
    option.name: f"modelspec.{option.name.removeprefix('metadata_')}"
    for option in OPTIONS
    if option.name.startswith("metadata_") and option.kind == "str"
}


def _recording(found: set[str]):
    def read(self, name):
        reader = sys._getframe(1).f_globals.get("__name__", "")
        if reader in BUT or not reader.startswith(NOT_READERS):
            found.add(name)
        return object.__getattribute__(self, name)

    return read


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_sd1, pictures):  # noqa: F811
    """trained(**options): a short training; returns the finished file's metadata."""

    def make(**changed) -> dict[str, str]:
        options = short_training(tiny_sd1, pictures, tmp_path_factory.mktemp("reads"), **changed)
        return read_metadata(train(options, reporter=Recorder()).path)

    return make


@pytest.fixture(scope="module")
def reads(trained, tmp_path_factory) -> set[str]:
    """The options that were read by a room other than `options` in trainings that go through every place that reads one."""
    prompts = tmp_path_factory.mktemp("prompts") / "prompts.txt"
    prompts.write_text("a frog --w 64 --h 64 --s 1\n")
    found: set[str] = set()
    with pytest.MonkeyPatch.context() as patch:
        for declared in (*SECTIONS.values(), DatasetSpec, SubsetSpec):
            patch.setattr(declared, "__getattribute__", _recording(found))
        logs = {"logging_dir": str(prompts.parent / "logs"), "log_config": True}
        trained(max_train_steps=1, sample_prompts=str(prompts), sample_every_n_steps=1, cache_latents_to_disk=True, **logs)
        trained(max_train_steps=1, network_module=None, trains="embedding", token_string="sls")
        trained(max_train_steps=1, network_module=None, trains="model")
        trained(
            trains="pivotal",
            token_string="sls",
            max_train_steps=2,
            cache_latents=False,
            loss_type="huber",
            shuffle_caption=True,
            token_warmup_step=2,
            flip_aug=True,
            enable_bucket=True,
            min_bucket_reso=64,
            caption_dropout_every_n_epochs=2,
            noise_offset=0.1,
            multires_noise_iterations=2,
            save_every_n_steps=1,
            validation_split=0.25,
            masked_loss=True,
            save_state=True,
            initial_step=1,
        )
    return found


@pytest.mark.parametrize("name", [option.name for option in OPTIONS if option.supported and option.name not in TEXTS])
def test_an_accepted_option_is_read_by_a_training(name, reads):
    """Data set keys count under their own names: that is where the command line's value goes."""
    keys = {key.name for key in KEYS.values() if key.command_line == name}
    assert {name, *keys} & reads or name in ELSEWHERE, "accepted, and nothing reads it"


def test_what_is_said_to_be_read_elsewhere_is_not_read_here(reads):
    assert not set(ELSEWHERE) & reads


@pytest.mark.effect("no_metadata", "training_comment", "metadata_title", "metadata_author", "metadata_description")
@pytest.mark.effect("metadata_license", "metadata_tags", "metadata_usage_hint", "metadata_trigger_phrase", "metadata_thumbnail")
@pytest.mark.effect("metadata_merged_from", "metadata_preprocessor", "metadata_is_negative_embedding")
def test_the_texts_for_the_file_are_in_the_file_and_no_metadata_keeps_it_short(trained):
    given = {name: f"data:image/png;base64,{name}" for name in TEXTS}
    found = trained(max_train_steps=1, **given)
    assert {name: found[TEXTS[name]] for name in given} == given
    short = trained(max_train_steps=1, no_metadata=True)
    assert "ss_learning_rate" in found and "ss_learning_rate" not in short and len(short) < 20


def test_the_optimizers_and_schedules_are_those_that_there_are():
    from lora_trainer.options import OPTIONS_BY_NAME
    from lora_trainer.options.optimizer_kinds import OPTIMIZERS
    from lora_trainer.training import schedulers

    assert list(OPTIONS_BY_NAME["optimizer_type"].choices) == [kind.name for kind in OPTIMIZERS]
    assert set(OPTIONS_BY_NAME["lr_scheduler"].choices) == {*schedulers._SCHEDULES, "adafactor"}
