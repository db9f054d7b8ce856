import json
from pathlib import Path

import pytest

from lora_trainer.errors import InputError, InputErrors
from lora_trainer.sampling.prompts import parse_prompt_file, parse_prompt_line

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "prompt_file.json").read_text(encoding="utf-8"))

# Lines in which the reference drops something without a word; ours names it.
REPORTED = {
    "a cat --w512": "Write a space: --w 512",
    "a cat --w abc": "expected a whole number",
    "a cat --d -5": "expected a whole number",
    "a cat --l 7.5.1": "expected a number",
    "a -- b --n x, (y:1.2)": "never part of a prompt",
    "a cat --n a -- b": "never part of a prompt",
    "a cat --x 5 --y foo": "'--y foo'",
    "a cat --steps 30": "Did you mean --s",
    "a cat --scale 3": "Did you mean --l",
    "a cat --negative foo": "Did you mean --n",
    "a cat --w 512.7": "expected a whole number",
    "a cat --am 0.5 --t 2": "'--t 2'",
    "a cat --ss": "no value",
}


@pytest.mark.parametrize("case", GOLDEN["lines"], ids=lambda case: case["line"])
def test_prompt_lines_mean_what_they_mean_in_the_reference_and_what_it_drops_is_reported(case):
    if case["line"] in REPORTED:
        with pytest.raises(InputErrors) as caught:
            parse_prompt_line(case["line"], where="p.txt:7")
        assert REPORTED[case["line"]] in str(caught.value) and "p.txt:7" in str(caught.value)
    else:
        assert parse_prompt_line(case["line"]).given() == case["parsed"]


def test_every_mistake_of_a_line_is_reported_at_once():
    with pytest.raises(InputErrors) as caught:
        parse_prompt_line("a --w x --s y --h 512")
    assert len(caught.value.errors) == 2


OURS = {  # where the reference fails by accident, or keeps the byte order mark in the prompt
    "c.toml": "[[prompt.subset]]",
    "g.yaml": ".txt, .toml or .json",
    "i.toml": [{"width": 640, "prompt": "a", "enum": 0}],
    "j.txt": [{"prompt": "a cat", "enum": 0}],
}


@pytest.mark.parametrize("case", GOLDEN["files"], ids=lambda case: case["file"])
def test_prompt_files_give_the_prompts_of_the_reference(case, tmp_path):
    path = tmp_path / case["file"]
    path.write_text(case["text"], encoding="utf-8")
    expected = OURS.get(case["file"], case.get("prompts"))
    if isinstance(expected, str):
        with pytest.raises(InputError) as caught:
            parse_prompt_file(path)
        assert expected in str(caught.value) and case["file"] in str(caught.value)
    else:
        assert [prompt.given() for prompt in parse_prompt_file(path)] == expected


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.txt", b"ok\nhalf --w abc\n", "a.txt:2: --w is 'abc'"),
        ("a.txt", b"ok\n\xff\xfe\n", "a.txt:2: this line is not UTF-8"),
        ("a.txt", b"# nothing\n\n", "no prompt"),
        ("a.json", b'[\n"a",\n', "a.json:"),
        ("a.json", b'{"prompt": "a"}', "expected a list"),
        ("a.json", b'["ok", {"prompt": "a", "widht": 5}]', "prompt 2: the key 'widht' is not known. Did you mean 'width'?"),
        ("a.json", b'[{"prompt": "a", "width": "512"}]', "width is '512'; expected a whole number"),
        ("a.json", b'[{"prompt": "a", "seed": -1}]', "seed is -1"),
        ("a.json", b"[3]", "expected a prompt line"),
        ("a.toml", b"[prompt\n", "a.toml:1: not TOML"),
        ("a.toml", b"[prompt]\nsubset = 3\n", "no [[prompt.subset]]"),
        ("a.toml", b'[[prompt.subset]]\nprompt = "a"\nscale = true\n', "[[prompt.subset]] 1: scale is True"),
    ],
)
def test_what_is_wrong_in_a_prompt_file_is_named_with_its_place(name, data, message, tmp_path):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises((InputError, InputErrors)) as caught:
        parse_prompt_file(path)
    assert message in str(caught.value)


def test_a_missing_prompt_file_is_named(tmp_path):
    with pytest.raises(InputError, match="none.txt"):
        parse_prompt_file(tmp_path / "none.txt")


def test_json_and_toml_limit_the_steps_like_a_line_does(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('[{"prompt": "a", "sample_steps": 5000}]')
    assert parse_prompt_file(path)[0].sample_steps == 1000


def test_numbers_of_a_prompt_line_may_be_typed_in_full_width():
    prompt = parse_prompt_line("a cat --w １２８ --l ７．５", "x")
    assert (prompt.width, prompt.scale) == (128, 7.5)
