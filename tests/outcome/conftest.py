"""Fixtures: those of tests/training, and the lab and the board of the tests on the demo base model.

An outcome is a test that trains with `lab.train`, draws with `lab.draw`, and gives its rows of pictures to `board`: it scores
them, and `python -m benchmarks.outcomes` prints the scores and puts the pictures into docs/outcomes.md. docs/architecture.md
says how to add one.
"""

from __future__ import annotations

import inspect
import os
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
SEED = "LORA_TRAINER_OUTCOME_SEED"  # moves the seeds of all trainings and pictures: `python -m benchmarks.outcomes --seed 7`


@pytest.fixture(scope="session")
def one_lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """The lab, whose LoRA files are shared by all tests of the session, also where it runs in several processes."""
    model = files.model()
    if model is None:
        pytest.skip(f"there is no demo base model at {files.SHIPPED}")
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # that of all processes
    return Lab(model, JUDGE, folder / "lab", seed=int(os.environ.get(SEED, "0")))


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
