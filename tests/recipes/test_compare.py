"""What differs between runs, in the settings of their data sets."""

from __future__ import annotations

from lora_trainer.recipes.compare import differing
from lora_trainer.recipes.recipe import Origin

FROGS = {"image_dir": "/frogs", "class_tokens": "sls frog", "num_repeats": 10, "caption_extension": ".txt"}
REG = {"image_dir": "/reg", "class_tokens": "frog", "num_repeats": 1, "is_reg": True}


def run(*tables: list[dict]) -> Origin:
    return Origin({}, {"datasets": [{"resolution": [64, 64], "subsets": subsets} for subsets in tables]}, {})


def found(*runs: Origin) -> dict[str, tuple[str, ...]]:
    return {one.name: one.values for one in differing(runs, places=True)}


def test_a_folder_that_one_run_has_more_is_all_that_is_told_of_it():
    assert found(run([FROGS]), run([FROGS, REG])) == {
        "2: image_dir": ("", "/reg"),
        "2: class_tokens": ("", "frog"),
        "2: num_repeats": ("", "1"),
        "2: is_reg": ("", "True"),
    }


def test_what_differs_in_the_folder_that_both_have_is_told_of_that():
    other = {**FROGS, "num_repeats": 5}
    assert {name: values for name, values in found(run([FROGS]), run([other, REG])).items() if name[0] == "1"} == {
        "1: num_repeats": ("10", "5")
    }
    assert found(run([FROGS]), run([other])) == {"num_repeats": ("10", "5")}


def test_data_sets_are_numbered_alike_too():
    assert "2: 1: image_dir" in found(run([FROGS]), run([FROGS], [FROGS, REG]))
    assert not [name for name in found(run([FROGS]), run([FROGS], [FROGS, REG])) if name.startswith("1: ")]
