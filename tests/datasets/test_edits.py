"""What each edit makes of a caption, and that it leaves alone what it does not name, to the space."""

import pytest

from lora_trainer.datasets.edits import KINDS, read_edit
from lora_trainer.errors import InputError

CASES = [
    ({"kind": "caption", "text": "new"}, "old", "new"),
    ({"kind": "caption", "text": None}, "old", ""),
    ({"kind": "caption", "text": "a\r\nb"}, "old", "a\nb"),
    ({"kind": "add", "tags": ["sls"]}, "frog, leaf", "frog, leaf, sls"),
    ({"kind": "add", "tags": ["sls"]}, "", "sls"),
    ({"kind": "add", "tags": ["sls", "x"], "at": "start"}, "frog, leaf", "sls, x, frog, leaf"),
    ({"kind": "add", "tags": ["sls"], "at": "start"}, "  frog,  leaf ", "  sls, frog,  leaf "),
    ({"kind": "add", "tags": ["sls"], "at": 1}, "frog, leaf", "frog, sls, leaf"),
    ({"kind": "add", "tags": ["sls"], "at": 99}, "frog, leaf", "frog, leaf, sls"),
    ({"kind": "add", "tags": ["sls"], "at": "after:FROG"}, "a, frog, leaf", "a, frog, sls, leaf"),
    ({"kind": "add", "tags": ["sls"], "at": "after:toad"}, "a, frog", "a, frog, sls"),
    ({"kind": "add", "tags": ["Green_Eyes", "new"]}, "frog, green eyes", "frog, green eyes, new"),
    ({"kind": "add", "tags": ["new"]}, "frog,leaf", "frog,leaf,new"),
    ({"kind": "add", "tags": ["new"]}, "frog, leaf,", "frog, leaf, new"),
    ({"kind": "add", "tags": ["new"]}, "frog, leaf\na sentence, with a comma", "frog, leaf, new\na sentence, with a comma"),
    ({"kind": "add", "tags": ["new"], "at": "start"}, "sls frog ||| leaf, pond", "new, sls frog ||| leaf, pond"),
    ({"kind": "add", "tags": ["new"], "at": 1}, "sls frog ||| leaf, pond", "sls frog ||| new, leaf, pond"),
    ({"kind": "add", "tags": ["new"]}, "sls frog ||| leaf, pond", "sls frog ||| leaf, pond, new"),
    ({"kind": "add", "tags": ["new"]}, "sls frog |||", "sls frog ||| new"),
    ({"kind": "remove", "tags": ["leaf"]}, "frog, leaf,  pond", "frog,  pond"),
    ({"kind": "remove", "tags": ["frog"]}, "frog, leaf", "leaf"),
    ({"kind": "remove", "tags": ["frog"]}, "leaf, FROG", "leaf"),
    ({"kind": "remove", "tags": ["frog"]}, "tree frog, leaf", "tree frog, leaf"),
    ({"kind": "remove", "tags": ["green*"]}, "green eyes, frog, evergreen", "frog, evergreen"),
    ({"kind": "remove", "tags": ["frog"]}, "frog", ""),
    ({"kind": "remove", "tags": ["frog"]}, "frog\na frog, sitting", "a frog, sitting"),
    ({"kind": "remove", "tags": ["leaf"]}, "sls ||| leaf, pond", "sls ||| pond"),
    ({"kind": "rename", "tag": "frog", "to": "toad"}, "a, frog , leaf", "a, toad , leaf"),
    ({"kind": "rename", "tag": "frog", "to": "toad"}, "toad, frog, leaf", "toad, leaf"),
    ({"kind": "rename", "tag": "frog", "to": "toad"}, "frog_leg", "frog_leg"),
    ({"kind": "rename", "tag": "green*", "to": "eyes"}, "green eyes, x, green_eye", "eyes, x"),
    ({"kind": "replace", "find": "a.b", "with": "\\1"}, "xa.by acb", "x\\1y acb"),
    ({"kind": "replace", "find": "FROG", "with": "toad", "ignore_case": True}, "a frog", "a toad"),
    ({"kind": "replace", "find": "FROG", "with": "toad"}, "a frog", "a frog"),
    ({"kind": "regex", "pattern": r"(\d+)girls?", "replacement": r"\1 girl"}, "2girls, 1girl", "2 girl, 1 girl"),
    ({"kind": "rename_all", "tags": {"gren": "green", "lef": "leaf"}}, "gren, frog, Lef\ngren", "green, frog, leaf\ngreen"),
    ({"kind": "cut", "tokens": 3}, "sls, green eyes, pond", "sls"),
    ({"kind": "cut", "tokens": 4}, "sls, green eyes, pond\nline", "sls, green eyes\nline"),
    ({"kind": "cut", "tokens": 3}, "a frog on a leaf", "a frog on"),
    ({"kind": "cut", "tokens": 9}, "a frog, ", "a frog, "),
    ({"kind": "join"}, "a frog,\n\n on a leaf \n", "a frog, on a leaf"),
    ({"kind": "sort"}, "pond, Leaf, frog", "frog, Leaf, pond"),
    ({"kind": "sort", "descending": True}, "pond,leaf,  frog", "pond,leaf,  frog"),
    ({"kind": "sort", "keep_tokens": 1}, "sls, pond, frog", "sls, frog, pond"),
    ({"kind": "sort"}, "z, y ||| pond, frog", "z, y ||| frog, pond"),
    ({"kind": "sort"}, "b, a\nz, y", "a, b\nz, y"),
    ({"kind": "deduplicate"}, "frog, green eyes, Frog, green_eyes, x", "frog, green eyes, x"),
    ({"kind": "deduplicate"}, "frog\nfrog", "frog\nfrog"),
    ({"kind": "prefix", "text": "a photo of "}, "frog\nline", "a photo of frog\nline"),
    ({"kind": "suffix", "text": ", photo"}, "frog\nline", "frog, photo\nline"),
    ({"kind": "keep_tokens", "count": 1}, "sls, frog, leaf", "sls ||| frog, leaf"),
    ({"kind": "keep_tokens", "count": 2}, "sls ||| frog, leaf", "sls, frog ||| leaf"),
    ({"kind": "keep_tokens", "count": 0}, "sls ||| frog, leaf", "sls, frog, leaf"),
    ({"kind": "keep_tokens", "count": 1}, "", ""),
    ({"kind": "case", "to": "lower"}, "A Frog", "a frog"),
    ({"kind": "case", "to": "upper"}, "a frog", "A FROG"),
    ({"kind": "underscores", "to": "spaces"}, "green_eyes, ^_^, >_<, o_o", "green eyes, ^_^, >_<, o_o"),
    ({"kind": "underscores", "to": "underscores"}, "green eyes, a frog", "green_eyes, a_frog"),
    ({"kind": "tidy"}, " frog ,,leaf  green , \n\n a  b,", "frog, leaf green\na b"),
    ({"kind": "tidy"}, "sls|||frog,,leaf", "sls ||| frog, leaf"),
    ({"kind": "drop_empty"}, " as , it is\n\n", " as , it is\n\n"),
    ({"kind": "encoding"}, " as , it is\n\n", " as , it is\n\n"),
]


