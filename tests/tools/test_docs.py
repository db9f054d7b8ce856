"""docs/tools.md names every tool and every option, and every tool says what it is for when asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from lora_trainer.commands import COMMANDS, run
from lora_trainer.options import tools
from lora_trainer.options.schema import options_of

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "tools.md").read_text(encoding="utf-8")
TOOLS = [command.name for command in COMMANDS if command.target.startswith("lora_trainer.tools.")]
DECLARED = [value for value in vars(tools).values() if isinstance(value, type) and hasattr(value, "REQUIRED")]


@pytest.mark.parametrize("declared", DECLARED, ids=lambda declared: declared.__name__)
def test_every_option_is_described(declared):
    missing = [option.name for option in options_of(declared) if option.name not in TEXT]
    assert missing == []
    assert {*declared.REQUIRED, *declared.POSITIONAL} <= {option.name for option in options_of(declared)}


@pytest.mark.parametrize("tool", TOOLS)
def test_every_tool_is_described_and_has_help(tool, capsys):
    assert tool in TEXT
    assert run([tool, "--help"]) == 0
    assert "--help" in capsys.readouterr().out
