"""Smaller copies of images, held against the recorded ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lora_trainer.commands import run
from lora_trainer.tools import images

from .conftest import GOLDEN

CASES = json.loads((GOLDEN / "captioning_tools.json").read_text(encoding="utf-8"))["resize_images"]


def make_images(folder: Path, sizes: dict[str, list[int]]) -> Path:
    folder.mkdir()
    for name, (width, height) in sizes.items():
        ramp = np.linspace(0, 255, width)[None, :, None] * np.ones((height, 1, 3))
        Image.fromarray(ramp.astype(np.uint8)).save(folder / name)
    (folder / "i0.txt").write_text("a frog", encoding="utf-8")
    (folder / "note.md").write_text("note", encoding="utf-8")
    return folder


@pytest.mark.parametrize("number", range(len(CASES)))
def test_the_recorded_files_are_made_without_distortion(number, tmp_path):
    """Names, copies and the sizes of square images as recorded; the reference distorts the others."""
    case = CASES[number]
    folder = make_images(tmp_path / "in", case["sizes"])
    assert run(["resize_images_to_resolution", *case["argv"], str(folder), str(tmp_path / "out")]) == 0
    written = {path.name: path for path in (tmp_path / "out").iterdir()}
    assert sorted(written) == sorted(case["output"])
    divisor = int(case["argv"][-1]) if "--divisible_by" in case["argv"] else 1
    for name, path in written.items():
        if case["output"][name] == "copied":
            continue
        width, height = Image.open(path).size
        before = case["sizes"][f"{name.partition('+')[0]}.png"]
        wanted = [int(side) for side in name.partition("+")[2].rpartition(".")[0].split("x")]
        assert width * height <= max(wanted[0] * wanted[1], 0) or before[0] * before[1] <= wanted[0] * wanted[1]
        assert width % divisor == height % divisor == 0
        if before[0] == before[1]:
            assert [width, height] == case["output"][name]
        if divisor == 1:
            assert width / height == pytest.approx(before[0] / before[1], rel=0.02)


def test_the_documents_command_line(tmp_path):
    folder = make_images(tmp_path / "in", {"i0.png": [600, 600]})
    words = ["--max_resolution", "512x512,384x384,256x256", "--save_as_png", "--copy_associated_files"]
    assert run(["resize_images_to_resolution", *words, str(folder), str(tmp_path / "out")]) == 0
    sizes = ("512x512", "384x384", "256x256")
    expected = [f"i0+{size}.{ending}" for size in sizes for ending in ("png", "txt")] + ["i0.txt", "note.md"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(expected)


@pytest.mark.parametrize("interpolation", ["area", "cubic", "lanczos4", "nearest", "linear", "box"])
def test_originals_come_along_and_every_interpolation_shrinks(interpolation, tmp_path):
    folder = make_images(tmp_path / "in", {"i0.png": [80, 40]})
    words = ["--max_resolution", "40x20,Original", "--save_as_png", "--copy_associated_files", "--interpolation", interpolation]
    assert run(["resize_images_to_resolution", *words, str(folder), str(tmp_path / "out")]) == 0
    written = {path.name: path for path in (tmp_path / "out").iterdir()}
    assert sorted(written) == ["i0+40x20.png", "i0+40x20.txt", "i0.png", "i0.txt", "note.md"]
    assert written["i0.png"].read_bytes() == (folder / "i0.png").read_bytes()
    small = np.asarray(Image.open(written["i0+40x20.png"]))[:, :, 0].astype(float)
    expected = np.linspace(0, 255, 80).reshape(40, 2).mean(1)
    assert small.shape == (20, 40) and np.abs(small - expected)[:, 2:-2].max() < 4


def test_masks_become_smaller_with_their_images(tmp_path):
    folder = make_images(tmp_path / "in", {"i0.png": [81, 40], "i0-masklabel.png": [81, 40]})
    words = ["--max_resolution", "40x20", "--divisible_by", "4", "--copy_associated_files"]
    assert run(["resize_images_to_resolution", *words, str(folder), str(tmp_path / "out")]) == 0
    written = {path.name: Image.open(path).size for path in (tmp_path / "out").iterdir() if path.suffix in (".png", ".jpg")}
    assert written == {"i0+40x20.jpg": (40, 16), "i0+40x20-masklabel.png": (40, 16)}


def test_nothing_is_enlarged_and_edges_are_cut_evenly():
    ramp = np.broadcast_to(np.arange(100, dtype=np.uint8)[None, :, None], (50, 100, 3))
    assert images.shrunk(ramp, (512, 512)).shape == (50, 100, 3)
    cut = images.shrunk(ramp, (512, 512), 64)
    assert cut.shape == (50, 64, 3) and cut[0, 0, 0] == 18


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--max_resolution", "512"], "'512' is no size"),
        (["--max_resolution", "512x512,512x512"], "twice"),
        (["--divisible_by", "0"], "too small"),
        (["--interpolation", "lanczos"], "Did you mean lanczos4?"),
    ],
)
def test_wrong_settings(words, expected, tmp_path, capsys):
    folder = make_images(tmp_path / "in", {"i0.png": [64, 64]})
    assert run(["resize_images_to_resolution", str(folder), str(tmp_path / "out"), *words]) == 2
    assert expected in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_images_that_would_get_one_name_and_files_that_are_there(tmp_path, capsys):
    folder = make_images(tmp_path / "in", {"i0.png": [64, 64], "i0.jpg": [64, 64]})
    assert run(["resize_images_to_resolution", str(folder), str(tmp_path / "out")]) == 2
    assert "i0.jpg and i0.png" in capsys.readouterr().err
    (folder / "i0.jpg").unlink()
    assert run(["resize_images_to_resolution", str(folder), str(folder)]) == 2
    assert "one folder" in capsys.readouterr().err
    assert run(["resize_images_to_resolution", str(folder), str(tmp_path / "out")]) == 0
    assert run(["resize_images_to_resolution", str(folder), str(tmp_path / "out")]) == 2
    assert "exist already" in capsys.readouterr().err
