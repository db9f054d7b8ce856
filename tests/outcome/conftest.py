"""Fixtures: those of tests/training, and the lab and the board of the tests on the demo base model.

An outcome is a test that trains with `lab.train`, draws with `lab.draw`, and gives its rows of pictures to `board`: it scores
them, and benchmarks/outcomes.py prints the scores and puts the pictures into docs/outcomes.md.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from lora_trainer.demo import files
from tests.outcome.board import Board, Measure, Scores
from tests.outcome.lab import Lab, Seen
from tests.training.conftest import options_for, pictures

__all__ = ["options_for", "pictures"]

JUDGE = Path(__file__).parents[1] / "demo" / "judge.safetensors"
BOARD = pytest.StashKey[Board]()


@pytest.fixture(scope="session")
def one_lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """The lab, whose LoRA files are shared by all tests of the session."""
    model = files.model()
    if model is None:
        pytest.skip(f"there is no demo base model at {files.SHIPPED}")
    return Lab(model, JUDGE, tmp_path_factory.mktemp("lab"))


@pytest.fixture
def lab(one_lab: Lab) -> Iterator[Lab]:
    """The lab, on one processor thread: its operations are too small to be shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield one_lab
    torch.set_num_threads(before)


@pytest.fixture
def board(request: pytest.FixtureRequest) -> Callable[..., Scores]:
    """`board({row: seen}, measure=...)` scores every row by every measure; the test's docstring becomes title and text."""
    kept = request.config.stash.setdefault(BOARD, Board())

    def add(rows: dict[str, Seen], **measures: Measure) -> Scores:
        scores = kept.add(request.node.name, inspect.getdoc(request.function) or request.node.name, rows, measures)
        sys.stdout.write(kept.outcomes[-1].table() + "\n")  # pytest shows it where a test fails, or with -s
        return scores

    return add
