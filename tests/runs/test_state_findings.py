"""What is another than when a state was saved: told with both values, refused where nothing could go on."""

from __future__ import annotations

import pytest

from lora_trainer.data.plan import make_plan
from lora_trainer.data.plan.digest import data_facts
from lora_trainer.options import TrainOptions
from lora_trainer.options.dataset_config import data_spec
from lora_trainer.options.resolve import train_options
from lora_trainer.options.train import OPTIONS, OPTIONS_BY_NAME
from lora_trainer.runs import states
from lora_trainer.runs.state_findings import FIXED, resume_findings, settings
from tests.training.conftest import make_images

GIVEN = {
    "pretrained_model_name_or_path": "model.safetensors",
    "train_data_dir": "images",
    "output_dir": "out",
    "output_name": "x",
    "network_module": "networks.lora",
    "resolution": "64",
    "network_dim": 8,
    "network_args": ["conv_dim=4", "module_dropout=0.1"],
}


def options(**changed) -> TrainOptions:
    return train_options(GIVEN | changed, check_paths=False)


@pytest.fixture
def state(tmp_path):
    def write(chosen: TrainOptions, seed: int = 7, **facts):
        about = {"step": 5, "epoch": 1, "batch": 1, "seed": seed, "settings": settings(chosen), **facts}
        number = len(list(tmp_path.iterdir()))
        return states.read_state(states.write_state(tmp_path / f"x-step{number:08d}-state", {}, about))

    return write


def test_the_same_training_finds_nothing_wherever_its_files_lie_now(state):
    info = state(options())
    again = options(output_dir="elsewhere", train_data_dir="copied", output_name="y", resume="latest", save_every_n_steps=5)
    assert resume_findings(info, options()) == [] == resume_findings(info, again)
    assert resume_findings(info, options(seed=7)) == [], "the seed that was drawn then"


@pytest.mark.parametrize(
    ("changed", "field", "old", "new"),
    [
        ({"network_dim": 16}, "network_dim", "8", "16"),
        ({"network_alpha": 4}, "network_alpha", "1.0", "4.0"),
        (
            {"network_module": "networks.dylora", "network_args": ["unit=2"]},
            "network_module",
            "networks.lora",
            "networks.dylora",
        ),
        ({"network_args": ["conv_dim=8", "module_dropout=0.1"]}, "network_args", "conv_dim=4", "conv_dim=8"),
        ({"network_train_unet_only": True}, "network_train_unet_only", "false", "true"),
        ({"optimizer_type": "Prodigy"}, "optimizer_type", "AdamW", "Prodigy"),
        ({"use_8bit_adam": True}, "optimizer_type", "AdamW", "AdamW8bit"),
        ({"full_bf16": True, "mixed_precision": "bf16"}, "full_bf16", "false", "true"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_the_state_is_made_of_cannot_be_changed(state, changed, field, old, new):
    first = resume_findings(state(options()), options(**changed))[0]
    assert (first.level, first.field, first.old, first.new) == ("error", field, old, new)
    assert old in first.message and new in first.message and "cannot be changed" in first.message


@pytest.mark.parametrize(
    ("changed", "field", "old", "new"),
    [
        ({"unet_lr": 1e-5}, "unet_lr", "not given", "1e-05"),
        ({"max_train_steps": 2000}, "max_train_steps", "1600", "2000"),
        ({"text_encoder_lr": [1e-4, 1e-5]}, "text_encoder_lr", "not given", "0.0001, 1e-05"),
        ({"network_args": ["conv_dim=4"]}, "network_args", "module_dropout=0.1", "module_dropout=None"),
        ({"vae": "b.safetensors"}, "vae", "not given", "b.safetensors"),
        ({"seed": 8}, "seed", "7", "8"),
        ({"noise_offset": 0.1}, "noise_offset", "not given", "0.1"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_can_be_changed_is_told_with_both_values(state, changed, field, old, new):
    (one,) = resume_findings(state(options()), options(**changed))
    assert (one.level, one.field, one.old, one.new) == ("warning", field, old, new)
    assert old in one.message and new in one.message and "another training" in one.message


def test_the_same_optimizer_under_another_name_is_the_same(state):
    assert resume_findings(state(options()), options(optimizer_type="torch.optim.AdamW")) == []
    assert resume_findings(state(options(optimizer_type="adamw8bit")), options(use_8bit_adam=True)) == []


def test_an_option_that_the_state_does_not_know_had_its_default(state):
    kept = {name: value for name, value in settings(options()).items() if name != "min_snr_gamma"}
    info = state(options(), settings=kept)
    assert resume_findings(info, options()) == []
    assert [one.old for one in resume_findings(info, options(min_snr_gamma=5))] == ["not given"]


def test_no_secret_is_in_a_state():
    secret = [option.name for option in OPTIONS if option.secret]
    assert secret and not set(secret) & settings(options()).keys()
    assert set(FIXED) <= OPTIONS_BY_NAME.keys()


def test_other_data_are_told_by_folder(tmp_path, state):
    root = tmp_path / "images"
    for name, count in (("1_cat", 3), ("2_dog", 2)):
        make_images(root / name, count)

    def facts(**changed):
        chosen = options(train_data_dir=str(root), caption_extension=".txt", **changed)
        return data_facts(make_plan(data_spec(chosen)))

    info = state(options(), data=facts())
    assert resume_findings(info, options(), data=facts()) == []
    root.rename(tmp_path / "moved")
    root = tmp_path / "moved"
    assert resume_findings(info, options(), data=facts()) == [], "the same pictures in another place"
    treated = resume_findings(info, options(), data=facts(train_batch_size=2))
    assert [one.level for one in treated] == ["warning"] and "repeats, sizes, batches" in treated[0].message
    (root / "1_cat" / "0.txt").write_text("another caption")
    (one,) = resume_findings(info, options(), data=facts())
    assert "images of 1_cat or their captions have changed" in one.message and (one.old, one.new) == ("3", "3")
    assert one.message.endswith(": 0.png.")
    (root / "1_cat" / "1.png").rename(root / "1_cat" / "new.png")
    said = [found.message for found in resume_findings(info, options(), data=facts())]
    assert [text.split(": ")[1] for text in said] == ["1.png.", "new.png.", "0.png."]
    assert "are not there any more" in said[0] and "were not trained" in said[1]
    known = facts()
    for folder in known["folders"]:
        del folder["pictures"]  # of an older state, or too many
    (one,) = resume_findings(info, options(), data=known)[:1]
    assert "the images or captions of 1_cat are not those" in one.message
    (root / "2_dog").rename(root / "2_wolf")
    said = "\n".join(one.message for one in resume_findings(info, options(), data=facts()))
    assert "2_dog is not trained any more" in said and "2_wolf was not trained" in said


def test_another_machine_is_told(state):
    machine = {"torch": "2.1.2", "device": "CPU", "precision": "float32", "processes": 1}
    info = state(options(), machine=machine)
    assert resume_findings(info, options(), machine=machine) == []
    found = resume_findings(info, options(), machine=machine | {"torch": "2.13", "processes": 2})
    assert [(one.level, one.old, one.new) for one in found] == [("warning", "2.1.2", "2.13"), ("warning", "1", "2")]
