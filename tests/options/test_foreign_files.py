"""Files that people bring from other programs, and files given where another kind is expected: told in few clear lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from lora_trainer.errors import InputErrors
from lora_trainer.options import OPTIONS, TrainOptions, flat
from lora_trainer.options.config_file import toml_value
from lora_trainer.options.dataset_config import load
from lora_trainer.options.resolve import train_options

from .valid import make_valid

# What a user of a well-known GUI has: all options flat, some the GUI's own, empty texts for what is not set.
GUI = """
caption_separator = ""
dynamo_backend = "no"
epoch = 1
huggingface_token = ""
logging_dir = ""
lr_scheduler_args = []
max_data_loader_n_workers = 0
network_weights = ""
noise_offset_type = "Original"
num_machines = 1
optimizer_type = ""
resume = " "
sample_prompts = ""
text_encoder_lr = [ 0.0001,]
vae = ""
"""


@pytest.fixture
def valid(tmp_path):
    return make_valid(tmp_path)


def with_file(tmp_path: Path, text: str, given: dict[str, str]) -> list[str]:
    """The messages that a training with this configuration file ends in; none where it could start."""
    path = tmp_path / "gui.toml"
    path.write_text(text, encoding="utf-8")
    try:
        train_options({**given, "config_file": str(path)})
    except InputErrors as wrong:
        return [str(error) for error in wrong.errors]
    return []


def test_empty_texts_in_a_file_mean_not_given_for_every_option(tmp_path, valid):
    names = [option.name for option in OPTIONS if option.name not in {"config_file", *valid}]
    assert with_file(tmp_path, "\n".join(f'{name} = ""' for name in names), valid) == []
    options = train_options({**valid, "config_file": str(tmp_path / "gui.toml")})
    plain = train_options(valid)
    different = [name for name, value in flat(options).items() if value != flat(plain)[name]]
    assert different == ["config_file"]


def test_what_is_left_of_a_guis_file_is_told_in_few_lines(tmp_path, valid):
    (message,) = with_file(tmp_path, GUI, valid)
    assert "3 keys are no options: epoch (line 4), noise_offset_type (line 10), num_machines (line 11)" in message
    own = [line for line in GUI.splitlines() if not line.startswith(("epoch", "noise_offset_type", "num_machines"))]
    assert with_file(tmp_path, "\n".join(own), valid) == []


def test_options_without_effect_are_told_in_one_line(tmp_path, valid):
    names = [option.name for option in OPTIONS if not (option.supported or option.refused) and option.kind == "bool"]
    if len(names) < 3:
        pytest.skip("nearly every option has its effect")
    (message,) = with_file(tmp_path, "".join(f"{name} = true\n" for name in names), valid)
    assert all(name in message for name in names)


@pytest.mark.parametrize("word", ["no", "NO"])
def test_no_compiling_is_understood_and_a_backend_alone_is_refused(tmp_path, valid, word):
    assert with_file(tmp_path, f"dynamo_backend = {toml_value(word)}", valid) == []
    (message,) = with_file(tmp_path, 'dynamo_backend = "eager"', valid)
    assert "dynamo_backend has no effect without torch_compile" in message


def dataset_problems(path: Path, text: str) -> list[str]:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputErrors) as raised:
        load(path, TrainOptions(), check_paths=False)
    return [str(error) for error in raised.value.errors]


@pytest.mark.parametrize("text", [GUI, "[model]\nvae = ''\n[network]\nnetwork_dim = 4", "[general]\n[training]\nseed = 1"])
def test_a_configuration_given_as_data_set_file_is_one_message(tmp_path, text):
    (message,) = dataset_problems(tmp_path / "set.toml", text)
    assert "this is a configuration file" in message and "--config_file" in message


def test_a_data_set_file_given_as_configuration_is_one_message(tmp_path, valid):
    (message,) = with_file(tmp_path, "[general]\nenable_bucket = true\n[[datasets]]\nresolution = 64", valid)
    assert "this is a data set file" in message and "--dataset_config" in message


@pytest.mark.parametrize("name", ["cache_latents", "mixed_precision", "learning_rate", "seed", "caption_extention"])
def test_an_option_of_the_command_line_in_a_data_set_file_is_called_that(tmp_path, name):
    text = f"[general]\n{name} = 1\n[[datasets]]\nresolution = 64\n[[datasets.subsets]]\nimage_dir = 'x'"
    (message,) = dataset_problems(tmp_path / "set.toml", text)
    if name == "caption_extention":  # an alias of a key
        assert "caption_extension" in message
    else:
        assert "option of the command line" in message and "Did you mean" not in message


def test_an_option_with_another_name_in_a_data_set_file_is_told_that_name(tmp_path):
    text = "[[datasets]]\nresolution = 64\ntrain_batch_size = 2\n[[datasets.subsets]]\nimage_dir = 'x'\ndataset_repeats = 3"
    first, second = dataset_problems(tmp_path / "set.toml", text)
    assert "called batch_size" in first and "called num_repeats" in second
