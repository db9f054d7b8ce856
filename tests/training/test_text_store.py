"""cache_text_encoder_outputs_to_disk: a second run encodes no caption, and nothing that changed comes from the disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lora_trainer.data.plan import cache_folders
from lora_trainer.models import load
from lora_trainer.models.conditioning import Conditioning
from lora_trainer.training import conditioning
from lora_trainer.training.conditioning import TextStates
from lora_trainer.training.precision import Precision
from lora_trainer.training.text_store import TextStore
from lora_trainer.training.train import train

from .conftest import Recorder, make_images
from .test_train import tensors_equal

CPU = Precision(torch.device("cpu"), torch.float32)


@pytest.mark.effect("cache_text_encoder_outputs_to_disk")
def test_a_second_run_encodes_no_caption_and_learns_the_same(options_for, tmp_path, monkeypatch):
    encoded, real = [], TextStates._encode
    monkeypatch.setattr(TextStates, "_encode", lambda self, captions: encoded.extend(captions) or real(self, captions))
    folder = make_images(tmp_path / "data" / "1_sls frog", 3)
    given = {"train_data_dir": str(folder.parent), "network_train_unet_only": True, "max_train_steps": 2}

    def trained(name, **more):
        encoded.clear()
        return train(options_for(output_name=name, **given, **more), reporter=Recorder()).path, sorted(encoded)

    kept = {"cache_text_encoder_outputs_to_disk": True}
    first, all_of_them = trained("first", **kept)
    second, none = trained("second", **kept)
    assert all_of_them == [f"sls frog, colour {i}" for i in range(3)] and none == [] and tensors_equal(first, second)
    (folder / "1.txt").write_text("sls frog, another colour")
    assert trained("edited", **kept)[1] == ["sls frog, another colour"]


class Encoders:
    """Stands for a model: what it makes of a caption is told by the caption and `gain`."""

    text_encoders = ()

    def __init__(self, gain=1.0):
        self.gain, self.seen = gain, []

    def encode(self, captions, **how):
        self.seen += captions
        return Conditioning(torch.stack([torch.full((2, 3), self.gain * len(caption)) for caption in captions]))


def states(folder: Path, made_by: dict, model: Encoders, captions=("a", "bb", "ccc"), **how) -> TextStates:
    found = TextStates(model, CPU, False, store=TextStore(made_by, dict.fromkeys(captions, folder)))
    found.prepare(captions, **how)
    return found


def test_another_caption_encoder_or_setting_is_worked_out_anew(tmp_path):
    made_by = {"encoders": ["one"], "clip_skip": 1, "max_token_length": 75, "weighted": False, "precision": "float32"}
    states(tmp_path, made_by, Encoders())
    again = Encoders()
    assert torch.equal(states(tmp_path, made_by, again)(["bb"]).states, torch.full((1, 2, 3), 2.0)) and again.seen == []
    for name, value in {"encoders": ["two"], "clip_skip": 2, "weighted": True, "precision": "float16"}.items():
        other = Encoders(gain=5.0)
        assert states(tmp_path, {**made_by, name: value}, other)(["bb"]).states[0, 0, 0] == 10.0
        assert other.seen == ["a", "bb", "ccc"], name
    other = Encoders()
    states(tmp_path, made_by, other, captions=("a", "b b"))
    assert other.seen == ["b b"]


@pytest.mark.parametrize("damage", ["cut", "NaN"])
def test_a_damaged_entry_is_made_again_and_told_once(tmp_path, damage):
    made_by = {"encoders": ["one"]}
    states(tmp_path, made_by, Encoders(float("nan") if damage == "NaN" else 1.0), captions=("a",))
    if damage == "cut":
        (path,) = (tmp_path / cache_folders.FOLDER).glob("text-*")
        path.write_bytes(path.read_bytes()[:-3])
    model, told = Encoders(), Recorder()
    found = states(tmp_path, made_by, model, captions=("a",))
    found.store.tell(told.emit)
    found.store.tell(told.emit)
    (message,) = [event["message"] for event in told.of("warning")]
    assert model.seen == ["a"] and found(["a"]).states[0, 0, 0] == 1.0 and "made again (1). The first: text-" in message


def test_more_captions_than_are_kept_in_memory_come_from_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(conditioning, "MOST_KEPT", 2)
    model = Encoders()
    found = states(tmp_path, {"encoders": ["one"]}, model, captions=tuple("abcde"))
    assert model.seen == list("abcde")
    for caption in "abcde":
        assert found([caption]).states[0, 0, 0] == 1.0
    assert model.seen == list("abcde"), "none is encoded a second time"
    plain, model.seen = TextStates(model, CPU, False), []
    plain.prepare("abcde")
    assert model.seen == list("ab"), "what would be forgotten is not encoded beforehand"


def test_two_processes_encode_a_part_each(tmp_path):
    class Second:
        rank, world_size = 1, 2

        def wait(self):
            states(tmp_path, {"encoders": ["one"]}, first, captions=("a", "ccc"))

    first, second = Encoders(), Encoders()
    found = states(tmp_path, {"encoders": ["one"]}, second, together=Second())
    assert first.seen == ["a", "ccc"] and second.seen == ["bb"]
    assert found(["a", "bb", "ccc"]).states[:, 0, 0].tolist() == [1.0, 2.0, 3.0]


def test_what_the_encoders_are_is_part_of_the_key_and_a_lora_on_them_keeps_nothing(tiny_sd1, options_for, pictures):
    from lora_trainer.data.plan import make_plan
    from lora_trainer.options.dataset_config import data_spec

    options = options_for(cache_text_encoder_outputs_to_disk=True, network_train_unet_only=True)
    plan = make_plan(data_spec(options))
    model = load(tiny_sd1, dtype=torch.float32, device="cpu")
    told = Recorder()

    class Network:
        on = False

        def adapters(self, part):
            return ["one"] if self.on else []

    def made_by(**settings):
        chosen = replace(options.model, **settings)
        return TextStore.of(options.dataset, chosen, model, Network(), plan, torch.float32, told.emit).made_by

    first = made_by()
    assert first == made_by() and first != made_by(clip_skip=2) and first != made_by(max_token_length=150)
    with torch.no_grad():
        next(model.text_encoders[0].parameters()).add_(1e-3)
    assert first != made_by()
    Network.on = True
    assert TextStore.of(options.dataset, options.model, model, Network(), plan, torch.float32, told.emit) is None
    assert "network_train_unet_only" in told.of("warning")[0]["message"]
