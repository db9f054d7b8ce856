"""Which test shows the effect of each option: what the tests say of themselves by `@pytest.mark.effect("option", ...)`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from ..paths import ROOT_DIR

TESTS = ROOT_DIR / "tests"


def effects(tests: Path = TESTS) -> dict[str, list[str]]:
    """{option: ["tests/room/test_file.py::test_name", ...]}, read from the test files without running them.

    Raises ValueError for a marker that does not stand on a test function or names something other than text: it would be
    counted by nobody.
    """
    found: dict[str, list[str]] = {}
    for path in sorted(tests.rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        if "mark.effect(" not in text:
            continue
        file = path.relative_to(tests.parent).as_posix()
        tree = ast.parse(text)
        marks = list(_marks(tree))
        if len(marks) != sum(map(_is_mark, ast.walk(tree))):
            raise ValueError(f"{file}: a marker `effect` stands elsewhere than on a test function.")
        for test, mark in marks:
            for name in mark.args:
                if not (isinstance(name, ast.Constant) and isinstance(name.value, str)):
                    raise ValueError(f"{file}:{mark.lineno}: the marker `effect` takes names of options as plain texts.")
                found.setdefault(name.value, []).append(f"{file}::{test}")
    return found


def _marks(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            for decorator in node.decorator_list:
                if _is_mark(decorator):
                    yield node.name, cast(ast.Call, decorator)


def _is_mark(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.effect"
