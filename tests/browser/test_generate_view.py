"""The Generate page, with canned answers behind it."""

from __future__ import annotations

import re

import pytest

from .conftest import MODULE

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


def test_a_reload_shows_what_this_window_asked_for_and_not_what_another_has_asked_for_since(open_page, address, api):
    mine = open_page(address + "#lora-generate")
    mine.fill("#lt-g-prompt", "a badge")
    mine.click(".lt-btn-train")
    expect(mine.locator(".lt-infotext")).to_contain_text("a badge")
    other = mine.context.new_page()
    other.goto(address + "#lora-generate")
    other.fill("#lt-g-prompt", "a hat")
    other.click(".lt-btn-train")
    expect(other.locator(".lt-infotext")).to_contain_text("a hat")
    api.generating = "g2"  # and it is at work on the other's
    mine.reload()
    expect(mine.locator("#lt-g-prompt")).to_have_value("a badge")
    expect(mine.locator(".lt-infotext")).to_contain_text("a badge")
    gone = {"error": {"message": "there is no such request.", "advice": "", "field": ""}}
    mine.route("**/api/generate/g1", lambda route: route.fulfill(status=400, json=gone, headers={"X-Lora-Trainer": "1"}))
    mine.reload()
    expect(mine.get_by_text("Pictures appear here.")).to_be_visible()
    expect(mine.locator(".lt-btn-train")).to_be_enabled()
    expect(mine.locator(".lt-toast")).to_have_count(0)


@pytest.mark.parametrize("size", [(800, 900), (1280, 800)])
def test_the_finished_picture_comes_into_sight(open_page, address, api, size):
    page = open_page(address + "#lora-generate", width=size[0], height=size[1])
    page.fill("#lt-g-prompt", "a badge")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".lt-results img")).to_be_in_viewport(ratio=0.9)


def test_a_new_browser_does_not_show_what_another_has_asked_for(open_page, address, api):
    api.generating = "g2"
    asked = []
    page = open_page(address + "#lora-generate", wait=False)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address + "#lora-generate")
    expect(page.get_by_text("Pictures appear here.")).to_be_visible()
    page.wait_for_timeout(600)
    assert not [url for url in asked if "generate/g2" in url]


def test_a_model_made_since_the_page_was_loaded_is_chosen_and_a_missing_one_is_never_replaced(open_page, address, api):
    page = open_page(address)
    base = page.locator("#lt-pretrained_model_name_or_path")
    mine = {"title": "mine.safetensors", "path": "/models/mine.safetensors", "is_current": False}
    tried = f"""async (checkpoint) => {{
        {MODULE} (await module("generate/prompt.js")).tryPrompt("a badge", {{checkpoint}});
    }}"""
    page.evaluate(tried, "/models/gone.safetensors")
    model, wrong = page.locator("#lt-g-checkpoint"), page.locator("#lt-g-checkpoint-wrong")
    expect(wrong).to_contain_text("not among the base models")
    expect(model).to_have_value("/models/gone.safetensors")
    api.checkpoints.append(mine)
    page.evaluate(tried, mine["path"])
    expect(model.locator("option:checked")).to_have_text("mine.safetensors")
    expect(wrong).to_be_hidden()
    refused = {"error": {"message": "<lora:nosuch>: there is no such LoRA.", "advice": "Choose one.", "field": ""}}
    page.route("**/api/generate", lambda route: route.fulfill(status=400, json=refused, headers={"X-Lora-Trainer": "1"}))
    page.click(".lt-btn-train")
    told = page.locator(".lt-generate-status .lt-note")
    expect(told).to_contain_text("there is no such LoRA. Choose one.")  # beside the button, not a message that goes
    expect(page.locator(".lt-toast")).to_have_count(0)
    page.unroute("**/api/generate")
    page.click(".lt-btn-train")
    expect(page.locator(".lt-infotext")).to_contain_text("a badge")
    expect(told).to_have_count(0)
    (sent,) = [body["request"] for path, body in api.posted if path == "generate"]
    assert sent["checkpoint"] == mine["path"]
    page.click("#lt-tab-train")
    expect(base.locator(f"option[value='{mine['path']}']")).to_have_count(1)


def test_a_lora_that_has_come_meanwhile_is_in_the_list_and_the_chosen_one_stays_chosen(open_page, address, api):
    one = {"name": "sls_frog", "path": "/l", "bytes": 1, "modified": 2, "activation": "sls frog", "weight": 0.8}
    page = open_page(address + "#lora-generate")
    picker = page.get_by_role("group", name="Add a LoRA")
    expect(picker.locator("option")).to_have_text(["No LoRA yet"])
    renew = "async () => { " + MODULE + "const { renewFiles } = await module('base/files.js'); await renewFiles(); }"
    api.loras = [one]
    page.evaluate(renew)  # as it is when a run has ended, of this window or another
    expect(picker.locator("option")).to_have_text(["sls_frog"])
    picker.locator("select").select_option("sls_frog")
    api.loras = [one, {**one, "name": "toad", "modified": 3}]
    page.evaluate(renew)
    expect(picker.locator("option")).to_have_text(["sls_frog", "toad"])
    expect(picker.locator("select")).to_have_value("sls_frog")
