"""A training that was killed and goes on ends as one that was never stopped, whatever is trained and however."""

from __future__ import annotations

import os
from functools import partial

import pytest
import torch

from lora_trainer.runs import states
from lora_trainer.runs.control import Control
from lora_trainer.training import resuming
from lora_trainer.training.train import train
from lora_trainer.training.trainee import Trainee

from .conftest import Recorder, short_training
from .killing import assert_same_file, losses, train_with_kills

FILES = {"save_every_n_steps": 1, "save_last_n_steps": 1, "max_train_steps": 6}

KINDS = {
    "a schedule": {"lr_scheduler": "cosine", "lr_warmup_steps": 2},
    "C3Lier, accumulated": {"network_args": "conv_dim=2", "gradient_accumulation_steps": 3},
    "not cached": {"cache_latents": False, "flip_aug": True},
    "captions that change, two processes read": {
        "cache_latents": False, "max_data_loader_n_workers": 2, "shuffle_caption": True, "token_warmup_step": 4,
        "caption_dropout_rate": 0.3,
    },
    "DyLoRA": {"network_module": "networks.dylora", "network_dim": 4, "network_args": "unit=2"},
    "LoHa": {"network_module": "lycoris.kohya", "network_args": ["algo=loha", "module_dropout=0.2"], "network_dim": 2},
    "dropouts, limited weights": {
        "network_dropout": 0.3, "network_args": ["rank_dropout=0.3", "module_dropout=0.3"], "scale_weight_norms": 0.01,
        "max_grad_norm": 0.1,
    },
    "bf16 throughout": {"mixed_precision": "bf16", "full_bf16": True},
    "an average, the best by images kept aside": {
        "ema_decay": 0.9, "validation_split": 0.25, "validation_seed": 1, "validate_every_n_steps": 1, "save_best": True,
    },
    "schedule-free, bf16": {"optimizer_type": "AdamWScheduleFree", "unet_lr": 1e-2, "mixed_precision": "bf16"},
    "a rate that is found, a class of PyTorch": {
        "optimizer_type": "Prodigy", "learning_rate": 1.0, "text_encoder_lr": 0.5, "lr_scheduler_type": "StepLR",
        "lr_scheduler_args": "step_size=2",
    },
}  # fmt: skip


def assert_kills_change_nothing(make, folder, seed: int, **chosen) -> None:
    """Two kills at random places against an undisturbed training that saves no state at all."""
    undisturbed = Recorder()
    whole = train(make(output_dir=str(folder / "whole"), **FILES, **chosen), reporter=undisturbed)
    recorders, path = train_with_kills(make, 2, seed, save_state=True, **FILES, **chosen)
    assert [len(recorder.of("resumed")) for recorder in recorders] == [0, 1, 1]
    assert recorders[-1].of("step")[0]["step"] > 1, "it began at the beginning"
    assert losses(recorders) == losses([undisturbed])
    saved = [{file.name for file in one.parent.glob("*.safetensors")} for one in (whole.path, path)]
    assert saved[0] == saved[1]
    for name in saved[0]:
        assert_same_file(whole.path.with_name(name), path.with_name(name))
    assert not (path.parent / ".replaced").exists() and not list(path.parent.glob("*.tmp")), "its own files were in its way"


@pytest.mark.effect("save_state", "resume")
@pytest.mark.parametrize("kind", [pytest.param(one, marks=pytest.mark.long if one == "LoHa" else ()) for one in KINDS])
def test_a_training_that_was_killed_ends_as_one_that_was_not(options_for, tmp_path, kind):
    assert_kills_change_nothing(options_for, tmp_path, list(KINDS).index(kind), **KINDS[kind])


def test_the_validation_goes_on_and_the_best_file_is_the_one_of_a_training_never_stopped(options_for, tmp_path):
    chosen = {"validation_split": 0.25, "validate_every_n_steps": 1, "save_best": True, "learning_rate": 0.3, "ema_decay": 0.2}
    undisturbed = Recorder()
    whole = train(options_for(output_dir=str(tmp_path / "whole"), **FILES, **chosen), reporter=undisturbed)
    recorders, path = train_with_kills(options_for, 2, 3, save_state=True, **FILES, **chosen)
    measured = {event["step"]: (event["loss"], event["best"]) for each in recorders for event in each.of("validation")}
    assert measured == {event["step"]: (event["loss"], event["best"]) for event in undisturbed.of("validation")}
    assert_same_file(whole.path.with_name("x-best.safetensors"), path.with_name("x-best.safetensors"))
    assert_same_file(whole.path, path)


