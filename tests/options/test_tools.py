"""The table of tools: each is complete for the command line and for the page, in both languages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

import pytest

from lora_trainer.commands import COMMANDS
from lora_trainer.errors import InputErrors
from lora_trainer.options.schema import Title, opt, options_of
from lora_trainer.options.tool_page import arguments
from lora_trainer.options.tools import PAGE_TOOLS, TOOLS
from lora_trainer.options.tools.declaring import PageTool, Shown, Tool

FILES = {"lora", "loras", "checkpoint"}
TYPED = {"folder": "folder", "path": "file", "written": "written", "hub": ""}  # kind -> what the option says of its path
BESIDES = {"save_to", "ratios"}  # the host gives the one, the rows of "loras" the other


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.command)
def test_a_tool_is_a_command_whose_code_is_there(tool):
    assert [command.target for command in COMMANDS if command.name == tool.command] == [tool.target]
    pytest.importorskip("torch")
    assert callable(next(command for command in COMMANDS if command.name == tool.command).load())
    names = {option.name for option in options_of(tool.declared)}
    assert set(tool.declared.REQUIRED) | set(tool.declared.POSITIONAL) <= names


@pytest.mark.parametrize("page", PAGE_TOOLS, ids=lambda page: page.name)
def test_a_tool_of_the_page_says_all_that_the_page_shows(page):
    assert set(page.declared.REQUIRED) - BESIDES <= set(page.required)
    for shown, option in page.options():
        assert option.label and option.label_ko, option.name
        assert shown.help is None or all(shown.help)
        assert set(shown.choices) <= set(option.choices)
        if shown.kind in TYPED:
            assert option.path == TYPED[shown.kind]
        else:
            assert bool(shown.kind) == (option.path in ("file", "files", "checkpoint"))
            assert not shown.kind or shown.kind in FILES
    assert bool(page.suggest) == (page.writes in ("lora", "checkpoint"))
    named = re.findall(r"\{(\w+)\}", " ".join(page.suggest))
    assert set(named) <= set(page.fields) and (not page.suggest or "{" in page.suggest[0])


def test_tools_of_the_page_have_names_of_their_own():
    assert len({page.name for page in PAGE_TOOLS}) == len(PAGE_TOOLS)


@dataclass(frozen=True, kw_only=True)
class Declared:
    TITLE: ClassVar[Title] = Title("x", "x")
    share: float | None = opt(None, "A share.", "비율입니다.", minimum=0.0)


def test_a_required_number_may_be_zero():
    pages = (PageTool(name="x", title=Title("x", "x"), help=Title("x", "x"), shown=(Shown("share", required=True),)),)
    (page,) = Tool("x", "", "", Declared, pages).page_tools()
    assert arguments(page, {"share": 0}, {})[0] == "--share"
    for nothing in ("", None):
        with pytest.raises(InputErrors, match="Nothing is chosen"):
            arguments(page, {"share": nothing}, {})
