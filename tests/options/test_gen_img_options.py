"""gen_img_diffusers' declarations against names, types, defaults, choices and nargs of the reference's two scripts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lora_trainer.errors import InputErrors
from lora_trainer.options.gen_img import GenImg
from lora_trainer.options.schema import options_of
from lora_trainer.options.tool_cli import parse

ROOT = Path(__file__).parents[2]
SCRIPTS = json.loads((ROOT / "tests" / "golden" / "options.json").read_text(encoding="utf-8"))["scripts"]
REFERENCE = {option["dest"]: option for script in ("gen_img_diffusers.py", "gen_img.py") for option in SCRIPTS[script]}
OPTIONS = {option.name: option for option in options_of(GenImg)}
SOURCE = "\n".join(
    path.read_text(encoding="utf-8") for path in sorted((ROOT / "lora_trainer" / "sampling" / "gen_img").glob("*.py"))
)


def test_every_option_is_declared_and_one_that_the_reference_lacks_says_why_it_is_there():
    assert {option.name for option in OPTIONS.values() if not option.ours} == set(REFERENCE)


@pytest.mark.parametrize("name", sorted(REFERENCE))
def test_types_defaults_choices_and_nargs_are_the_references(name):
    ours, theirs = OPTIONS[name], REFERENCE[name]
    assert ours.kind == ("bool" if theirs["action"] == "StoreTrue" else theirs["type"])
    assert ours.default == theirs["default"] and not theirs["required"]
    if name == "sampler":  # every sampler there is may be named, by its own name and by the reference's
        assert set(theirs["choices"]) <= set(ours.choices)
    else:
        assert (ours.choices or None) == (tuple(theirs["choices"]) if theirs["choices"] else None)
    assert ours.many == (theirs["nargs"] in ("*", 2))


@pytest.mark.parametrize("option", OPTIONS.values(), ids=lambda option: option.name)
def test_every_option_has_help_in_both_languages_and_is_read_or_refused(option, tmp_path):
    assert option.help.endswith((".", ")")) and not re.search("[가-힣]", option.help)
    assert re.search("[가-힣]", option.ko) or not option.supported
    if option.supported and not option.ready:
        assert re.search(rf"\b{option.name}\b", SOURCE), "accepted, and nobody reads it"
    if not option.supported:
        value = {"bool": "true", "str": "x"}.get(option.kind, "7")
        with pytest.raises(InputErrors, match=rf"--{option.name}: not available: "):
            parse(GenImg, "gen_img_diffusers", [f"--{option.name}={value}", "--ckpt", str(tmp_path)])


def test_the_reference_command_line_is_understood(tmp_path):
    weights = [ROOT / "tests" / "golden" / "lora_sd15_sd_scripts.safetensors"] * 2
    words = ["--ckpt", tmp_path, "--network_module", "networks.lora", "networks.lora", "--network_mul", "0.4", "-0.5"]
    words += ["--network-weights", *weights, "--W", "640", "--fp16", "--prompt", "a cat --n b"]
    options = parse(GenImg, "gen_img_diffusers", [*map(str, words)])
    assert options.network_mul == (0.4, -0.5) and options.network_weights == tuple(map(str, weights))
    assert options.fp16 and options.W == 640 and options.H is None and options.prompt == "a cat --n b"