def test_a_training_of_sdxls_topology_that_was_killed_ends_as_one_that_was_not(tiny_model, pictures, tmp_path):
    make = partial(short_training, tiny_model("sdxl"), pictures, tmp_path / "out")
    assert_kills_change_nothing(make, tmp_path, 7, network_train_unet_only=True)


@pytest.fixture(scope="module")
def stepped(tiny_sd1, pictures, tmp_path_factory):
    """A training of 6 steps, 4 to an epoch, with a state after each; nothing may be written beside it. (folder, reporter)"""
    folder, reporter = tmp_path_factory.mktemp("stepped"), Recorder()
    options = short_training(
        tiny_sd1, pictures, folder, save_state=True, save_every_n_steps=1, save_every_n_epochs=1, max_train_steps=6
    )
    train(options, reporter=reporter)
    return folder, reporter


def test_states_have_the_names_of_the_reference_and_say_where_they_are(stepped):
    """The names of golden/resume.json. A state that ends an epoch goes on with the next one, the last where it would go on."""
    folder, reporter = stepped
    found = {path.name: states.read_state(path) for path in states.states_in(folder)}
    assert {name: (info.step, info.epoch, info.batch) for name, info in found.items()} == {
        "x-step00000001-state": (1, 0, 1),
        "x-step00000002-state": (2, 0, 2),
        "x-step00000003-state": (3, 0, 3),
        "x-step00000004-state": (4, 1, 0),
        "x-000001-state": (4, 1, 0),
        "x-step00000005-state": (5, 1, 1),
        "x-step00000006-state": (6, 1, 2),
        "x-state": (6, 1, 2),
    }
    assert all(file.suffix in {".json", ".safetensors"} for state in found.values() for file in state.path.iterdir())
    told = [(event["path"], event["step"], event["rolling"]) for event in reporter.of("state")]
    assert told[0] == (str(folder / "x-step00000001-state"), 1, False) and told[-1][0] == str(folder / "x-state")


@pytest.mark.effect("resume")
@pytest.mark.parametrize("state", ["x-step00000003-state", "x-000001-state", "x-step00000005-state"])
def test_going_on_from_a_state_is_the_rest_of_the_training(stepped, options_for, tmp_path, state):
    folder, whole = stepped
    reporter, chosen = Recorder(), {"save_every_n_steps": 1, "save_every_n_epochs": 1, "max_train_steps": 6}
    result = train(options_for(**chosen, resume=str(folder / state)), reporter=reporter)
    first = states.read_state(folder / state).step + 1
    assert [event["step"] for event in reporter.of("step")] == list(range(first, 7))
    resumed = reporter.of("resumed")[0]
    assert (resumed["step"], resumed["path"]) == (first - 1, str(folder / state))
    rest = {step: told for step, told in losses([whole]).items() if step >= first}
    assert losses([reporter]) == rest
    assert_same_file(folder / "x.safetensors", result.path)


@pytest.mark.parametrize("lost", ["network", "optimizer", "loop"])
def test_a_piece_that_were_not_restored_would_be_noticed(stepped, options_for, monkeypatch, lost):
    """The comparison of the tests above can fail: here it does."""
    folder, whole = stepped
    real = resuming.pieces
    monkeypatch.setattr(resuming, "pieces", lambda loop: {name: piece for name, piece in real(loop).items() if name != lost})
    reporter, chosen = Recorder(), {"save_every_n_steps": 1, "save_every_n_epochs": 1, "max_train_steps": 6}
    train(options_for(**chosen, resume=str(folder / "x-step00000003-state")), reporter=reporter)
    rest = {step: told for step, told in losses([whole]).items() if step > 3}
    assert losses([reporter]).keys() == rest.keys() and losses([reporter]) != rest


