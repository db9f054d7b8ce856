"""prepare_buckets_latents and clear_cache: a training finds what was made before it, and nothing else is removed."""

from __future__ import annotations

import json

import pytest

from lora_trainer import commands
from lora_trainer.data.plan import cache_folders
from lora_trainer.models import vae
from lora_trainer.training.train import train

from ..training.conftest import Recorder, make_images, short_training

BUCKETS = {"enable_bucket": True, "min_bucket_reso": 64, "max_bucket_reso": 128, "bucket_reso_steps": 64}
WORDS = ["--max_resolution=64,64", "--min_bucket_reso=64", "--max_bucket_reso=128"]


@pytest.fixture
def place(tmp_path):
    """Two captioned images and their metadata, by names without endings."""
    make_images(tmp_path / "frogs", 2)
    (tmp_path / "in.json").write_text(json.dumps({str(i): {"caption": f"frog {i}", "note": "mine"} for i in range(2)}))
    return tmp_path


def prepare(place, model, *words):
    paths = [str(place / name) for name in ("frogs", "in.json", "out.json")]
    return commands.run(["prepare_buckets_latents.py", *paths, str(model), *WORDS, *words])


def test_a_training_on_the_metadata_encodes_nothing_after_it(place, tiny_sd1, monkeypatch):
    assert prepare(place, tiny_sd1, "--batch_size=4", "--flip_aug") == 0
    written = json.loads((place / "out.json").read_text(encoding="utf-8"))
    assert written == {str(i): {"caption": f"frog {i}", "note": "mine", "train_resolution": [64, 64]} for i in range(2)}
    monkeypatch.setattr(vae, "posterior", None)  # nothing may be encoded
    given = {"in_json": str(place / "out.json"), "cache_latents_to_disk": True, "flip_aug": True, "max_train_steps": 1}
    reporter = Recorder()
    train(short_training(tiny_sd1, place / "frogs", place / "trained", **given, **BUCKETS), reporter=reporter)
    assert len(reporter.losses) == 1
    assert prepare(place, tiny_sd1, "--flip_aug", "--skip_existing") == 0, "nor a second time"


def test_paths_as_keys_and_folders_inside(place, tiny_sd1):
    make_images(place / "frogs" / "more", 1, first=5)
    keys = [str(place / "frogs" / "0.png"), str(place / "frogs" / "more" / "5.png")]
    (place / "in.json").write_text(json.dumps({key: {"caption": "x"} for key in keys}))
    assert prepare(place, tiny_sd1, "--full_path", "--recursive") == 0
    written = json.loads((place / "out.json").read_text(encoding="utf-8"))
    assert set(written) == {*keys, str(place / "frogs" / "1.png")} and all(
        "train_resolution" in one for one in written.values()
    )


def test_what_is_wrong_is_told_and_nothing_is_written(place, tiny_sd1, capsys):
    assert prepare(place, tiny_sd1, "--recursive") == 2 and "--full_path" in capsys.readouterr().err
    assert prepare(place, tiny_sd1, "--max_resolution=wide") == 2 and "'wide' is no resolution" in capsys.readouterr().err
    (place / "frogs" / "1.png").write_bytes(b"\x89PNG")
    assert prepare(place, tiny_sd1) == 2 and "1.png" in capsys.readouterr().err
    assert not (place / "out.json").exists() and not (place / "frogs" / cache_folders.FOLDER).exists()


def test_clearing_removes_what_trainings_kept_and_nothing_else(place, tiny_sd1):
    before = sorted(path.relative_to(place) for path in place.rglob("*"))
    assert prepare(place, tiny_sd1) == 0
    (place / "out.json").unlink()
    kept = place / "frogs" / cache_folders.FOLDER
    assert commands.run(["clear_cache", "--show", str(place)]) == 0
    assert len(list(kept.glob("*.safetensors"))) == 2
    (kept / "a person's own.txt").write_text("here")
    assert commands.run(["clear_cache", str(place)]) == 0
    assert [path.name for path in kept.iterdir()] == ["a person's own.txt"]
    (kept / "a person's own.txt").unlink()
    kept.rmdir()
    assert sorted(path.relative_to(place) for path in place.rglob("*")) == before


def test_a_cache_folder_that_is_a_link_is_left_alone(tmp_path):
    make_images(tmp_path / "frogs", 1)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine.safetensors").write_bytes(b"x")
    (tmp_path / "frogs" / cache_folders.FOLDER).symlink_to(tmp_path / "models")
    assert cache_folders.clear([tmp_path / "frogs"]).files == 0 and (tmp_path / "models" / "mine.safetensors").exists()
