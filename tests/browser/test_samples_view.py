"""The sample pictures of a run's page, and pictures seen large."""

from __future__ import annotations

import pytest

expect = pytest.importorskip("playwright.sync_api").expect


def test_samples_are_offered_only_where_there_are_prompts(open_page, address, api):
    api.add_run("r1", prompts="\n")
    page = open_page(address + "#lora-run=r1")
    expect(page.get_by_role("button", name="Save now")).to_be_visible()
    expect(page.get_by_role("button", name="Draw samples now")).to_have_count(0)


def test_while_samples_are_drawn_the_page_says_which_and_how_long_it_takes_yet(open_page, address, api):
    api.add_run("r1", total=100)
    api.advance("r1", 50)
    page = open_page(address + "#lora-run=r1")
    api.runs["r1"].update(phase={"name": "drawing samples", "done": 2, "total": 4}, seconds_left=150)
    expect(page.locator(".lt-run-doing")).to_have_text("Drawing samples 2 of 4")
    expect(page.locator(".lt-run-under")).to_contain_text("Step 50 / 100")
    expect(page.locator(".lt-run-under")).to_contain_text("Time left 2 min 30 s")
    page.click("#lt-tab-runs")
    expect(page.locator(".lt-run-line")).to_have_text("drawing samples 2 of 4 · 50 / 100 · Time left 2 min 30 s")


def test_samples_are_shown_step_by_step_or_prompt_by_prompt_each_with_what_the_other_leaves_out(open_page, address, api):
    api.add_run("r1", total=300)
    for step in (100, 200, 300):
        api.advance("r1", step)
        api.add_sample("r1", step, 2)
    page = open_page(address + "#lora-run=r1")
    heads, texts = page.locator(".lt-sample-row h3"), page.locator(".lt-sample-text")
    expect(heads).to_have_text(["Step 300", "Step 200", "Step 100"])
    expect(texts).to_have_text(["photo of sls frog on a leaf", "photo of sls frog in the rain"] * 3)
    page.locator(".lt-samples label", has_text="By prompt").click()
    expect(heads).to_have_text(["photo of sls frog on a leaf", "photo of sls frog in the rain"])
    expect(texts).to_have_text(["Step 300", "Step 200", "Step 100"] * 2)
    api.add_sample("r1", 350, 2)
    expect(texts.first).to_have_text("Step 350")
    page.reload()
    expect(heads).to_have_count(2), "the choice is remembered"


def test_one_prompt_alone_is_followed_over_the_steps_at_once(open_page, address, api):
    api.add_run("r1", total=300)
    for step in (100, 200):
        api.add_sample("r1", step, 1)
    page = open_page(address + "#lora-run=r1")
    expect(page.locator(".lt-sample-row h3")).to_have_text(["photo of sls frog on a leaf"])
    expect(page.locator(".lt-sample-text")).to_have_text(["Step 200", "Step 100"])
    expect(page.locator(".lt-samples .lt-segments")).to_be_hidden()


def test_large_pictures_are_walked_through_in_rows_and_in_time(open_page, address, api):
    api.add_run("r1", total=300)
    for step in (100, 200, 300):
        api.add_sample("r1", step, 2)
    page = open_page(address + "#lora-run=r1")
    page.locator(".lt-run-samples .lt-picture").first.click()
    caption, count = page.locator(".lt-light figcaption"), page.locator(".lt-light-count")
    expect(count).to_have_text("1 / 6")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(caption).to_have_text("photo of sls frog on a leaf\nStep 200, Seed 42")  # the next row
    page.keyboard.press("End")
    expect(caption).to_have_text("photo of sls frog in the rain\nStep 100, Seed 43")
    expect(page.get_by_role("button", name="Earlier step")).to_be_disabled()
    page.keyboard.press("ArrowUp")
    expect(caption).to_have_text("photo of sls frog in the rain\nStep 200, Seed 43")  # the same prompt, later
    page.get_by_role("button", name="Later step").click()
    expect(caption).to_have_text("photo of sls frog in the rain\nStep 300, Seed 43")
    page.keyboard.press("Escape")
    expect(page.locator(".lt-run-samples .lt-picture").first).to_be_focused()
