"""What a host's own style sheet must not break, and what hands and keyboard need: size, place and focus of things."""

from __future__ import annotations

import pytest

expect = pytest.importorskip("playwright.sync_api").expect

# gradio's rule for its "prose", and the colour that both Web UIs give to blocks.
HOST_STYLE = """
    :root { --block-background-fill: transparent; --body-background-fill: #0b0f19; --body-text-color: #f3f4f6; }
    .prose :last-child { margin-bottom: 0 !important; }
    .prose [type="checkbox"], .prose [type="radio"] { appearance: none; background-color: #fff; }
    .prose [type="checkbox"]:checked { background-image: linear-gradient(#fff, #fff); }
"""


def in_a_web_ui(page) -> None:
    page.add_style_tag(content=HOST_STYLE)
    page.evaluate("document.querySelector('.lt-mount').parentElement.classList.add('prose')")


def is_opaque(locator) -> bool:
    """Whether nothing shows through: a colour without transparency lies at the bottom."""
    color = locator.evaluate("(element) => getComputedStyle(element).backgroundColor")
    return color != "transparent" and not color.endswith(", 0)") and "rgba" not in color


def assert_is_centred(page, box) -> None:
    """To a pixel, in both directions."""
    size = page.viewport_size
    assert abs(box["x"] + box["width"] / 2 - size["width"] / 2) <= 1
    assert abs(box["y"] + box["height"] / 2 - size["height"] / 2) <= 1


def test_a_dialog_stands_in_the_middle_and_nothing_shows_through_it_in_a_web_ui(open_page, address, api):
    api.add_run("r1")
    page = open_page(address + "#lora-run=r1")
    in_a_web_ui(page)
    page.locator(".lt-run-head").get_by_role("button", name="Stop", exact=True).click()
    dialog = page.locator("dialog.lt-ask")
    assert_is_centred(page, dialog.bounding_box())
    assert is_opaque(dialog)


def test_a_box_shows_in_a_web_ui_whether_it_is_ticked(open_page, address, api):
    api.add_run("r1")
    api.finish("r1")
    page = open_page(address + "#lora-runs")
    in_a_web_ui(page)
    box = page.locator("input[type=checkbox]:not(.lt-switch)").first
    box.check()
    style = box.evaluate("(one) => [getComputedStyle(one).appearance, getComputedStyle(one).backgroundImage]")
    assert style == ["auto", "none"], "the browser draws it, not the host, whose tick is white on white"


def test_the_caption_dialog_does_so_too(open_page, address, api, frogs, drop):
    page = open_page(address)
    in_a_web_ui(page)
    drop(page, frogs)
    page.locator("button.lt-tile-text").first.click()
    dialog = page.locator("dialog.lt-ask")
    expect(dialog.locator("img")).to_be_visible()
    page.wait_for_function("document.querySelector('dialog img').complete")
    assert_is_centred(page, dialog.bounding_box())
    assert is_opaque(dialog)


def test_what_lies_over_the_chart_and_over_pictures_can_be_read_in_a_web_ui(open_page, address, api):
    api.add_run("r1", total=100)
    api.advance("r1", 50)
    api.add_sample("r1", 50)
    page = open_page(address + "#lora-run=r1")
    in_a_web_ui(page)
    page.locator(".lt-chart-canvas").focus()
    page.keyboard.press("End")
    assert is_opaque(page.locator(".lt-chart-tip"))
    page.locator(".lt-run-samples .lt-picture").first.click()
    light = page.locator("dialog.lt-light")
    box = light.bounding_box()
    assert (box["x"], box["y"]) == (0, 0)
    assert (box["width"], box["height"]) == (page.viewport_size["width"], page.viewport_size["height"])
    for button in light.locator(".lt-btn").all():
        assert button.evaluate("(element) => getComputedStyle(element).color") == "rgb(255, 255, 255)", "white on dark"


# Everything that can be clicked; what is drawn by its label (hidden inputs of cards) is measured there.
SMALL = """() => [...document.querySelectorAll(".lt-app :is(button, a, input, select, textarea, summary)")]
    .map((element) => (element.matches("input[type=radio], input[type=checkbox]") && element.closest("label")) || element)
    .filter((element) => element.checkVisibility() && !element.closest(".lt-offscreen"))
    .map((element) => [element, element.getBoundingClientRect()])
    .filter(([, box]) => box.width > 0 && (box.width < 24 || box.height < 24))
    .map(([element, box]) => `${element.tagName} ${element.className} ${Math.round(box.width)}x${Math.round(box.height)}`)
"""


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_everything_that_is_clicked_is_at_least_24_pixels_in_both_directions(
    open_page, address, api, frogs, drop, width, height
):
    """WCAG 2.2, 2.5.8: Target Size (Minimum)."""
    api.add_run("r1", total=100)
    api.advance("r1", 50)
    api.add_sample("r1", 50)
    api.add_run("r0", state="finished")
    api.finish("r0")
    api.add_run("q1", state="queued", active=False, queue_position=1)
    page = open_page(address, width=width, height=height)
    drop(page, frogs)
    page.wait_for_selector(".lt-tile")
    page.click(".lt-advanced > summary")
    page.evaluate("for (const fold of document.querySelectorAll('.lt-panel details')) fold.open = true")
    page.wait_for_selector(".lt-u", state="attached")  # sections are filled when they open
    page.evaluate("for (const fold of document.querySelectorAll('.lt-panel details')) fold.open = true")
    assert page.evaluate(SMALL) == []
    for place in ("lora-runs", "lora-run=r1", "lora-run=r0", "lora-run=q1", "lora-generate", "lora-tools"):
        page.evaluate("(place) => (location.hash = place)", place)
        page.wait_for_timeout(700)
        page.evaluate("for (const fold of document.querySelectorAll('.lt-panel details')) fold.open = true")
        assert page.evaluate(SMALL) == [], place
