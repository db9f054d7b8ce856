"""The list of runs: their order, what it says of each, and where the keyboard's focus stays."""

from __future__ import annotations

import pytest

from .conftest import HIDDEN_BUTTONS

expect = pytest.importorskip("playwright.sync_api").expect


def test_the_end_of_a_run_is_noticed_from_any_view(open_page, address, api):
    api.add_run("r1", total=20)
    page = open_page(address)
    page.evaluate(HIDDEN_BUTTONS)
    expect(page.locator("#lt-tab-runs .lt-dot")).to_be_visible()
    train = page.locator(".lt-btn-train")
    expect(train).to_have_text("Add to the queue")
    checks = [path for path, _ in api.posted].count("check")
    page.wait_for_timeout(300)
    api.finish("r1")
    expect(page.locator(".lt-toast")).to_have_text("sls_frog: finished")
    assert page.evaluate("window.clicked") == ["txt2img", "img2img"]
    expect(page.locator("#lt-tab-runs .lt-dot")).to_be_hidden()
    expect(train).to_have_text("Train")
    for _ in range(100):  # who has the card is asked anew
        if [path for path, _ in api.posted].count("check") > checks:
            break
        page.wait_for_timeout(100)
    else:
        raise AssertionError("the form was not checked anew")


def test_the_list_says_why_a_run_failed_without_its_log(open_page, address, api):
    printed = "16:02:44 INFO loading the model\n16:03:01 INFO encoding the images"
    api.add_run("r1", state="failed", message=f"The worker ended unexpectedly. Its last lines:\n{printed}")
    api.add_run("r2", state="failed", message="/a/prompts.txt:2: not known here. It is one of: a, b")
    page = open_page(address + "#lora-runs")
    page.click("#lt-tab-runs")
    expect(page.get_by_text("The worker ended unexpectedly.", exact=True)).to_be_visible()
    expect(page.get_by_text("/a/prompts.txt:2: not known here. It is one of: a, b", exact=True)).to_be_visible()


def test_a_row_stays_in_the_page_while_its_run_stays_the_same(open_page, address, api):
    for position, name in enumerate(("ink", "frog", "hat"), 1):
        api.add_run(name, name=name, state="queued", queue_position=position)
    page = open_page(address + "#lora-runs")
    expect(page.locator(".lt-run")).to_have_count(3)
    page.evaluate("document.querySelectorAll('.lt-runs > li').forEach((row, index) => (row.made = index))")
    page.get_by_role("button", name="hat: sooner").focus()
    for name, position in {"ink": 2, "frog": 1}.items():  # somebody else moves them
        api.runs[name]["queue_position"] = position
    expect(page.locator(".lt-run strong").first).to_have_text("frog")
    api.add_run("new", name="new", state="running", step=3)
    expect(page.locator(".lt-run strong")).to_have_text(["new", "frog", "ink", "hat"])
    made = page.evaluate("[...document.querySelectorAll('.lt-runs > li')].map((row) => row.made ?? null)")
    assert made == [None, None, None, 2], "the two that were moved have changed, the last has not"
    expect(page.get_by_role("button", name="hat: sooner")).to_be_focused()


def test_the_queue_is_reordered_and_emptied_from_the_list_by_keyboard_too(open_page, address, api):
    api.add_run("r1", name="first")
    for position, name in enumerate(("ink", "oil", "chalk"), 1):
        api.add_run(name, name=name, state="queued", queue_position=position)
    api.add_run("old", name="old", state="finished")
    page = open_page(address + "#lora-runs")
    names = page.locator(".lt-run-title strong")
    expect(names).to_have_text(["first", "ink", "oil", "chalk", "old"])  # at work, then as they wait, then the others
    expect(page.get_by_role("button", name="ink: sooner")).to_be_disabled()
    expect(page.get_by_role("button", name="chalk: later")).to_be_disabled()
    page.get_by_role("button", name="chalk: sooner").focus()
    page.keyboard.press("Enter")
    expect(names).to_have_text(["first", "ink", "chalk", "oil", "old"])
    expect(page.get_by_role("button", name="chalk: sooner")).to_be_focused()
    page.keyboard.press("Enter")
    expect(names).to_have_text(["first", "chalk", "ink", "oil", "old"])
    page.get_by_role("button", name="ink: take it out of the queue").click()
    expect(page.locator("dialog")).to_contain_text("Take ink out of the queue?")
    page.locator("dialog").get_by_role("button", name="Remove").click()
    expect(names).to_have_text(["first", "chalk", "oil", "old"])
    assert [path for path, _ in api.posted] == ["runs/chalk/move", "runs/chalk/move", "runs/ink/delete"]


def test_the_keyboards_focus_survives_what_the_page_draws_anew(open_page, address, api):
    api.add_run("r1", total=100)
    api.advance("r1", 10)
    api.add_sample("r1", 10)
    page = open_page(address)
    page.locator("#lt-tab-train").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#lt-tab-data")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#lt-tab-runs")).to_be_focused()
    page.locator(".lt-run").focus()
    api.advance("r1", 20)  # the list is drawn anew
    expect(page.locator(".lt-run-line")).to_contain_text("20 / 100")
    expect(page.locator(".lt-run")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".lt-run-page h1")).to_have_text("sls_frog")
    expect(page.locator("#lt-panel")).to_be_focused()  # not the page's beginning
    page.keyboard.press("Tab")
    expect(page.locator(".lt-back")).to_be_focused()
    picture = page.locator(".lt-run-samples .lt-picture").nth(1)
    picture.focus()
    api.add_sample("r1", 20)
    expect(page.locator(".lt-run-samples .lt-picture")).to_have_count(4)
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "frog_000010_1.png"
    stop = page.locator(".lt-run-head").get_by_role("button", name="Stop", exact=True)
    stop.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    expect(stop).to_be_focused()
    page.locator("#lt-language").focus()
    page.locator("#lt-language").select_option("ko")
    expect(page.locator("#lt-tab-runs")).to_contain_text("목록")
    expect(page.locator("#lt-language")).to_be_focused()
