"""The Generate page, with canned answers behind it."""

from __future__ import annotations

import re

import pytest

expect = pytest.importorskip("playwright.sync_api").expect


def test_generate_inserts_the_lora_and_shows_the_pictures(open_page, address, api):
    api.loras = [{"name": "sls_frog", "path": "/l", "bytes": 1, "modified": 2, "activation": "sls frog", "weight": 0.8}]
    page = open_page(address + "#lora-generate")
    page.fill("#lt-g-prompt", "photo of")
    page.click("text=Insert")
    expect(page.locator("#lt-g-prompt")).to_have_value("photo of sls frog <lora:sls_frog:0.8>")
    page.fill("#lt-g-width", "500")
    expect(page.locator("#lt-g-width-wrong")).to_contain_text("multiple of 8")
    page.click(".lt-btn-train")
    expect(page.locator("#lt-g-width")).to_be_focused()
    assert not [path for path, _ in api.posted if path == "generate"]
    page.fill("#lt-g-width", "512")
    page.fill("#lt-g-batch_count", "3")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".lt-results img")).to_have_count(3)
    (sent,) = [body["request"] for path, body in api.posted if path == "generate"]
    assert sent["prompt"] == "photo of sls frog <lora:sls_frog:0.8>" and sent["width"] == 512 and sent["batch_count"] == 3
    page.get_by_label("Reuse the last seed").click()
    expect(page.locator("#lt-g-seed")).to_have_value("1234569")
    page.get_by_label("Random seed").click()
    expect(page.locator("#lt-g-seed")).to_have_value("-1")
    expect(page.locator(".lt-infotext")).to_contain_text(re.compile("photo of sls frog"))


def test_what_becomes_of_pictures_during_a_training_is_chosen_here(open_page, address, api):
    api.policy = "share"
    page = open_page(address + "#lora-generate", language="ko-KR")
    choice, help_line = page.locator("#lt-g-policy"), page.locator("#lt-g-policy + .lt-help")
    expect(choice).to_have_value("share")
    expect(help_line).to_contain_text("번갈아 씁니다")
    choice.select_option("refuse")
    expect(help_line).to_contain_text("일시 정지")
    assert api.policy == "refuse"
    page.route("**/api/settings", lambda route: route.fulfill(status=507, json={"error": {"message": "The disk is full."}}))
    choice.select_option("automatic")
    expect(page.locator(".lt-toast")).to_have_text("The disk is full.")
    expect(choice).to_have_value("refuse")
