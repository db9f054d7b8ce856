"""docs/generate.md names every option that works, and none that does not exist."""

from __future__ import annotations

import re
from pathlib import Path

from lora_trainer.commands import run
from lora_trainer.options.gen_img import GenImg
from lora_trainer.options.schema import options_of
from lora_trainer.sampling.command import parser
from lora_trainer.sampling.gen_img.lines import _SYNTAX

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "generate.md").read_text(encoding="utf-8")


def test_every_option_is_described_and_none_is_invented():
    supported = {option.name for option in options_of(GenImg) if option.supported and not option.ready}
    written = set(re.findall(r"--(\w+)", TEXT))
    assert supported <= written
    others = {word[2:] for action in parser()._actions for word in action.option_strings}
    assert written <= supported | others | set(_SYNTAX.options)


def test_help_is_shown(capsys):
    assert run(["gen_img_diffusers", "--help"]) == 0
    assert "--network_mul" in capsys.readouterr().out
