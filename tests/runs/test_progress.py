import pytest

from lora_trainer.runs import preparing
from lora_trainer.runs.events import EventWriter
from lora_trainer.runs.progress import Progress, ProgressBook


def steps(progress, count, *, loss=lambda step: 1.0, seconds=0.5):
    for step in range(1, count + 1):
        progress.fold({"type": "step", "time": 100 + step * seconds, "step": step, "loss": loss(step), "lr": 1e-4})


def test_time_left_follows_the_pace_of_the_steps():
    progress = Progress()
    progress.fold({"type": "started", "time": 100, "total_steps": 100, "epochs": 2, "device": "cpu"})
    steps(progress, 20)
    assert progress.seconds_per_step == pytest.approx(0.5)
    assert progress.seconds_left == pytest.approx(40.0)
    progress.fold({"type": "step", "time": 200, "step": 21, "loss": 1.0, "seconds_per_step": 2.0})
    assert progress.seconds_left == pytest.approx(158.0)
    progress.fold({"type": "finished", "time": 201, "reason": "done", "path": "x"})
    assert progress.seconds_left is None


def test_the_smoothed_loss_of_a_constant_is_the_constant_from_the_first_step_on():
    progress = Progress()
    for count in (1, 2, 100):
        steps(progress, count, loss=lambda step: 0.25)
        assert progress.smoothed_loss == pytest.approx(0.25)


def test_the_smoothed_loss_moves_less_than_the_raw_one():
    progress = Progress()
    steps(progress, 200, loss=lambda step: step % 2)
    assert 0.4 < progress.smoothed_loss < 0.6


@pytest.mark.parametrize("count", [1, 599, 600, 5000, 100_000])
def test_the_curve_keeps_its_size_and_its_mean(count):
    progress = Progress()
    steps(progress, count, loss=float)
    curve = progress.curve
    assert len(curve.steps) == len(curve.loss) == len(curve.smoothed) == len(curve.lr) <= 600
    assert curve.steps == sorted(set(curve.steps))
    assert curve.steps[-1] > count - curve.stride
    covered = len(curve.loss) * curve.stride
    assert sum(curve.loss) / len(curve.loss) == pytest.approx((covered + 1) / 2)


def test_a_loss_that_is_not_a_number_does_not_poison_the_smoothed_one():
    progress = Progress()
    steps(progress, 3)
    progress.fold({"type": "step", "step": 4, "loss": None})
    assert progress.loss is None
    assert progress.smoothed_loss == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("told", "expected"),
    [(1e-4, {"lr": 1e-4}), ({"unet": 1, "te": 2}, {"unet": 1.0, "te": 2.0}), ([3], {"0": 3.0}), (None, {})],
)
def test_learning_rates_may_be_told_in_any_form(told, expected):
    progress = Progress()
    progress.fold({"type": "step", "step": 1, "loss": 1.0, "lr": told})
    assert progress.lrs == expected


def test_the_book_reads_on_and_starts_anew_for_a_new_file(tmp_path):
    path = tmp_path / "events.jsonl"
    book = ProgressBook()
    assert book.look(path)[0].step is None
    writer = EventWriter(path)
    for step in range(1, 4):
        writer.write({"type": "step", "step": step, "loss": 1.0})
        assert book.look(path)[0].step == step
    writer.close()
    path.unlink()
    EventWriter(path).write({"type": "warning", "message": "new"})
    progress, offset = book.look(path)
    assert (progress.step, progress.warnings, offset) == (None, ["new"], path.stat().st_size)


def test_the_time_left_is_what_the_worker_told_also_while_pictures_are_drawn():
    """A worker knows how often samples will be drawn, and how long that takes; the pace of the steps does not."""
    progress = Progress()
    progress.fold({"type": "started", "time": 100, "total_steps": 100})
    progress.fold({"type": "phase", "name": "drawing samples", "done": 1, "total": 2})
    assert progress.seconds_left is None, "before the first step"
    step = {"type": "step", "loss": 1.0, "seconds_per_step": 0.5}
    progress.fold({**step, "time": 110, "step": 50, "seconds_left": 85.0})
    assert progress.seconds_left == 85.0
    progress.fold({"type": "phase", "time": 111, "name": "drawing samples", "done": 1, "total": 2})
    assert (progress.phase["done"], progress.seconds_left) == (1, 85.0)
    progress.fold({"type": "phase", "time": 112, "name": "drawing samples", "done": 2, "total": 2, "seconds_left": 60.0})
    assert (progress.phase["done"], progress.seconds_left) == (2, 60.0)
    progress.fold({**step, "time": 113, "step": 51})
    assert progress.seconds_left == pytest.approx(24.5), "by the pace where nothing is told"


def test_what_is_saved_in_between_is_shown_for_as_long_as_it_takes():
    progress, aside = Progress(), {"type": "phase", "done": 0, "total": 0, "aside": True}
    progress.fold({"type": "step", "step": 1, "loss": 1.0})
    progress.fold({**aside, "name": "saving x.safetensors"})
    assert progress.doing == progress.now["name"] == "saving x.safetensors"
    progress.fold({**aside, "name": ""})
    assert (progress.doing, progress.now) == ("", None), "steps are made again"
    progress.fold({"type": "phase", "name": "drawing samples", "done": 1, "total": 2, "seconds_left": 9.0})
    progress.fold({**aside, "name": "saving x.safetensors"})
    progress.fold({**aside, "name": ""})
    assert (progress.doing, progress.seconds_left) == ("drawing samples 1/2", 9.0), "it goes on with what it was at"
    progress.fold({**aside, "name": "saving x.safetensors"})  # and is killed
    progress.fold({"type": "phase", "name": "loading the program", "done": 0, "total": 0})
    assert progress.doing == "loading the program"


