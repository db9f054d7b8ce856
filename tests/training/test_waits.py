"""What a training waits for: on a card, each value that Python reads is a wait for all that was launched before."""

from __future__ import annotations

import json
from collections import Counter

import pytest
import torch

from lora_trainer.errors import NotFiniteError
from lora_trainer.networks import files
from lora_trainer.runs.control import Control
from lora_trainer.training.ahead import Ahead
from lora_trainer.training.made import Numbers
from lora_trainer.training.noise import NoiseSettings, draw_batch
from lora_trainer.training.train import train
from lora_trainer.training.trainee import Trainee
from lora_trainer.training.update import Updater

from ..counting import Reads
from .conftest import Recorder
from .test_update import needs_fused

FUSED = {"optimizer_args": ["fused=True"]}  # as on a card: such an optimizer leaves a step out by itself
OF_TORCH = "torch.optim"  # reads its step counters, which are no numbers of the card


class Trace(Recorder):
    """A reporter that keeps what was read before each step was told."""

    def __init__(self, reads: Reads) -> None:
        super().__init__()
        self.reads, self.before = reads, []

    def emit(self, event) -> None:
        if event["type"] == "step":
            places = [(module.rpartition(".")[2], name) for module, name, _ in self.reads.places if OF_TORCH not in module]
            self.before.append(Counter(places))
            self.reads.places.clear()
        super().emit(event)


@pytest.mark.parametrize("chosen", [pytest.param(FUSED, marks=needs_fused), {}], ids=["fused", "not fused"])
def test_a_step_reads_one_pair_of_numbers_and_nothing_else_of_the_device(options_for, chosen):
    more = {"train_batch_size": 2, "noise_offset": 0.05, "min_snr_gamma": 5.0, "multires_noise_iterations": 3}
    with Reads() as reads:
        reporter = Trace(reads)
        train(options_for(max_train_steps=7, network_train_unet_only=True, **more, **chosen), reporter=reporter)
    # The places in the step come with the batch, from main memory; loss and length of the gradients are read together.
    usual = Counter({("made", "read"): 1, ("trainee", "batch_loss"): 1})
    early = Counter({} if chosen else {("trainee", "prepare"): 1})  # of the next step, which is drawn while this one runs
    assert reporter.before[2:-2] == [usual + early] * 3, reporter.before


def test_noise_that_looks_at_kept_latents_does_not_ask_the_device_for_them():
    latents, settings = torch.randn(2, 4, 8, 8), NoiseSettings(noise_offset=0.1, adaptive_noise_scale=0.5)
    drawn = draw_batch(latents, settings, seed=1, step=1, positions=[0, 1], device=torch.device("meta"))
    assert drawn.noise.is_meta and drawn.timesteps.is_meta


def order(monkeypatch, options, control=None) -> list[str]:
    """Train, and return the order of: a step's backward pass (b), its numbers read (r), and what was told (first letters)."""
    seen: list[str] = []
    backward, read = Updater.backward, Numbers.read
    monkeypatch.setattr(Updater, "backward", lambda self, loss: (seen.append("b"), backward(self, loss))[1])
    monkeypatch.setattr(Numbers, "read", lambda self: (seen.append("r"), read(self))[1])
    told = {"step": "S", "saved": "W", "sample": "P", "validation": "V", "state": "K"}
    train(options, reporter=Recorder(lambda event: seen.append(told.get(event["type"], "")) or (control and control(event))))
    return "".join(seen)


@needs_fused
def test_a_loss_is_read_while_the_next_step_runs_and_before_anything_looks_at_the_training(options_for, monkeypatch):
    chosen = {"max_train_steps": 6, "save_every_n_steps": 3, "save_state": True, **FUSED}
    assert order(monkeypatch, options_for(**chosen)) == "bbrSbrSrSWKbbrSbrSrSWKWK"


@needs_fused
def test_who_asks_is_answered_after_the_step_that_runs(options_for, monkeypatch):
    def asks(event):
        return Control(save=1) if event.get("step") == 2 and event["type"] == "step" else None

    assert order(monkeypatch, options_for(max_train_steps=6, **FUSED), asks) == "bbrSbrSrSWbbrSbrSrSW"


