"""LoRAs side by side: which pictures that makes, how they are drawn one by one, and the sheet of them."""

from __future__ import annotations

import io
import json
import threading
import time
from dataclasses import replace

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lora_trainer.errors import HostError, InputError, InputErrors
from lora_trainer.grids.book import GridBook
from lora_trainer.grids.grid import Candidate, Grid, checked
from lora_trainer.grids.sheet import model_of, sheet

SETTINGS = {"width": 64, "height": 128, "steps": 2, "seed": 7}


@pytest.fixture
def grid(tmp_path):
    files = [Candidate(name, tmp_path / f"{name}.safetensors", step) for name, step in (("frog-step1", 1), ("frog", None))]
    return checked(files, [0.5, 1], ["a frog <lora:frog:0.8>", "a pond"], SETTINGS)


def png(colour=(255, 0, 0), text=""):
    out, told = io.BytesIO(), PngInfo()
    if text:
        told.add_text("parameters", text)
    Image.new("RGB", (64, 128), colour).save(out, "PNG", pnginfo=told)
    return out.getvalue()


def until(condition, seconds=100):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_every_file_is_drawn_at_every_strength_for_every_prompt_and_none_once(grid):
    cells = list(grid.cells())
    assert len(cells) == len({cell.key for cell in cells}) == 2 + 2 * 2 * 2
    texts = [grid.text(cell) for cell in cells]
    assert texts[:4] == ["a frog", "a pond", "a frog <lora:frog-step1:0.5>", "a pond <lora:frog-step1:0.5>"]
    order = [cell.candidate for cell in cells]
    assert order == [None] * 2 + [0] * 4 + [1] * 4, "each file is read once"
    assert {grid.request(cell)["seed"] for cell in cells} == {7}
    assert Grid.from_json(json.loads(json.dumps(grid.as_json()))) == grid


@pytest.mark.parametrize(
    ("files", "strengths", "prompts", "told"),
    [
        (0, [1], ["x"], "no LoRA is chosen"),
        (1, [], ["x"], "there is no strength"),
        (1, ["1"], ["x"], "'1' is no strength"),
        (1, [0.8, 100], ["x"], "^(?!.*0.8 is).*100 is no strength. Give numbers from -10 to 10"),
        (1, [float("nan")], ["x"], "nan is no strength"),
        (1, [1], ["<lora:a:1>", " "], "no prompt"),
        (1, [1], "x", "no prompt"),
        (20, [1, 2, 3], [str(i) for i in range(9)], "549 pictures, of at most 400"),
    ],
)
def test_what_cannot_be_compared_is_said(tmp_path, files, strengths, prompts, told):
    with pytest.raises((InputError, InputErrors), match=told):
        checked([Candidate(str(i), tmp_path) for i in range(files)], strengths, prompts, SETTINGS)


def test_it_is_drawn_stopped_and_goes_on_where_it_stopped(tmp_path, grid):
    drawn, gate = [], threading.Semaphore(3)

    def paint(request, files, should_stop):
        while not gate.acquire(timeout=0.01):
            if should_stop():
                return None
        drawn.append(request["prompt"])
        return png()

    book = GridBook(tmp_path / "grids", paint)
    grid_id = book.begin(grid, "run-1")
    until(lambda: len(drawn) == 3)
    with pytest.raises(InputError, match="being drawn"):
        book.delete(grid_id)
    book.stop(grid_id)
    until(lambda: book.look(grid_id)["state"] == "stopped")
    assert sum(is_drawn for _, is_drawn in book.look(grid_id)["cells"]) == 3
    gate.release(100)
    other = GridBook(tmp_path / "grids", paint)  # the program was started anew
    other.go_on(grid_id)
    until(lambda: other.look(grid_id)["state"] == "finished")
    assert len(drawn) == 10 == len(set(drawn)), "no picture was drawn twice"
    assert other.of_run("run-1") == [grid_id] and other.of_run("run-2") == []
    assert other.picture(grid_id, "p0-without.png").read_bytes() == png()
    for name in ("grid.json", "../grid.json", "p0-without.png/..", "x.png"):
        assert other.picture(grid_id, name) is None
    assert other.picture("..", "p0-without.png") is None
    other.delete(grid_id)
    with pytest.raises(InputError, match="no such pictures"):
        other.look(grid_id)


def test_a_file_that_got_another_name_meanwhile_is_drawn_from_there_and_one_that_is_gone_is_said(tmp_path, grid):
    now, drawn = {"frog": tmp_path / "frog.safetensors", "frog-step1": tmp_path / "frog-step1.safetensors"}, []

    def paint(request, files, should_stop):
        drawn.append(dict(files))
        if len(drawn) == 4:
            now["frog-step1"] = tmp_path / "other.safetensors"
        if len(drawn) == 9:
            now["frog"] = None
        return png()

    book = GridBook(tmp_path / "grids", paint, lambda run, one: now[one.name] if run == "run-1" else None)
    grid_id = book.begin(grid, "run-1")
    until(lambda: book.look(grid_id)["state"] == "failed")
    assert drawn[:2] == [{}, {}] and drawn[3] == {"frog-step1": tmp_path / "frog-step1.safetensors"}
    assert drawn[4:6] == [{"frog-step1": tmp_path / "other.safetensors"}] * 2
    assert "frog.safetensors that was compared is not there any more" in book.look(grid_id)["message"] and len(drawn) == 9


