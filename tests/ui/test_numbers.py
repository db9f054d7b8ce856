"""How the page reads the numbers that people type."""

from __future__ import annotations

import json


def test_strengths_are_read_as_they_are_meant_or_it_is_said_which_is_none(evaluated):
    """(typed, strengths, what is none, whether it is worth saying what was read)"""
    cases = [
        ("0.6, 0.8, 1", [0.6, 0.8, 1], "", False),
        ("0 0.8", [0, 0.8], "", False),
        ("0.6,0.8,1", [0.6, 0.8, 1], "", True),
        ("0,8", [0.8], "", True),
        ("0,6; 0,8; 1", [0.6, 0.8, 1], "", True),
        ("0,6, 0,8, 1", [0.6, 0.8, 1], "", True),
        ("0,6 0,8", [0.6, 0.8], "", True),
        (" -1;.5\t1. ", [-1, 0.5, 1], "", False),
        ("0.8, 0,8, .8", [0.8], "", True),
        ("1,", [1], "", False),
        ("", [], "", False),
        (" ;, ", [], "", False),
        ("1,2,3", [], "1,2,3", True),
        ("0.6 strong", [], "strong", False),
        ("0x10", [], "0x10", False),
        ("1e1", [], "1e1", False),
        ("Infinity", [], "Infinity", False),
        ("0,8,1.5", [0, 8, 1.5], "", True),
        ("０．６，１", [0.6, 1], "", True),
        ("０．６； −１", [0.6, -1], "", False),
    ]
    found = evaluated("runs/strengths.js", f"{json.dumps([one[0] for one in cases])}.map(m.readStrengths)")
    for (typed, numbers, wrong, is_guess), read in zip(cases, found, strict=True):
        assert (read["numbers"], read["wrong"], read["isGuess"]) == (numbers, wrong, is_guess), typed
    far = evaluated("runs/strengths.js", '["100", "0.8 -10.5", "10 -10"].map(m.readStrengths)')
    assert [(one["wrong"], one["isFar"]) for one in far] == [("100", True), ("-10.5", True), ("", False)]


def test_values_that_are_tried_one_after_the_other_may_be_typed_in_full_width(evaluated):
    typed = [["２，４；８", "integer"], ["０，５\n1e-４", "number"], ["ｓｋｓ，ball", "text"]]
    read = evaluated("train/variants.js", f"{json.dumps(typed)}.map((one) => m.valuesOf(...one))")
    assert read == [["2", "4", "8"], ["0,5", "1e-4"], ["ｓｋｓ，ball"]]


def test_a_sentence_of_the_host_begins_with_a_capital_and_a_files_name_stays(evaluated):
    said = {
        "the file is gone.": "The file is gone.",
        "these images share one caption file: a.png.": "These images share one caption file: a.png.",
        "a.png: Only these are read here.": "a.png: Only these are read here.",
        "a photo.png: the file is cut short.": "a photo.png: the file is cut short.",
        "no-one.toml, line 2: there is no such option.": "no-one.toml, line 2: there is no such option.",
    }
    assert evaluated("base/problems.js", f"{json.dumps(list(said))}.map(m.sentence)") == list(said.values())


def test_a_caption_of_several_lines_has_room_in_one(evaluated):
    captions = ["a frog", "a frog\nthe frog\nmy frog", "\na frog\n", ""]
    assert evaluated("data/words.js", f"{json.dumps(captions)}.map(m.oneLine)") == ["a frog", "a frog …", "\na frog\n", ""]


def test_a_number_has_a_point_or_a_decimal_comma(evaluated):
    typed = ["0.8", "0,8", " -1,5 ", "1e-4", "1,5e-4", "６４", "０．５", "−2", "7", "0,125"]
    typed += ["", " ", "0,8,1", "0,8.1", "x", "0x10", "Infinity"]
    typed += ["1,500", "2,000,000"]  # of what may have a fraction nobody knows what these mean
    numbers = [0.8, 0.8, -1.5, 1e-4, 1.5e-4, 64, 0.5, -2, 7, 0.125, *["NaN"] * 9]
    assert evaluated("base/numbers.js", f"{json.dumps(typed)}.map((text) => m.readNumber(text))") == numbers


def test_a_whole_number_may_have_its_thousands_set_apart_and_is_never_cut_short(evaluated):
    typed = ["2000", "2,000", "10,000", "1 234 567", "２，０００", "-1", "3.0", "1e3"]
    none = ["2,0", "0,5", "1.000", "12.345.678", "1,00", "1,0000", "1,000.5", "2,000 000", "x"]
    read = evaluated("base/numbers.js", f"{json.dumps(typed + none)}.map((text) => m.readNumber(text, true))")
    assert read == [2000, 2000, 10000, 1234567, 2000, -1, 3, 1000, *["NaN"] * len(none)]


def test_what_can_be_meant_in_two_ways_is_said_at_the_field_of_the_form(evaluated):
    asked = [("integer", "2,000"), ("integer", "1.000"), ("number", "1,500"), ("number", "0,5"), ("integer", "0,5")]
    found = evaluated("train/values.js", f"{json.dumps(asked)}.map(([kind, text]) => m.values.parse({{ kind }}, text))")
    assert found[0] == {"value": 2000} and found[3] == {"value": 0.5}
    assert [one["error"] for one in (found[1], found[2], found[4])] == ["want_unclear", "want_unclear", "want_integer"]


def test_what_a_picture_cannot_be_drawn_with_is_said(evaluated):
    asked = [
        ["cfg_scale", "7,5"],
        ["steps", "20"],
        ["steps", "2.5"],
        ["width", "100"],
        ["seed", "-1"],
        ["seed", "x"],
        ["steps", ""],
    ]
    found = evaluated("generate/limits.js", f"{json.dumps(asked)}.map(([name, text]) => m.readSetting(name, text))", "ko")
    assert found[0] == {"value": 7.5, "wrong": ""} and found[1]["wrong"] == found[4]["wrong"] == ""
    assert found[3]["wrong"] == "64에서 2048 사이의 8의 배수를 입력하세요."
    assert all("입력하세요" in found[place]["wrong"] for place in (2, 5, 6))


def test_tags_are_divided_by_the_commas_of_every_keyboard(evaluated):
    assert evaluated("data/words.js", 'm.typedTags("pond\\uff0cleaf, , frog")') == ["pond", "leaf", "frog"]