@needs_fused
def test_what_is_told_and_saved_is_the_same_however_late_the_loss_is_read(options_for, tmp_path, monkeypatch):
    chosen = {"train_batch_size": 2, "save_every_n_epochs": 2, "save_state": True, **FUSED}  # two steps an epoch
    found = {}
    for late in (True, False):
        if not late:
            monkeypatch.setattr(Updater, "leaves_out", False)
        out = tmp_path / str(late)
        reporter = Recorder()
        train(options_for(output_dir=str(out), max_train_steps=7, **chosen), reporter=reporter)
        events = [
            {key: event[key] for key in ("type", "step", "epoch", "loss", "loss_average", "lr") if key in event}
            for event in reporter.events
            if event["type"] in ("step", "saved", "state", "finished")
        ]
        states = {f"{path.parent.name}/{path.name}": path.read_bytes() for path in out.glob("*-state/*.safetensors")}
        found[late] = events, states, {path.name: files.load(path)[0] for path in out.glob("*.safetensors")}
    (events, states, weights), (same_events, same_states, same_weights) = found[True], found[False]
    assert len(states) == 4 and events == same_events and states == same_states and weights.keys() == same_weights.keys()
    assert all(torch.equal(weights[file][name], same_weights[file][name]) for file in weights for name in weights[file])
    assert [event["step"] for event in events if event["type"] == "step"] == [*range(1, 8)]


@needs_fused
def test_a_step_that_was_left_out_late_is_as_if_it_had_not_been(options_for, tmp_path, monkeypatch):
    wrong = 6  # the last of an epoch, at whose end nothing else is to be done
    real = Trainee.batch_loss

    def spoilt(self, batch, *, step, **rest):
        return real(self, batch, step=step, **rest) * (float("nan") if step == wrong else 1.0)

    monkeypatch.setattr(Trainee, "batch_loss", spoilt)
    chosen = {"lr_scheduler": "cosine", "save_state_every_n_minutes": 60.0, "train_batch_size": 2, **FUSED}
    with pytest.raises(NotFiniteError, match=f"at step {wrong}"):
        train(options_for(output_dir=str(tmp_path / "a"), max_train_steps=9, **chosen), reporter=(told := Recorder()))
    assert told.of("step")[-1]["step"] == wrong - 1
    monkeypatch.undo()
    stop = Recorder(lambda event: Control(stop=True) if event["type"] == "step" and event["step"] >= wrong - 2 else None)
    train(options_for(output_dir=str(tmp_path / "b"), max_train_steps=9, **chosen), reporter=stop)
    (state,), (stopped,) = ([*(tmp_path / name).rglob("step*-state")] for name in "ab")
    assert state.name == stopped.name == f"step{wrong - 1:08d}-state"
    for file in ("network.safetensors", "optimizer.safetensors"):
        assert (state / file).read_bytes() == (stopped / file).read_bytes()
    pieces = [json.loads((folder / "pieces.json").read_text()) for folder in (state, stopped)]
    places = [json.loads((folder / "state.json").read_text()) for folder in (state, stopped)]
    assert all(pieces[0][name] == pieces[1][name] for name in pieces[0] if name != "saver")
    assert all(places[0][name] == places[1][name] for name in ("step", "epoch", "batch"))


def test_a_batch_is_looked_at_without_taking_it_and_its_error_comes_when_it_is_its_turn():
    def batches():
        yield {"captions": ["a"]}
        yield {"captions": ["b"]}
        raise OSError("the third cannot be read")

    coming = Ahead(batches())
    assert coming.peek() is coming.peek() is next(coming)
    assert next(coming)["captions"] == ["b"] and coming.peek() is None
    with pytest.raises(OSError, match="third"):
        next(coming)
    assert Ahead(iter([])).peek() is None
    with pytest.raises(StopIteration):
        (empty := Ahead(iter([]))).peek() or next(empty)
