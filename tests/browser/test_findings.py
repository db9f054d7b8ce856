"""What spoils the training stands in the plan, with why it matters; a button mends it, and the mend is undone."""

from __future__ import annotations

import pytest

from .conftest import MODULE
from .real_api import fill_form, running

expect = pytest.importorskip("playwright.sync_api").expect


def captions(folder):
    return [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.txt"))]


def test_a_finding_says_why_shows_its_pictures_and_is_mended_and_undone(open_page, tmp_path):
    with running(tmp_path) as place:
        before = captions(place.images)
        page = open_page(place.address)
        fill_form(page, place, identifier="ohwx")
        small = page.locator(".lt-finding[data-code=enlarged]")
        small.get_by_role("button", name="Switch").click()
        expect(small).to_have_count(0)
        script = f'async () => {{ {MODULE} return (await module("train/values.js")).values.get("bucket_no_upscale"); }}'
        assert page.evaluate(script) is True, "the form mends it"
        line = page.locator(".lt-finding[data-code=identifier_absent]")
        expect(line).to_contain_text("4 of 4 captions do not say 'ohwx'")
        line.get_by_text("Why?").click()
        expect(line).to_contain_text("cannot be called")
        line.get_by_role("button", name="Write 'ohwx' in front of these captions").click()
        expect(line).to_have_count(0)
        assert captions(place.images) == [f"ohwx, {text}" for text in before]
        tiles = page.locator(".lt-tile-text")
        expect(tiles).to_have_text([f"ohwx, {text}" for text in before])
        page.locator(".lt-plan").get_by_role("button", name="Undo").click()
        expect(page.locator(".lt-plan [role=status]", has_text="Undone: ")).to_have_count(1)
        expect(tiles).to_have_text(before)
        expect(line).to_have_count(1)
        (place.images / "frog_01.png").with_suffix(".txt").write_text("by another program")
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # one comes back to the page
        expect(tiles.first).to_have_text("by another program")
        (place.images / "frog_01.png").with_suffix(".txt").write_text(before[0])
        assert captions(place.images) == before
        line.get_by_role("button", name="Show these pictures").click()
        expect(page.locator(".lt-data-tile")).to_have_count(4)
        assert page.evaluate("location.hash").startswith("#lora-data=")
        expect(page.locator(".lt-data input[type=search], .lt-data-filter input").first).to_have_value(
            "finding:identifier_absent"
        )