def folders(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


@pytest.mark.effect("save_last_n_steps_state", "save_last_n_epochs_state", "save_state_on_train_end")
def test_older_states_are_removed_while_the_files_stay(options_for, tmp_path):
    chosen = {"save_every_n_steps": 1, "save_every_n_epochs": 1, "save_state": True, "max_train_steps": 12}
    train(options_for(**chosen, save_last_n_steps_state=1, save_last_n_epochs_state=1), reporter=Recorder())
    out = tmp_path / "out"
    assert folders(out) == ["x-000002-state", "x-state", "x-step00000011-state", "x-step00000012-state"]
    assert len(list(out.glob("x-step*.safetensors"))) == 12 and len(list(out.glob("x-00000?.safetensors"))) == 2
    at_end = tmp_path / "at end"
    train(options_for(output_dir=str(at_end), save_state_on_train_end=True, max_train_steps=1), reporter=Recorder())
    assert folders(at_end) == ["x-state"]


@pytest.mark.effect("save_state_every_n_minutes")
def test_rolling_states_lie_where_no_list_looks_and_go_at_the_end(options_for, tmp_path):
    """One at every save; the last two are kept until the training is done, and after a stop the one that it stopped at."""
    out, seen = tmp_path / "out", []

    def look(event):
        if event["type"] == "state":
            seen.append(folders(out / ".states" / "x"))
        return Control(stop=True) if event.get("step") == 5 and event["type"] == "step" else None

    chosen = {"save_state_every_n_minutes": 1e-6, "max_train_steps": 9}
    stopped = train(options_for(**chosen), reporter=Recorder(look))
    assert stopped.reason == "stopped" and len(seen) >= 2 and all(len(there) <= 2 for there in seen)
    assert seen[-1][-1] == f"step{stopped.step:08d}-state" and folders(out) == [".states"]
    reporter = Recorder()
    done = train(options_for(**chosen, resume="latest"), reporter=reporter)
    assert reporter.of("resumed")[0]["step"] == stopped.step and done.step == 9
    assert folders(out) == [] and done.path.is_file()


@pytest.mark.effect("initial_step", "initial_epoch", "skip_until_initial_step")
@pytest.mark.parametrize(
    ("chosen", "steps", "images"),
    [
        ({"initial_step": 5}, [6, 7, 8], (1, 0)),
        ({"initial_step": 5, "skip_until_initial_step": True}, [6, 7, 8], (1, 1)),
        ({"initial_epoch": 2}, [5, 6, 7, 8], (1, 0)),
        ({"initial_epoch": 9, "initial_step": 6}, [7, 8], (1, 0)),
    ],
    ids=["step", "step, skip", "epoch", "step before epoch"],
)
def test_steps_that_count_as_made_are_not_trained(options_for, monkeypatch, chosen, steps, images):
    """The schedule begins at its beginning, as in golden/resume.json; the steps end where they were to end."""
    first: list[tuple[int, int]] = []
    real = Trainee.batch_loss
    monkeypatch.setattr(
        Trainee,
        "batch_loss",
        lambda self, batch, **rest: first.append((batch["epoch"], batch["batch"])) or real(self, batch, **rest),
    )
    reporter = Recorder()
    train(options_for(max_train_steps=8, lr_scheduler="linear", **chosen), reporter=reporter)
    assert [event["step"] for event in reporter.of("step")] == steps
    assert first[0] == images
    assert [event["lr"] for event in reporter.of("step")] == pytest.approx(
        [1e-3 * (8 - made) / 8 for made in range(len(steps))]
    )


@pytest.mark.effect("deterministic")
def test_deterministic_kernels_are_asked_for_while_it_trains(options_for, monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    seen = []
    for wanted in (True, False):
        asked = Recorder(
            lambda event: seen.append(torch.are_deterministic_algorithms_enabled()) if event["type"] == "step" else None
        )
        train(options_for(max_train_steps=1, deterministic=wanted), reporter=asked)
        assert not torch.are_deterministic_algorithms_enabled()
    assert seen == [True, False] and os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
