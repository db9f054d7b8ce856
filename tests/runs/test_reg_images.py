"""Series of regularisation pictures: what lacks, what is kept, and making them through a process that draws nothing."""

from __future__ import annotations

import os

import pytest

from lora_trainer.errors import HostError
from lora_trainer.hosts.fake import FakeHost
from lora_trainer.runs.generation import Generation
from lora_trainer.runs.lending import Standing
from lora_trainer.runs.reg_images import RegImages, Series, folder_name, shares

from . import harness


def series_of(folder, counts, *, prompt="dog", seed=5):
    return Series(folder=folder, counts=counts, caption="dog", request={"prompt": prompt}, seed=seed)


@pytest.mark.parametrize("count", [1, 7, 10, 200])
def test_pictures_are_spread_over_the_sizes_as_the_buckets_are(count):
    buckets = {(512, 512): 30, (448, 576): 15, (384, 640): 5}
    given = shares(buckets, count)
    assert sum(given.values()) == count
    assert all(abs(given.get(size, 0) - count * samples / 50) < 1 for size, samples in buckets.items())
    assert shares({(100, 60): 1}, 4) == {(96, 64): 4}, "sides that a picture can have"
    assert shares({}, 3) == {}


def test_what_is_there_is_kept_and_what_lacks_is_asked_for_in_pieces_with_seeds_one_after_the_other(tmp_path):
    series = series_of(tmp_path, {(64, 64): 5, (96, 64): 2})
    (tmp_path / "drawn").write_bytes(b"x")
    series.keep(tmp_path / "drawn", (64, 64), 2)
    assert (tmp_path / "64x64-0002-seed7.png").read_bytes() == b"x" and (
        tmp_path / "64x64-0002-seed7.txt"
    ).read_text() == "dog\n"
    assert list(series.parts(2)) == [((64, 64), 0, 2), ((64, 64), 3, 2), ((96, 64), 0, 2)]
    asked = series.asked((96, 64), 1, 3)
    assert (asked["width"], asked["height"], asked["seed"], asked["batch_count"]) == (96, 64, 6, 3)
    longer = series_of(tmp_path, {(64, 64): 6}, seed=99)
    assert ((64, 64), 2) not in longer.missing(), "another seed makes no picture anew"


@pytest.mark.parametrize(
    ("model", "words", "name"),
    [
        ("/m/v1-5 pruned.safetensors", "green frog", "v1-5_pruned/green_frog"),
        ("user/model", "../../etc", "model/etc"),
        ("C:\\m\\x.ckpt", "개구리", "C_m_x/개구리"),
        ("x", "..", "x/x"),
    ],
)
def test_the_folder_is_named_after_model_and_class_and_stays_inside(model, words, name):
    assert folder_name(model, words) == name


@pytest.fixture
def made(tmp_path):
    host = FakeHost(tmp_path)
    host.python = harness.fake_python(tmp_path / "bin")
    generation = Generation(host, tmp_path / "generated", standing=lambda: Standing(is_free=True))
    yield RegImages(generation)
    generation.release_card()


posix = pytest.mark.skipif(os.name != "posix", reason="the fake worker is started by a shell script")


@posix
def test_a_series_is_made_to_its_end_and_only_what_lacks_is_drawn_the_next_time(made, tmp_path):
    series = series_of(tmp_path / "reg", {(64, 64): 10, (96, 64): 3})
    made.start(series)
    made.wait(200)
    told = made.status()
    assert (told["state"], told["done"], told["total"]) == ("finished", 13, 13)
    pictures = sorted((tmp_path / "reg").glob("*.png"))
    assert len(pictures) == 13 and all(path.with_suffix(".txt").read_text() == "dog\n" for path in pictures)
    for path in pictures[:3]:
        path.unlink()
    kept = {path: path.stat().st_mtime_ns for path in pictures[3:]}
    made.start(series)
    made.wait(200)
    assert made.status()["done"] == 13 and {path: path.stat().st_mtime_ns for path in kept} == kept


@posix
def test_a_series_can_be_broken_off_and_only_one_is_made_at_a_time(made, tmp_path):
    made.start(series_of(tmp_path / "reg", {(64, 64): 20}, prompt="wait"))
    with pytest.raises(HostError, match="Other regularisation images"):
        made.start(series_of(tmp_path / "other", {(64, 64): 1}))
    made.stop()
    made.wait(200)
    assert made.status()["state"] == "stopped"
    made.start(series_of(tmp_path / "reg", {(64, 64): 20}))
    made.wait(200)
    assert made.status()["state"] == "finished" and len(list((tmp_path / "reg").glob("*.png"))) == 20


@posix
def test_a_process_that_dies_is_told_and_the_series_goes_on_when_asked_again(made, tmp_path):
    made.start(series_of(tmp_path / "reg", {(64, 64): 2}, prompt="die"))
    made.wait(200)
    told = made.status()
    assert told["state"] == "failed" and "out of something" in told["message"]
    for path in (tmp_path / "generated" / "requests").glob("*.json"):
        path.unlink()  # the real process marks what an earlier one began
    made.start(series_of(tmp_path / "reg", {(64, 64): 2}))
    made.wait(200)
    assert made.status()["state"] == "finished"
