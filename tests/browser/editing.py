"""What tests of the data set page do with captions and pictures."""

from __future__ import annotations

import re

import pytest

expect = pytest.importorskip("playwright.sync_api").expect


def caption(folder, index: int) -> str:
    return (folder / f"frog_{index:05}.txt").read_bytes().decode("utf-8")


def expect_caption(page, folder, index: int, text: str) -> None:
    """What the file holds, when the page says that it is saved."""
    expect(page.locator(".lt-data-saved")).to_contain_text(re.compile("Saved|Undone|Done again|저장됨"))
    for _ in range(100):
        if caption(folder, index) == text:
            return
        page.wait_for_timeout(50)
    assert caption(folder, index) == text


def choose(page, index: int, **more) -> None:
    page.locator(".lt-data-tile").nth(index).click(**more)