class Counted(dict):
    """An event that counts how often it is looked into."""

    looks = 0

    def get(self, *key):
        Counted.looks += 1
        return super().get(*key)


def test_what_a_save_costs_does_not_grow_with_the_saves_before_it():
    progress = Progress()
    for number in range(2000):
        progress.fold(Counted(type="saved", path=f"{number % 1500}.safetensors", step=number))
    assert Counted.looks < 2000 * 10
    assert [file["step"] for file in progress.files.values()] == list(range(500, 2000)), "the order of the last saves"


def test_a_list_of_many_runs_is_read_once_and_not_again(tmp_path, monkeypatch):
    paths = [tmp_path / f"{number}.jsonl" for number in range(200)]
    for path in paths:
        path.write_text('{"type": "step", "step": 1, "loss": 0.5}\n')
    book, folded = ProgressBook(), []
    monkeypatch.setattr(Progress, "fold", lambda self, event: folded.append(event))
    for _ in range(3):
        for path in paths:
            book.look(path)
    assert len(folded) == len(paths)


def test_the_time_of_the_workers_before_counts_and_the_time_between_them_does_not():
    progress = Progress()
    for kind, time in (("started", 10.0), ("finished", 70.0), ("started", 1000.0), ("failed", 1005.0), ("started", 2000.0)):
        progress.fold({"type": kind, "time": time})
    assert progress.seconds_before == 65.0


def test_a_picture_that_is_being_drawn_is_counted_and_not_done():
    progress = Progress()
    progress.fold({"type": "phase", "name": "drawing samples", "done": 3, "total": 3, "share": 0.7})
    assert progress.now == {"name": "drawing samples", "done": 3, "total": 3, "share": 0.7}


def test_the_warnings_are_those_of_the_last_worker_each_once():
    progress = Progress()
    for message in ("12 of 13 images have no caption", "cut", "12 of 13 images have no caption"):
        progress.fold({"type": "warning", "message": message})
    assert progress.warnings == ["cut", "12 of 13 images have no caption"]
    progress.fold({"type": "phase", "name": preparing.FIRST, "done": 0, "total": 0})
    progress.fold({"type": "warning", "message": "11 of 12 images have no caption"})
    progress.fold({"type": "started", "total_steps": 9})
    assert progress.warnings == ["11 of 12 images have no caption"]


def test_a_resumed_run_forgets_what_came_after_the_state():
    progress = Progress()
    steps(progress, 20, loss=float)
    progress.fold({"type": "sample", "path": "a.png", "step": 10})
    progress.fold({"type": "sample", "path": "b.png", "step": 20})
    progress.fold({"type": "failed", "message": "gone"})
    progress.fold({"type": "started", "total_steps": 30})
    progress.fold({"type": "resumed", "step": 12})
    assert progress.failed is None and progress.step == 12 and progress.loss == 12.0
    assert progress.curve.steps == list(range(1, 13)) and [one["path"] for one in progress.samples] == ["a.png"]
    progress.fold({"type": "step", "step": 13, "loss": 13.0})
    assert progress.curve.steps[-2:] == [12, 13]


@pytest.mark.parametrize("step", [0, 1, 700, 2400])
def test_a_resumed_long_run_stays_in_order(step):
    progress = Progress()
    steps(progress, 2500)
    progress.fold({"type": "resumed", "step": step})
    for number in range(step + 1, 3000):
        progress.fold({"type": "step", "step": number, "loss": 1.0, "lr": 1e-4})
    curve = progress.curve
    assert curve.steps == sorted(set(curve.steps)) and len(curve.steps) == len(curve.loss) <= 600
    assert progress.smoothed_loss == pytest.approx(1.0)


def test_the_loss_on_images_kept_aside_is_a_curve_of_its_own():
    progress = Progress()
    for step, loss in [(0, 0.1), (10, 0.5), (20, 0.3), (30, 0.4)]:
        progress.fold({"type": "validation", "step": step, "epoch": 1, "loss": loss, "time": 1.0})
    progress.fold({"type": "validation", "step": 40, "loss": None, "time": 2.0})
    told = progress.validation.as_dict()
    assert told == {"steps": [0, 10, 20, 30], "loss": [0.1, 0.5, 0.3, 0.4], "best": {"step": 20, "loss": 0.3}}
    progress.fold({"type": "validation", "step": 30, "loss": 0.45, "time": 3.0})  # it went on from an earlier state
    assert progress.validation.loss == [0.1, 0.5, 0.3, 0.45]
    for step in range(40, 9000, 10):
        progress.fold({"type": "validation", "step": step, "loss": 0.4, "time": 4.0})
    assert len(progress.validation.steps) < 600 and 20 in progress.validation.steps and progress.validation.steps[-1] == 8990
