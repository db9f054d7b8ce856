"""Sample pictures in the middle of a training: what is told while they are drawn, and what goes on meanwhile."""

from __future__ import annotations

import pytest
from PIL import Image

from lora_trainer.models.vae import TILE
from lora_trainer.runs.control import Control
from lora_trainer.runs.progress import Progress
from lora_trainer.sampling import turns
from lora_trainer.sampling.turns import Turns
from lora_trainer.training import previews
from lora_trainer.training.previews import DrawingTime, Schedule
from lora_trainer.training.train import train

from .conftest import Recorder


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("a frog --s 2 --d 7\na toad --w 64 --s 2\n", encoding="utf-8")
    return str(path)


@pytest.fixture
def told_often(monkeypatch):
    monkeypatch.setattr(previews, "_SECONDS_BETWEEN_PHASES", 0.0)


def drawing(event) -> bool:
    return event["type"] == "phase" and event["name"] == previews.PHASE


@pytest.mark.effect("sample_prompts", "sample_every_n_steps", "sample_at_first")
def test_each_picture_is_told_before_it_is_drawn_at_the_size_of_the_training(options_for, prompts, told_often):
    reporter = Recorder()
    options = options_for(
        max_train_steps=2, resolution="72,64", sample_prompts=prompts, sample_every_n_steps=2, sample_at_first=True
    )
    train(options, reporter=reporter)
    shown = [event for event in reporter.events if drawing(event) or event["type"] in ("sample", "step")]
    places = [(event["done"], event["total"]) if drawing(event) else event["type"] for event in shown]
    one = [(1, 2), (1, 2), (1, 2), "sample", (2, 2), (2, 2), (2, 2), "sample"]  # at the beginning and after each sampler step
    assert places == [*one, "step", "step", *one]
    phases = [event["name"] for event in reporter.of("phase")]
    last = len(phases) - phases[::-1].index(previews.PHASE)
    assert phases[last] == "training", "the drawing is over"
    sizes = [Image.open(event["path"]).size for event in reporter.of("sample")]
    assert sizes == [(72, 64), (64, 64)] * 2, "what a prompt does not say is the training's"


@pytest.mark.effect("sample_every_n_epochs", "sample_sampler")
def test_pictures_after_an_epoch_take_the_place_of_those_after_steps_and_are_drawn_as_chosen(options_for, prompts):
    drawn = {}
    for sampler in ("ddim", "euler_a"):
        reporter = Recorder()
        chosen = {"sample_prompts": prompts, "sample_every_n_steps": 1, "sample_every_n_epochs": 2, "sample_sampler": sampler}
        train(options_for(max_train_epochs=2, train_batch_size=2, output_name=sampler, **chosen), reporter=reporter)
        assert [event["step"] for event in reporter.of("sample")] == [4, 4]
        drawn[sampler] = Image.open(reporter.of("sample")[0]["path"]).tobytes()
    assert drawn["ddim"] != drawn["euler_a"]


def test_the_time_left_counts_the_pictures_to_come(options_for, prompts, told_often):
    reporter, progress = Recorder(), Progress()
    train(options_for(max_train_steps=4, sample_prompts=prompts, sample_every_n_steps=2), reporter=reporter)
    told = []
    for event in reporter.events:
        progress.fold(event)
        if drawing(event) or event["type"] == "step":
            told.append((event["type"], progress.step, progress.seconds_left))
    steps = {step: left for kind, step, left in told if kind == "step"}
    assert steps[4] > 0, "the last pictures are still to be drawn"
    paces = {event["step"]: event["seconds_per_step"] for event in reporter.of("step")}
    assert all(steps[step] > (4 - step) * paces[step] for step in steps)
    assert all(left is not None for kind, _, left in told if kind == "phase")


