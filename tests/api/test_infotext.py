"""Captions out of what a Web UI writes into its pictures."""

from __future__ import annotations

import pytest
from PIL import Image, PngImagePlugin

from lora_trainer.api.infotext import caption_of, prompt_of, read

SETTINGS = "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 64x64, Model: demo"


@pytest.mark.parametrize(
    ("prompt", "caption"),
    [
        ("a frog on a leaf", "a frog on a leaf"),
        ("sls frog <lora:frog:0.8>", "sls frog"),
        ("<lora:frog:te=0.5:unet=1>, a frog, <lyco:x:1> <hypernet:y:0.3>,", "a frog"),
        ("1girl, (red eyes:1.3), ((smile)), [blurry], (a, (b:1.2):0.9)", "1girl, red eyes, smile, blurry, a, b"),
        (r"hatsune miku \(vocaloid\), \[x\]", "hatsune miku (vocaloid), [x]"),
        ("a frog, (rain:0), (fog:-1)", "a frog"),
        ("1girl\nred eyes,\nsmile", "1girl, red eyes, smile"),
        ("A frog.\nIt rains.", "A frog. It rains."),
        ("a cat BREAK at night", "a cat, at night"),
        ("a cat AND a dog :0.5 AND blurry :-1", "a cat, a dog"),
        ("a [cat:dog:0.5], [rain::0.2], [snow:0.9]", "a dog, snow"),
        ("a [cat:dog:30], [night:5]", "a cat, night"),
        ("  a   frog ,, ,b", "a frog, b"),
        ("<lora:frog:1>", ""),
        ("a frog < lora:frog:1>, b <lora:frog:0.8, c <LORA::>", "a frog, b, c"),
        ("", ""),
        ("a < b > c", "a < b > c"),
        ("at (12:30)", "at 12"),  # as the Web UI reads it
        ("웃는 소녀, (빨간 눈:1.2)", "웃는 소녀, 빨간 눈"),
    ],
)
def test_the_prompt_becomes_words(prompt, caption):
    assert caption_of(f"{prompt}\nNegative prompt: blurry, <lora:bad:1>\nugly\n{SETTINGS}") == caption
    assert caption_of(f"{prompt}\n{SETTINGS}") == caption


@pytest.mark.parametrize(
    "infotext",
    [
        "a frog",
        f"a frog\n{SETTINGS}",
        "a frog\nNegative prompt: x",
        f"a frog\r\nNegative prompt: x\r\n{SETTINGS}",
        f"a frog\n{SETTINGS}\nTemplate: a {{frog|toad}}\nNegative Template: x",
        f'a frog\n{SETTINGS}, Script: X/Y/Z plot, X Type: Prompt S/R, X Values: "0.8, 1"',
        "a frog\nSteps: 4",
    ],
)
def test_nothing_but_the_prompt_is_taken(infotext):
    assert prompt_of(infotext) == caption_of(infotext) == "a frog"


def test_a_line_of_the_prompt_that_only_looks_like_settings_stays():
    assert caption_of(f"a frog, Steps: many\nSteps: up a hill\n{SETTINGS}") == "a frog, Steps: many, Steps: up a hill"


@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
@pytest.mark.parametrize("prompt", ["a frog, é", "개구리"])
def test_the_text_is_read_out_of_what_the_web_ui_saves(tmp_path, kind, prompt):
    path, told = tmp_path / f"0.{kind}", f"{prompt}\n{SETTINGS}"
    image = Image.new("RGB", (8, 8))
    if kind == "png":
        about = PngImagePlugin.PngInfo()
        about.add_text("parameters", told)
        image.save(path, pnginfo=about)
    else:
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + told.encode("utf-16-be")
        image.save(path, exif=exif)
    assert read(path) == told
    assert caption_of(read(path)) == prompt


@pytest.mark.parametrize(
    "comment",
    [b"ASCII\0\0\0a frog", b"\0" * 8 + b"a frog", b"UNICODE\0" + "a frog".encode("utf-16-le"), b"a frog of another program"],
)
def test_other_writers_of_user_comments_are_read_too(tmp_path, comment):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = comment
    Image.new("RGB", (8, 8)).save(tmp_path / "0.jpg", exif=exif)
    assert read(tmp_path / "0.jpg").startswith("a frog")


def test_a_picture_without_text_and_a_damaged_one_say_nothing(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "0.png")
    (tmp_path / "1.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    assert read(tmp_path / "0.png") == read(tmp_path / "1.png") == read(tmp_path / "2.png") == ""
