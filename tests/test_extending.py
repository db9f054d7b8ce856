"""docs/extending.md: every rehearsal is made in a copy of the program, and its test is run there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from .conftest import REQUIRE_BROWSER

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
_BLOCK = re.compile(r"^```(?:python|js) (?P<head>file=.*)\n(?P<code>(?:.*\n)*?)```$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One block of code: the file it belongs to, and how."""

    file: str
    code: str
    after: str = ""
    append: bool = False
    is_test: bool = False
    also: str = ""  # more words for pytest

    @classmethod
    def of(cls, match: re.Match[str]) -> Block:
        words = dict(word.partition("=")[::2] for word in shlex.split(match["head"]))
        assert set(words) <= {"file", "after", "append", "test", "also"}, words
        return cls(
            words["file"], match["code"], words.get("after", ""), "append" in words, "test" in words, words.get("also", "")
        )

    def put(self, tree: Path) -> None:
        """Make the change in `tree`."""
        path = tree / self.file
        if self.append:
            path.write_text(path.read_text(encoding="utf-8") + "\n\n" + self.code, encoding="utf-8")
        elif self.after:
            lines = path.read_text(encoding="utf-8").splitlines()
            assert lines.count(self.after) == 1, f"{self.file} has not just one line that reads {self.after!r}"
            place = lines.index(self.after) + 1
            path.write_text("\n".join([*lines[:place], *self.code.splitlines(), *lines[place:], ""]), encoding="utf-8")
        else:
            assert not path.exists(), f"{self.file} is there already"
            path.parent.mkdir(exist_ok=True)
            path.write_text(self.code, encoding="utf-8")


def rehearsals() -> dict[str, list[Block]]:
    """The blocks of each section."""
    sections = {part.partition("\n")[0]: [*map(Block.of, _BLOCK.finditer(part))] for part in TEXT.split("\n## ")[1:]}
    return {title: blocks for title, blocks in sections.items() if blocks}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the program and its tests; large files are linked."""

    def copy(source: str, target: str) -> None:
        (os.symlink if Path(source).stat().st_size > 300_000 else shutil.copy)(source, target)

    ignored = shutil.ignore_patterns("__pycache__", "images")
    for name in ("lora_trainer", "tests", "docs", "javascript", "benchmarks"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored, copy_function=copy)
    for name in ("pyproject.toml", "style.css", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


_LONG = ("A kind of network",)


@pytest.mark.parametrize("title", [pytest.param(one, marks=pytest.mark.long if one in _LONG else ()) for one in rehearsals()])
def test_a_rehearsal_is_done_in_its_room_and_its_test(title, tree):
    blocks = rehearsals()[title]
    for block in blocks:
        block.put(tree)
    tests = [block for block in blocks if block.is_test]
    assert len(tests) == 1
    runs = [[tests[0].file]] + ([tests[0].also.split()] if tests[0].also else [])
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    environment.pop(REQUIRE_BROWSER, None)
    for words in runs:
        command = [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", *words]
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
        needs_browser = words[0].startswith("tests/browser/")  # skipped where there is none
        assert re.search(r"\d+ passed" if not needs_browser else r"\d+ (passed|skipped)", done.stdout)
        assert "failed" not in done.stdout


def test_there_is_one_for_each_thing_that_is_often_added():
    assert list(rehearsals()) == [
        "A sampler",
        "An option of our own",
        "A kind of network",
        "A tool with its page",
        "A view of the page",
    ]