def test_who_asks_to_save_does_not_wait_for_the_pictures(options_for, prompts, tmp_path):
    reporter = Recorder(lambda event: Control(save=1) if drawing(event) else None)
    options = options_for(max_train_steps=2, sample_prompts=prompts, sample_every_n_steps=1, save_every_n_steps=1)
    train(options, reporter=reporter)
    order = [event["type"] for event in reporter.events if event["type"] in ("saved", "sample", "step")]
    assert order == ["step", "saved", "saved", "sample", "sample", "step", "saved", "sample", "sample", "saved"]


def test_asking_before_the_first_step_waits_for_something_to_save(options_for, prompts):
    reporter = Recorder(lambda event: Control(save=1) if drawing(event) else None)
    train(options_for(max_train_steps=1, sample_prompts=prompts, sample_at_first=True), reporter=reporter)
    order = [(event["type"], event.get("step")) for event in reporter.events if event["type"] in ("saved", "sample")]
    assert order == [("sample", 0), ("sample", 0), ("saved", 1), ("saved", 1)]


def test_pictures_asked_for_while_some_are_drawn_are_these(options_for, prompts):
    reporter = Recorder(lambda event: Control(sample=1) if drawing(event) else None)
    train(options_for(max_train_steps=2, sample_prompts=prompts, sample_every_n_steps=1), reporter=reporter)
    assert [event["step"] for event in reporter.of("sample")] == [1, 1, 2, 2]


def test_pictures_asked_for_before_the_first_step_are_drawn_after_it(options_for, prompts):
    reporter = Recorder(lambda event: Control(sample=1))
    train(options_for(max_train_steps=2, sample_prompts=prompts, sample_at_first=True), reporter=reporter)
    assert [event["step"] for event in reporter.of("sample")] == [0, 0, 1, 1]


@pytest.mark.parametrize(("every_steps", "every_epochs"), [(3, None), (None, 2), (3, 2), (1, 1), (7, None), (100, 100)])
def test_times_to_come_are_those_that_are_due(every_steps, every_epochs):
    """Counted at every step of a training of 20 steps in epochs of 4."""
    schedule = Schedule(every_steps=every_steps, every_epochs=every_epochs)
    for step in range(1, 21):
        epoch = (step - 1) // 4 + 1
        by_steps = sum(schedule.is_due(one) for one in range(step, 21))
        assert not (by_steps and every_epochs), "sample_every_n_epochs takes the place of sample_every_n_steps"
        by_epochs = sum(schedule.is_due(0, epoch=one) for one in range(epoch, 6))
        assert schedule.times_to_come((step, 20), (epoch, 5)) == by_steps + by_epochs


def test_the_time_of_a_drawing_is_measured_as_it_goes(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(previews.time, "monotonic", lambda: clock[0])
    watch = DrawingTime()
    watch.begin([10, 30], 50.0)
    assert watch.left(0, 0) is None, "nothing is known yet"
    clock[0] += 20
    assert watch.left(0, 10) == pytest.approx(50 + 60)
    clock[0] += 60
    assert watch.left(1, 30) == pytest.approx(50)
    watch.end()
    watch.begin([10, 30], 7.0)
    assert watch.left(0, 0) == pytest.approx(7 + 80), "as last time"
    watch.begin([10, 30], None)
    assert watch.left(1, 0) is None, "before the first step nobody knows"


def test_on_a_card_without_room_text_encoders_and_vae_come_one_after_the_other(options_for, prompts, monkeypatch):
    order, of = [], Turns.of
    monkeypatch.setattr(turns, "spare", lambda device: 1 << 20)
    monkeypatch.setattr(Turns, "of", lambda self, parts: order.append((type(parts[0]).__name__, self.tile)) or of(self, parts))
    reporter = Recorder()
    train(options_for(max_train_steps=1, sample_prompts=prompts, sample_every_n_steps=1), reporter=reporter)
    assert len(reporter.of("sample")) == 2
    assert order == [("CLIPTextModel", TILE), ("AutoencoderKL", TILE)] * 2
    order.clear()
    train(options_for(max_train_steps=1, sample_prompts=prompts, sample_every_n_steps=1, highvram=True), reporter=Recorder())
    assert not order, "nothing leaves the card"
