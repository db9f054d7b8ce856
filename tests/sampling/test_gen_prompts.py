"""The prompt lines of gen_img_diffusers against what the reference's code was read to do (golden/gen_img_prompt.json)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lora_trainer.errors import InputErrors
from lora_trainer.sampling.gen_img.lines import GenPrompt, parse_line

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "gen_img_prompt.json").read_text(encoding="utf-8"))
# option -> (what is written, the field, its value); None: refused with a message that names what is missing
UNDERSTOOD = {
    "--w": ("640", "width", 640),
    "--h": ("768", "height", 768),
    "--ow": ("1024", "original_width", 1024),
    "--oh": ("900", "original_height", 900),
    "--nw": ("256", "original_width_negative", 256),
    "--nh": ("200", "original_height_negative", 200),
    "--ct": ("5", "crop_top", 5),
    "--cl": ("0", "crop_left", 0),
    "--s": ("0", "steps", 1),
    "--d": ("1,22, 333", "seeds", (1, 22, 333)),
    "--l": ("7.5", "scale", 7.5),
    "--nl": ("3", "negative_scale", 3.0),
    "--t": (".6", "strength", 0.6),
    "--n": ("bad, ugly", "negative_prompt", "bad, ugly"),
    "--c": None,
    "--am": ("0.8,-0.5,1", "multipliers", (0.8, -0.5, 1.0)),
    "--f": ("cat 1", "file_name", "cat 1"),
    "--dsd1 dst1 dsd2 dst2 dsr": None,
    "--glt glr gle gls glsn glus": None,
}


def test_every_option_of_the_reference_is_known():
    assert {case["option"] for case in GOLDEN["cases"]} == set(UNDERSTOOD)


@pytest.mark.parametrize("option", UNDERSTOOD)
def test_an_option_does_what_it_says_wherever_it_stands_in_either_case(option):
    expected = UNDERSTOOD[option]
    if expected is None:
        for letters in option.removeprefix("--").split():
            with pytest.raises(InputErrors, match="not available"):
                parse_line(f"a cat --{letters} 1")
        return
    written, field, value = expected
    for name in (option, option.upper()):
        for line in (f"a cat {name} {written}", f"  a cat {name} {written} --l 3 {name} {written}  ", f"{name} {written}"):
            assert getattr(parse_line(line), field) == value
        assert parse_line(f"a cat {name} {written}").prompt == "a cat"


def test_a_line_without_options_is_its_prompt():
    assert parse_line(" a cat, well-known ") == GenPrompt(prompt="a cat, well-known")
    assert parse_line("a --nl none").negative_scale == "none" and parse_line("a").negative_scale is None
    assert parse_line("a --s 99999").steps == 1000 and parse_line("a --n").negative_prompt == ""


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a --w abc", "p.txt:3: --w is 'abc'; expected a whole number from 0"),
        ("a --w", "--w has no value"),
        ("a --w512", "Write a space: --w 512"),
        ("a --d -1", "--d is '-1'"),
        ("a --d 1,,2", "--d is ''"),
        ("a --am 1,x", "--am is 'x'; expected a number"),
        (f"a --am 1,-{'9' * 39}", "is larger than any number that can be computed with here"),
        (f"a --am 1,-{'9' * 60}", "has 61 characters; expected a number of at most 40"),
        ("a --l -3", "--l is '-3'; expected a number from 0"),
        ("a --t 1.5", "expected a number from 0 to 1"),
        ("a --seed 3", "Did you mean --d?"),
        ("a --f ../../etc/x", "character that a file name cannot have"),
        ("a --f NUL.png", "reserved by Windows"),
        ("a --happy", "is not an option of a prompt line"),
        ("a --c a dog", "CLIP guidance is not available"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(line, message):
    with pytest.raises(InputErrors) as caught:
        parse_line(line, "p.txt:3")
    assert message in str(caught.value) and "p.txt:3: " in str(caught.value)


def test_everything_wrong_is_said_at_once():
    with pytest.raises(InputErrors) as caught:
        parse_line("a --w x --glt 3 --huh 1")
    assert len(caught.value.errors) == 3
