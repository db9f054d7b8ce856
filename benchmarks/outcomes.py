"""The outcome tests' scores as tables, and docs/outcomes.md with their pictures.

    python -m benchmarks.outcomes                  # print the tables
    python -m benchmarks.outcomes --write          # and write docs/outcomes.md and docs/images/outcomes/
    python -m benchmarks.outcomes --seed 7         # with other seeds: what the tests assert has to hold for any
    python -m benchmarks.outcomes -k "subject"     # some of the tests, in pytest's words; with --write their sections alone

It runs the tests of tests/outcome themselves: what they score is what is shown.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest  # noqa: E402

from tests.conftest import LONG  # noqa: E402
from tests.outcome.board import Board  # noqa: E402
from tests.outcome.conftest import BOARD, SEED  # noqa: E402

FIRST = "test_subject.py"
HEAD = """# What a training teaches, measured

Every section is a test of `tests/outcome`: small LoRAs, trained on the demo base model with the ordinary training, drawn with
the ordinary samplers at a strength of 1 where nothing else is said, and read by a small classifier. A percentage is the share
of pictures in which it reads what the column says (where that is a part of the caption, like the colour: the caption's word).
The tests fail when the feature is switched off: the rows beside it show how that would look.

This page is written by `python -m benchmarks.outcomes --write`. With `--seed 7` in place of `--write` all trainings
and pictures have other seeds, and the tables are printed.
"""


class Keeper:
    """A pytest plugin that takes the board out of the session."""

    def __init__(self) -> None:
        self.board = Board()

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Keep what the tests found."""
        self.board = session.config.stash.get(BOARD, self.board)


def main() -> int:
    """Run the tests; return pytest's exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write docs/outcomes.md and its pictures")
    parser.add_argument("-k", default="", metavar="WORDS", help="only the tests whose names fit, as in pytest")
    parser.add_argument("--seed", type=int, default=0, metavar="NUMBER", help="move the seeds of all trainings and pictures")
    given = parser.parse_args()
    if given.write and given.seed:
        parser.error("--write needs the seeds that the tests have: leave out --seed")
    os.environ |= {SEED: str(given.seed), LONG: "1"}
    keeper = Keeper()
    found = sorted((ROOT / "tests" / "outcome").glob("test_*.py"), key=lambda path: (path.name != FIRST, path.name))
    tests = [str(path) for path in found if path.name != "test_outcome.py"]
    in_one_process = ["-n", "0"]  # the board is in the process that ran the tests
    code = pytest.main([*tests, *in_one_process, "-k", given.k, f"--rootdir={ROOT}"], plugins=[keeper])
    for outcome in keeper.board.outcomes:
        sys.stdout.write(f"\n{outcome.title}\n{outcome.table()}\n")
    if given.write and code:
        sys.stderr.write("A test failed: nothing was written.\n")
    elif given.write:
        keeper.board.page(HEAD, ROOT / "docs" / "images" / "outcomes", ROOT / "docs" / "outcomes.md", keep=bool(given.k))
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