@pytest.mark.parametrize(("edit", "text", "expected"), CASES, ids=range(len(CASES)))
def test_an_edit_makes_of_a_caption(edit, text, expected):
    assert read_edit(edit).apply([text]) == [expected]


ODD = ["frog ,leaf,, pond", "  a,b ", "a ||| b,, c ||| d", "one\n\n two, 2\n", "||| a", "", " ", ",", "a b c, d_e"]


@pytest.mark.parametrize("text", ODD)
def test_what_an_edit_does_not_name_stays_as_it_was(text):
    for edit in (
        {"kind": "remove", "tags": ["nothing like it"]},
        {"kind": "rename", "tag": "nothing like it", "to": "x"},
        {"kind": "replace", "find": "nothing like it"},
        {"kind": "regex", "pattern": "nothing like it"},
        {"kind": "deduplicate"},
    ):
        assert read_edit(edit).apply([text]) == [text], edit


def test_every_kind_is_tried_here_or_changes_no_text():
    assert set(KINDS) - {edit["kind"] for edit, _, _ in CASES} == {
        "stars",
        "leave_out",
        "delete",
        "rotate",
        "crop",
        "trim",
        "mask",
    }


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (None, "kind"),
        ({}, "kind"),
        ({"kind": "explode"}, "no edit 'explode'"),
        ({"kind": "add"}, "'tags' of the edit add is missing"),
        ({"kind": "add", "tags": []}, "1 to 200"),
        ({"kind": "add", "tags": ["a,b"]}, "without commas"),
        ({"kind": "add", "tags": ["a\nb"]}, "line breaks"),
        ({"kind": "add", "tags": ["a"], "at": "middle"}, "after:TAG"),
        ({"kind": "add", "tags": ["a"], "at": True}, "after:TAG"),
        ({"kind": "add", "tags": ["a"], "sideways": 1}, "no 'sideways'"),
        ({"kind": "stars", "count": 6}, "0 to 5"),
        ({"kind": "rotate", "degrees": 45}, "90 or 180 or 270"),
        ({"kind": "replace", "find": ""}, "not empty"),
        ({"kind": "caption", "text": "a\0"}, "a text"),
        ({"kind": "crop", "x": -1, "y": 0, "width": 1, "height": 1}, "'x'"),
    ],
)
def test_a_wrong_edit_says_what_is_expected(edit, words):
    with pytest.raises(InputError) as caught:
        read_edit(edit)
    assert words in caught.value.message


def test_a_regular_expression_that_never_ends_or_is_wrong_is_told(monkeypatch):
    monkeypatch.setattr("lora_trainer.datasets.regexes.SECONDS", 0.5)
    with pytest.raises(InputError, match="given up"):
        read_edit({"kind": "regex", "pattern": "(a+)+$"}).apply(["a" * 60 + "!"])
    with pytest.raises(InputError, match="is wrong"):
        read_edit({"kind": "regex", "pattern": "("}).apply(["a"])
    with pytest.raises(InputError, match="invalid group reference"):
        read_edit({"kind": "regex", "pattern": "a", "replacement": "\\7"}).apply(["a"])


def test_a_caption_does_not_grow_without_end():
    with pytest.raises(InputError, match="longer"):
        read_edit({"kind": "replace", "find": "a", "with": "b" * 20_000}).apply(["a" * 100])
