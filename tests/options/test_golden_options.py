"""Our declarations against the names, types, defaults, choices and nargs of the reference's training scripts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lora_trainer.options import OPTIONS, OPTIONS_BY_NAME
from lora_trainer.options.resolve import ALIASES

GOLDEN = Path(__file__).parents[1] / "golden" / "options.json"
SCRIPTS = json.loads(GOLDEN.read_text(encoding="utf-8"))["scripts"]
TRAINS = (
    *("fine_tune.py", "train_db.py", "sdxl_train.py", "train_textual_inversion.py", "sdxl_train_textual_inversion.py"),
    *("train_network.py", "sdxl_train_network.py"),
)
REFERENCE = {o["dest"]: o for script in TRAINS for o in SCRIPTS[script]}

# Every deliberate difference: (option, aspect) -> (the reference's, ours, why).
DIFFERENCES = {
    ("network_dim", "default"): (
        None,
        4,
        "the reference turns nothing into 4 later on; the help and the metadata say 4 at once",
    ),
    ("optimizer_type", "default"): ("", "AdamW", "the reference turns an empty text into AdamW later on"),
    ("network_module", "choices"): (
        None,
        ("networks.lora", "networks.dylora", "lycoris.kohya"),
        "any Python module would be imported and run",
    ),
    ("optimizer_type", "choices"): (
        None,
        OPTIONS_BY_NAME["optimizer_type"].choices,
        "an unknown name fails only after loading",
    ),
    ("lr_scheduler", "choices"): (None, OPTIONS_BY_NAME["lr_scheduler"].choices, "an unknown name fails only after loading"),
    ("lr_scheduler_type", "choices"): (
        None,
        OPTIONS_BY_NAME["lr_scheduler_type"].choices,
        "an unknown name fails only after loading",
    ),
    ("sample_sampler", "choices"): (
        tuple(REFERENCE["sample_sampler"]["choices"]),
        OPTIONS_BY_NAME["sample_sampler"].choices,
        "every sampler there is may be named, by its own name and by the reference's",
    ),
    ("huggingface_repo_type", "choices"): (None, ("model", "dataset", "space"), "the hub knows no others"),
    ("max_token_length", "choices"): ((150, 225), (75, 150, 225), "75 is the default and may be written out"),
    ("save_model_as", "choices"): (
        ("ckpt", "pt", "safetensors"),
        ("ckpt", "pt", "safetensors", "diffusers", "diffusers_safetensors"),
        "one option for all kinds of training; those that do not suit one are refused",
    ),
    ("resize_interpolation", "choices"): (
        ("lanczos", "nearest", "bilinear", "linear", "bicubic", "cubic", "area"),
        ("lanczos", "nearest", "bilinear", "linear", "bicubic", "cubic", "area", "box"),
        "the reference's resizing knows box, its command line does not",
    ),
}
DIFFERENT = {(name, aspect): (theirs, ours) for (name, aspect), (theirs, ours, _) in DIFFERENCES.items()}


def aspects_of_reference(option):
    flag = option["action"] == "StoreTrue"
    return {
        "kind": "bool" if flag else {"Path": "str"}.get(option["type"], option["type"]),
        "default": option["default"],
        "choices": tuple(c for c in option["choices"] if c is not None) if option["choices"] else None,
        "many": option["nargs"] == "*",
    }


THEIRS = {option.name for option in OPTIONS if not option.ours}


def test_every_option_is_declared_once_and_one_that_the_reference_lacks_says_why_it_is_there():
    assert set(REFERENCE) == THEIRS | set(ALIASES) - {"scheduler_args", "networkdim"}
    documents = {"scheduler_args": "lr_scheduler_args", "networkdim": "network_dim"}  # spellings of theirs
    assert {"caption_extention": "caption_extension", **documents} == ALIASES
    assert len(OPTIONS) == len(OPTIONS_BY_NAME) and len(THEIRS) == 211
    for option in OPTIONS:
        assert not option.ours or len(option.ours) > 20, option.name


@pytest.mark.parametrize("name", sorted(THEIRS))
def test_types_defaults_choices_and_nargs_are_the_references_or_a_listed_difference(name):
    option = OPTIONS_BY_NAME[name]
    ours = {"kind": option.kind, "default": option.default, "choices": option.choices or None, "many": option.many}
    for aspect, theirs in aspects_of_reference(REFERENCE[name]).items():
        if (name, aspect) in DIFFERENT:
            assert (theirs, ours[aspect]) == DIFFERENT[name, aspect]
        else:
            assert ours[aspect] == theirs, aspect


def test_the_references_samplers_are_among_ours():
    assert set(REFERENCE["sample_sampler"]["choices"]) <= set(OPTIONS_BY_NAME["sample_sampler"].choices)


def test_every_listed_difference_is_real_and_has_a_reason():
    for (name, _), (theirs, ours, why) in DIFFERENCES.items():
        assert name in OPTIONS_BY_NAME and theirs != ours and len(why) > 20


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_option_has_help_in_both_languages_and_sound_limits(option):
    assert len(option.help) > 15 and option.help.endswith((".", ")")), option.help
    assert any("가" <= character <= "힣" for character in option.ko), option.ko
    assert not any("가" <= character <= "힣" for character in option.help)
    assert set(option.ready) <= set(option.choices) and set(option.titles) <= set(option.choices)
    assert option.default is None or not option.choices or option.default in option.choices or option.default == ""
    for low in (option.minimum, option.above):
        assert low is None or option.default is None or isinstance(option.default, tuple) or option.default >= low
