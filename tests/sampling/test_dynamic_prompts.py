import random

import pytest

from lora_trainer.errors import InputError
from lora_trainer.sampling.gen_img.dynamic import expand


def seen(prompt, draws=200):
    return {text for seed in range(draws) for text in expand(prompt, random.Random(seed))}


@pytest.mark.parametrize(
    ("prompt", "possible"),
    [
        ("a {red|blue} cat", {"a red cat", "a blue cat"}),
        ("{2$$a|b|c}", {"a, b", "b, a", "a, c", "c, a", "b, c", "c, b"}),
        ("{2$$ and $$a|b}", {"a and b", "b and a"}),
        ("{1-2$$+$$a|b}", {"a", "b", "a+b", "b+a"}),
        ("{-2$$+$$a|b}", {"a", "b", "a+b", "b+a"}),
        ("{2-$$+$$a|b}", {"a+b", "b+a"}),
        ("{2-1$$+$$a|b}", {"a", "b", "a+b", "b+a"}),
        ("{9$$+$$a|b}", {"a+b", "b+a"}),  # as many as there are
        ("{0$$a|b}", {""}),
        ("{|very }old", {"old", "very old"}),
        ("{a|{b|c} d}", {"a", "b d", "c d"}),
        ("{a|{e$$b|c}}", {"a", "b", "c"}),
        ("{{a}}", {"a"}),
        ("{a|b} {c|d}", {"a c", "a d", "b c", "b d"}),
        ("{-$$a|b}", {"a", "b"}),
    ],
)
def test_one_of_what_is_possible_is_drawn_and_all_of_it_in_time(prompt, possible):
    assert seen(prompt) == possible


@pytest.mark.parametrize(
    ("prompt", "all_of_them"),
    [
        ("{e$$a|b|c}", ["a", "b", "c"]),
        ("{E$$a|b} {e$$x|y}", ["a x", "a y", "b x", "b y"]),
        ("{e2$$a|b|c}", ["a, b", "a, c", "b, c"]),
        ("{e1-2$$ $$a|b}", ["a", "b", "a b"]),
        ("{e2$$|a|b}", [", a", ", b", "a, b"]),
        ("{e$$a|{e$$b|c} d}", ["a", "b d", "c d"]),
        ("plain", ["plain"]),
        ("one {closed} }{ two {", ["one closed }{ two {"]),
        ("", [""]),
    ],
)  # fmt: skip
def test_every_one_in_order(prompt, all_of_them):
    assert expand(prompt, random.Random(0)) == all_of_them


def test_each_prompt_makes_its_own_choices():
    texts = expand("{e$$a|b} {0|1|2|3|4|5|6|7|8|9}", random.Random(0), 20)
    assert [text[0] for text in texts] == ["a"] * 20 + ["b"] * 20
    assert len({text[2:] for text in texts[:20]}) > 3
    assert texts == expand("{e$$a|b} {0|1|2|3|4|5|6|7|8|9}", random.Random(0), 20)


@pytest.mark.parametrize("prompt", ["{e$$a|b}" * 14, "{e1-25$$" + "|".join("abcdefghijklmnopqrstuvwxy") + "}"])
def test_too_many_are_refused_before_they_are_made(prompt):
    with pytest.raises(InputError, match="asks for"):
        expand(prompt, random.Random(0))
