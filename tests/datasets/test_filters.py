"""The filter language: what it finds, and that it says where it is wrong."""

import pytest

from lora_trainer.datasets.filters import Around, parse
from lora_trainer.datasets.model import Learned, Picture, Stamp, caption_of
from lora_trainer.errors import InputError


def picture(number, text, **more):
    caption = caption_of(f"{number}.txt", None, text.encode())
    return Picture(number, more.pop("folder", 0), f"img_{number}.png", Stamp(10, 0), looked_at=True, caption=caption, **more)


PICTURES = [
    picture(0, "frog, green eyes, sitting", size=(512, 768), stars=3),
    picture(1, "toad, green_eyes", size=(256, 256), folder=1, learned=Learned(0.2, "toad, green_eyes")),
    picture(2, "", size=(512, 512), left_out=True),
    picture(3, "a long sentence about a Frog\nand a second line", findings=frozenset({"near_duplicate"})),
    picture(4, "frog_(animal), :/, 50% off, a>b", stars=5, learned=Learned(0.05, "another"), problem="torn"),
]


def found(text):
    around = Around(["frogs", "toads"], lambda one: one.size)
    return [one.id for one in parse(text).matching(PICTURES, around)]


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("", [0, 1, 2, 3, 4]),
        ("   ", [0, 1, 2, 3, 4]),
        ("frog", [0, 3, 4]),
        ("FROG", [0, 3, 4]),
        ("tag:frog", [0]),
        ('tag:"green eyes"', [0, 1]),
        ("tag:green_eyes", [0, 1]),
        ("tag:green*", [0, 1]),
        ("tag:frog_(animal)", [4]),
        ("frog_(animal)", [4]),
        ("(frog_(animal) OR toad)", [1, 4]),
        ('"a>b"', [4]),
        ("-frog", [1, 2]),
        ("NOT frog", [1, 2]),
        ("frog AND -tag:frog", [3, 4]),
        ("frog -tag:frog", [3, 4]),
        ("toad OR sitting", [0, 1]),
        ("toad OR frog sitting", [0, 1]),
        ("(toad OR frog) sitting", [0]),
        ("-(toad OR frog)", [2]),
        ("- - frog", [0, 3, 4]),
        ("untagged", [2]),
        ("left_out", [2]),
        ("duplicate", [3]),
        ("finding:near*", [3]),
        ("broken", [4]),
        ("tokens>8", [4]),
        ("tokens >= 5 stars=3", [0]),
        ("width<512", [1]),
        ("pixels>=262144", [0, 2]),
        ("bucket:512x768", [0]),
        ("stars>=3", [0, 4]),
        ("loss>0.1", [1]),
        ("untrained", [4]),
        ("loss<=.2", [1, 4]),
        ("lines>1", [3]),
        ("tags=0", [2]),
        ("folder:toads", [1]),
        ("name:img_1", [1]),
        ("name:*_1.png", [1]),
        ("name:*G_1*", [1]),
        ("/gr[e]+n/", [0, 1]),
        ("/FROG/", []),
        ("/FROG/i -/sitting$/", [3, 4]),
        ("/:\\//", [4]),
        ("gre*yes", [0, 1]),
        ("50%", [4]),
        ("[0-9]", []),
        (":/", [4]),  # a text, no condition
        ("1:1", []),
        ("frog >_<", []),
        ('"re:zero"', []),
    ],
)
def test_a_filter_finds(text, ids):
    assert found(text) == ids


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("(frog", 1, "not closed"),
        ("frog (toad", 6, "not closed"),
        ("frog)", 5, "closes nothing"),
        ('frog "toad', 6, "not closed"),
        ("tag:", 5, "missing"),
        ("frog OR", 8, "missing"),
        ("OR frog", 1, "missing"),
        ("frog AND", 9, "missing"),
        ("-", 2, "missing"),
        ("()", 2, "missing"),
        ("/frog", 1, "no"),
        ("bucket:big", 8, "512x768"),
        ("colour>3", 1, "no condition .colour>.*tag, name.*tokens, tags.*untagged"),
        ("frog foo:bar", 6, "no condition .foo:.*quotation marks"),
        ("nmae:frog", 1, "no condition .nmae:. but name"),
        ("stars>=", 8, "number is missing behind stars>="),
        ("(stars>= )", 10, "number is missing behind stars>="),
        ("tokens>abc", 8, "'abc' behind tokens> is no number"),
        ("tokens > abc", 10, "'abc' behind tokens> is no number"),
        ("loss>0,5", 6, "'0,5' behind loss> is no number"),
        ("stars:4", 1, "stars>=4"),
        ("tag=frog", 1, "tag:frog"),
        ("untagged:yes", 1, "stands alone"),
        ("finding:nonsense", 9, "no finding nonsense.*long_caption"),
        ("(" * 60 + "a", 41, "brackets"),
    ],
)
def test_a_filter_that_is_wrong_says_where_and_what(text, where, what):
    with pytest.raises(InputError, match=what) as caught:
        parse(text)
    assert f"at character {where}:" in caught.value.message
    assert caught.value.field == "filter"


def test_a_folder_that_is_none_of_the_data_sets_is_told_with_those_that_are():
    with pytest.raises(InputError, match="frogs, toads"):
        found("frog folder:birds")


def test_a_filter_that_is_too_long_is_refused():
    with pytest.raises(InputError, match="characters"):
        parse("a " * 3000)


def test_a_wrong_regular_expression_is_told():
    with pytest.raises(InputError, match="is wrong"):
        found("/(/")


def test_a_regular_expression_that_never_ends_is_given_up(monkeypatch):
    monkeypatch.setattr("lora_trainer.datasets.regexes.SECONDS", 0.5)
    PICTURES.append(picture(9, "a" * 60 + "!"))
    try:
        with pytest.raises(InputError, match="given up"):
            found("/(a+)+$/")
    finally:
        PICTURES.pop()
