"""The page of what trainings teach: it has every outcome that is measured, and a part of it can be written anew."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import outcomes
from tests.outcome.board import Board
from tests.outcome.lab import Seen


def test_the_page_is_written_with_the_seeds_of_the_tests_alone(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["outcomes", "--write", "--seed", "7"])
    with pytest.raises(SystemExit):
        outcomes.main()
    assert "--write needs the seeds" in capsys.readouterr().err


def test_a_section_is_written_anew_in_its_place(tmp_path):
    page, images = tmp_path / "outcomes.md", tmp_path / "images"
    rows = {"a row": Seen(torch.zeros(1, 3, 8, 8), ["a red star"], {})}
    board, again = Board(), Board()
    board.add("test_a", "One.", rows, {"all": lambda seen: 1.0})
    board.add("test_b", "Two.", rows, {"all": lambda seen: 1.0})
    board.page(outcomes.HEAD, images, page)
    first = page.read_text("utf-8")
    again.add("test_a", "One.", rows, {"all": lambda seen: 0.5})
    again.page(outcomes.HEAD, images, page, keep=True)
    assert page.read_text("utf-8") == first.replace("100 %", "50 %", 1)
    again.page(outcomes.HEAD, images, page)
    assert "Two" in first and "Two" not in page.read_text("utf-8")


def test_every_outcome_that_is_measured_stands_on_the_page():
    measured = []
    for path in sorted((outcomes.ROOT / "tests" / "outcome").glob("test_*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef) and any(argument.arg == "board" for argument in node.args.args):
                measured.append((ast.get_docstring(node) or node.name).partition("\n")[0].rstrip("."))
    page = Path(outcomes.ROOT / "docs" / "outcomes.md").read_text("utf-8")
    titles = [line.removeprefix("## ") for line in page.splitlines() if line.startswith("## ")]
    assert sorted(titles) == sorted(measured), "python -m benchmarks.outcomes --write -k NAME"
