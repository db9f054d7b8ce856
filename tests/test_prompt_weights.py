"""The attention syntax, as recorded from the reference and beyond it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lora_trainer.prompt_weights import parse

GOLDEN = json.loads((Path(__file__).parent / "golden" / "tokens.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", GOLDEN["captions"], ids=lambda case: case["caption"][:30])
def test_pieces_and_weights_are_the_reference_s(case):
    pieces = parse(case["caption"])
    assert [text for text, _ in pieces] == [text for text, _ in case["parsed"]]
    assert [weight for _, weight in pieces] == pytest.approx([weight for _, weight in case["parsed"]])


@pytest.mark.parametrize(
    ("prompt", "pieces"),
    [
        ("(a:1.2.3)", [("a:1.2.3", 1.1)]),  # the reference stops here with an exception
        ("(a:.5)(b:+2)(c: 3 )", [("a", 0.5), ("b", 2.0), ("c", 3.0)]),
        ("[a:0.5]", [("a:0.5", 1 / 1.1)]),
        ("a\\b", [("ab", 1.0)]),
        ("a\\", [("a", 1.0)]),
        ("(a (b)", [("a ", 1.1), ("b", 1.1 * 1.1)]),
        ("x:1.5) y", [("x:1.5) y", 1.0)]),
        ("(a:1.5", [("a:1.5", 1.1)]),
        ("(가 나:1.25)[다]", [("가 나", 1.25), ("다", 1 / 1.1)]),
        ("((a:2):0.5)", [("a", 1.0)]),
        ("(a\\):1.3)", [("a)", 1.3)]),
    ],
)
def test_more_of_the_syntax(prompt, pieces):
    found = parse(prompt)
    assert [text for text, _ in found] == [text for text, _ in pieces]
    assert [weight for _, weight in found] == pytest.approx([weight for _, weight in pieces])


def test_a_very_long_prompt_takes_no_time():
    assert parse("(" * 2000 + "a" + ")" * 2000 + "(b:1.2), " * 5000)[-1] == (", ", 1.0)


def test_brackets_beyond_the_deepest_are_text_so_that_no_nesting_takes_long():
    found = parse("(" * 70 + "a" + ")" * 70)
    assert [text for text, _ in found] == ["(" * 6 + "a", ")" * 6]
    assert found[0][1] == pytest.approx(1.1**64) and found[1][1] == 1.0
    assert len(parse("(a[b" * 50_000)) > 1  # minutes before