def test_what_goes_wrong_is_told_and_the_next_one_is_drawn(tmp_path, grid):
    def paint(request, files, should_stop):
        if request["seed"] == 7:
            raise HostError("The card is full.", advice="Lower the size.")
        return png()

    book = GridBook(tmp_path, paint)
    bad = book.begin(grid, "r")
    good = book.begin(checked(grid.candidates, [1], ["x"], {**SETTINGS, "seed": 8}), "r")
    until(lambda: book.look(good)["state"] == "finished")
    told = book.look(bad)
    assert (told["state"], told["message"], told["advice"]) == ("failed", "The card is full.", "Lower the size.")
    (tmp_path / bad / "grid.json").write_text('{"run": "r", "candidates": 3}')
    with pytest.raises(InputError, match="damaged"):
        book.look(bad)


def test_a_program_that_ended_meanwhile_left_it_stopped(tmp_path, grid):
    book = GridBook(tmp_path, lambda *_: time.sleep(1000))
    grid_id = book.begin(grid, "r")
    until(lambda: book.look(grid_id)["state"] == "drawing")
    assert GridBook(tmp_path, lambda *_: None).look(grid_id)["state"] == "stopped"


def test_the_sheet_shows_all_of_it_and_says_what_it_was_drawn_with(tmp_path, grid):
    colours = {cell.key: (20 * number, 0, 255) for number, cell in enumerate(grid.cells())}
    missing = list(colours)[-1]

    def picture_of(cell):
        path = tmp_path / f"{cell.key}.png"
        path.write_bytes(png(colours[cell.key]))
        return None if cell.key == missing else path

    whole = Image.open(io.BytesIO(sheet(grid, picture_of))).convert("RGB")
    found = {colour for count, colour in whole.getcolors(1 << 24) if count >= 64 * 128}
    assert {colour for key, colour in colours.items() if key != missing} <= found and colours[missing] not in found
    text = Image.open(io.BytesIO(sheet(grid, picture_of))).text
    said = json.loads(text["grid"])
    assert said["loras"] == [{"name": "frog-step1", "step": 1}, {"name": "frog", "step": None}] and said["settings"] == SETTINGS
    assert "a frog" in text["parameters"] and str(tmp_path) not in str(text)


DRAWN = (
    'a pond\nSteps: 2, Sampler: Euler a, Seed: 7, Size: 64x128, Model: "my, own", Lora hashes: "frog: 0123456789ab", RNG: CPU'
)


def test_the_sheet_and_its_text_say_base_model_and_seed_in_the_words_of_the_pictures(tmp_path, grid):
    grid = replace(grid, settings={**SETTINGS, "negative_prompt": "blurry", "checkpoint": str(tmp_path / "asked.safetensors")})
    (tmp_path / "one.png").write_bytes(png(text=DRAWN))

    def made(picture):
        whole = Image.open(io.BytesIO(sheet(grid, lambda cell: picture)))
        return whole, whole.text["parameters"].splitlines()

    whole, lines = made(tmp_path / "one.png")
    line = 'Steps: 2, Sampler: Euler a, Seed: 7, Size: 64x128, Model: "my, own", RNG: CPU'
    assert lines == ["a frog", "a pond", "Negative prompt: blurry", line]
    assert model_of(grid, [None, tmp_path / "one.png"]) == "my, own"
    assert (
        str(tmp_path) not in str(whole.text) and json.loads(whole.text["grid"])["settings"]["checkpoint"] == "asked.safetensors"
    )
    plain, lines = made(None)  # nothing is drawn yet: what was asked for
    assert "seed: 7" in lines[-1] and "checkpoint: asked.safetensors" in lines[-1] and "blurry" not in lines[-1]
    assert model_of(grid, []) == "asked"
    top = whole.convert("L").crop((0, 0, whole.width, 60)), plain.convert("L").crop((0, 0, plain.width, 60))
    assert all(min(one.getdata()) < 160 for one in top), "and so does the picture, on top"


def test_small_pictures_are_enlarged_on_the_sheet_and_large_ones_made_smaller(tmp_path, grid):
    def size_of(width, height):
        one = replace(grid, prompts=("x",), strengths=(1.0,), settings={"width": width, "height": height})
        colours = Image.open(io.BytesIO(sheet(one, lambda cell: None))).convert("RGB").getcolors(1 << 24)
        return next(count for count, colour in colours if colour == (0xE5, 0xE7, 0xEB)) / 3

    assert size_of(64, 64) == 192 * 192
    assert size_of(256, 384) == 256 * 384
    assert size_of(1024, 512) == 512 * 256
