"""A run's page, with canned answers behind it: live, its buttons, its end."""

from __future__ import annotations

import re

import pytest

from .conftest import HIDDEN_BUTTONS
from .fake_runs import CARD

expect = pytest.importorskip("playwright.sync_api").expect


def test_a_run_is_seen_live(open_page, address, api):
    api.add_run("r1", total=200)
    page = open_page(address + "#lora-run=r1")
    expect(page.locator(".lt-chart-empty")).to_be_visible()
    api.advance("r1", 50)
    expect(page.locator(".lt-run-under")).to_contain_text("50 / 200")
    expect(page.locator(".lt-chart-empty")).to_be_hidden()
    assert page.locator("[role=progressbar]").first.get_attribute("aria-valuenow") == "25"
    api.add_sample("r1", 50)
    expect(page.locator(".lt-run-samples img")).to_have_count(2)
    api.advance("r1", 120)
    api.add_sample("r1", 100)
    expect(page.locator(".lt-sample-row h3").first).to_have_text("Step 100")  # the newest on top
    page.locator(".lt-run-samples button").first.click()
    expect(page.locator("dialog.lt-light")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".lt-light-count")).to_have_text("2 / 4")
    page.keyboard.press("Escape")
    expect(page.locator("dialog.lt-light")).to_have_count(0)


def test_reloading_in_the_middle_shows_the_run_as_it_is(open_page, address, api):
    api.add_run("r1", total=1000)
    api.advance("r1", 400)
    page = open_page(address + "#lora-run=r1")
    expect(page.locator(".lt-run-under")).to_contain_text("400 / 1,000")
    api.advance("r1", 500)
    page.reload()
    expect(page.locator(".lt-run-under")).to_contain_text("500 / 1,000")
    canvas = page.locator(".lt-chart-canvas")
    canvas.focus()
    page.keyboard.press("End")  # the whole curve is there, also what came before the reload
    expect(page.locator(".lt-chart-tip strong")).to_have_text("Step 500")
    page.keyboard.press("Home")
    expect(page.locator(".lt-chart-tip strong")).to_have_text("Step 1")
    second = open_page(address + "#lora-run=r1")
    expect(second.locator(".lt-run-under")).to_contain_text("500 / 1,000")


def test_stop_asks_first(open_page, address, api):
    api.add_run("r1")
    page = open_page(address + "#lora-run=r1")
    page.click("text=Stop")
    page.keyboard.press("Escape")
    assert not [path for path, _ in api.posted if path.endswith("/stop")]
    page.locator(".lt-run-head").get_by_role("button", name="Stop", exact=True).click()
    page.locator("dialog").get_by_role("button", name="Stop").click()
    expect(page.locator(".lt-run-title .lt-badge")).to_have_text("stopping")
    api.advance("r1", 30)
    api.finish("r1", "stopped")
    expect(page.locator(".lt-run-title .lt-badge")).to_have_text("stopped")


def test_save_now_and_samples_now_say_when_it_will_be_done(open_page, address, api):
    run = api.add_run("r1")
    page = open_page(address + "#lora-run=r1")
    toasts = page.locator(".lt-toast")
    page.click("text=Save now")
    expect(toasts.last).to_have_text("It will be saved after the first step.")
    api.advance("r1", 20)
    expect(page.locator(".lt-run-under")).to_contain_text("20 /")
    page.click("text=Save now")
    expect(toasts.last).to_have_text("It will be saved at the next step.")
    page.click("text=Draw samples now")
    expect(toasts.last).to_have_text("Samples will be drawn at the next step.")
    run["card"] = {**CARD, "is_asked": True, "is_free": True, "paused": True}
    expect(page.locator(".lt-run-title .lt-badge")).to_have_text("paused")
    page.click("text=Draw samples now")
    expect(toasts.last).to_have_text("Samples need the card: they will be drawn when the training goes on.")
    page.click("text=Save now")
    expect(toasts.last).to_have_text("It is being saved; the training goes on waiting.")
    api.add_file("r1")
    expect(toasts.last).to_have_text("Saved: Step 20. It is among the files below.")
    expect(page.locator(".lt-files code")).to_have_text("sls_frog-step00000020.safetensors")
    asked = [path for path, _ in api.posted if path.startswith("runs/")]
    assert asked == [f"runs/r1/{what}" for what in ("save", "save", "sample", "sample", "save")]


def test_a_finished_run_says_how_to_use_it_and_refreshes_the_web_uis_cards(open_page, address, api):
    api.host = "webui"
    api.add_run("r1", total=20)
    page = open_page(address + "#lora-run=r1")
    page.evaluate(HIDDEN_BUTTONS)
    expect(page.locator("#lt-tab-generate")).to_have_count(0)  # the Web UI has its own
    api.advance("r1", 20)
    api.finish("r1")
    expect(page.locator(".lt-prompt-line code")).to_have_text("sls frog <lora:sls_frog:0.8>")
    page.wait_for_function("window.clicked.length > 0")
    assert page.evaluate("window.clicked") == ["txt2img", "img2img"]
    page.get_by_label("Strength on the words").fill("0.5")
    expect(page.locator(".lt-prompt-line code")).to_have_text("sls frog <lora:sls_frog:0.5:0.8>")
    page.get_by_label("Strength on the image").fill("0.5")
    expect(page.locator(".lt-prompt-line code")).to_have_text("sls frog <lora:sls_frog:0.5>")
    link = page.locator(".lt-use a")
    assert link.get_attribute("href").endswith("runs/r1/file/sls_frog.safetensors")


def test_of_a_dylora_the_ranks_are_chosen_where_its_prompt_is(open_page, address, api):
    config = 'network_module = "networks.dylora"\nnetwork_dim = 16\nnetwork_args = ["unit=4"]\n'
    api.add_run("r1", total=20, config=config)
    api.finish("r1")
    page = open_page(address + "#lora-run=r1")
    ranks = page.get_by_label("Ranks that count")
    assert [ranks.get_attribute(name) for name in ("min", "max", "step")] == ["4", "16", "4"]
    ranks.fill("8")
    expect(page.locator(".lt-prompt-line code")).to_have_text("sls frog <lora:sls_frog:0.8:0.8:8>")
    ranks.fill("16")
    expect(page.locator(".lt-prompt-line code")).to_have_text("sls frog <lora:sls_frog:0.8>")


def test_a_worker_that_says_nothing_any_more_is_pointed_out(open_page, address, api):
    import time

    api.add_run("r1", last_sign_of_life=time.time() - 200)
    page = open_page(address + "#lora-run=r1")
    expect(page.locator(".lt-run-notes")).to_contain_text("No sign of life for 3 min")


def test_a_failed_run_says_why_and_what_to_do(open_page, address, api):
    api.add_run("r1", state="failed", message="The card is full.", advice="Lower the batch size.")
    page = open_page(address + "#lora-run=r1")
    expect(page.locator(".lt-run-notes")).to_contain_text("The card is full.")
    expect(page.locator(".lt-run-notes")).to_contain_text("Lower the batch size.")


def test_settings_of_a_run_come_back_into_the_form(open_page, address, api):
    api.add_run("r1", state="finished")
    page = open_page(address + "#lora-run=r1")
    page.click("text=Use these settings again")
    expect(page.locator("#lt-identifier")).to_have_value("sls")
    expect(page.locator("#lt-network_dim")).to_have_value("24")
    expect(page.locator("#lt-image_dir")).to_have_value("/uploads/up1")


def test_a_run_is_deleted_after_a_question(open_page, address, api):
    api.add_run("r1", state="finished")
    page = open_page(address + "#lora-run=r1")
    page.click("text=Delete run")
    page.keyboard.press("Enter")
    expect(page.locator(".lt-empty")).to_contain_text("Nothing has been trained yet.")
    assert not api.runs


def test_a_run_that_is_gone_says_so(open_page, address):
    page = open_page(address + "#lora-run=nothing")
    expect(page.locator(".lt-empty")).to_contain_text("does not exist")


def test_the_beginning_of_a_run_says_what_is_happening(open_page, address, api):
    run = api.add_run("r1", phase=None, total_steps=None)
    page = open_page(address + "#lora-run=r1")
    doing, bar = page.locator(".lt-run-doing"), page.locator(".lt-run-standing [role=progressbar]")
    expect(doing).to_have_text("The training program is being started")
    assert bar.get_attribute("aria-valuenow") is None, "nobody knows how far it is"
    run.update(phase={"name": "loading the model", "done": 171, "total": 684}, prepared=0.35)
    expect(doing).to_have_text("Loading the model 171 of 684")
    expect(bar).to_have_attribute("aria-valuenow", "35")
    run.update(phase={"name": "training", "done": 0, "total": 0}, total_steps=100)
    expect(doing).to_have_text("Making the first step")
    api.advance("r1", 1)
    expect(doing).to_be_empty()
    expect(page.locator(".lt-run-under")).to_contain_text("Step 1 / 100")


def test_the_file_in_use_is_marked_and_any_other_can_be_put_in_use_and_back(open_page, address, api):
    api.add_run("r1", total=40, resumable={"step": 40, "epoch": 1, "time": 0.0, "path": "/state"})
    api.advance("r1", 20)
    api.add_file("r1")
    api.advance("r1", 40)
    api.finish("r1")
    page = open_page(address + "#lora-run=r1")
    marks, rows = page.locator(".lt-files li:has-text('in use')"), page.locator(".lt-files li")
    expect(marks).to_have_count(1)
    expect(marks).to_contain_text("sls_frog.safetensors")
    expect(marks.get_by_role("button", name="Use this one")).to_have_count(0)
    rows.nth(1).get_by_role("button", name="Use this one").click()
    expect(marks).to_contain_text("sls_frog-step00000020.safetensors")
    expect(page.locator(".lt-toast").last).to_have_text("In use now as <lora:sls_frog>: Step 20")
    expect(page.locator(".lt-use")).to_contain_text("In use now: Step 20, not the final file.")
    expect(page.locator(".lt-use a")).to_contain_text("sls_frog-step00000020.safetensors")
    assert [body for path, body in api.posted if path.endswith("/use")] == [
        {"file": "sls_frog-step00000020.safetensors", "as_result": True}
    ]
    page.get_by_role("button", name="Train further").click()  # what is in use is replaced, which is said
    expect(page.locator("dialog")).to_contain_text("sls_frog-step00000020.safetensors is in use now as sls_frog.")
    page.keyboard.press("Escape")
    rows.first.get_by_role("button", name="Use this one").click()
    expect(marks).to_contain_text("final")
    expect(page.locator(".lt-use-which")).to_have_count(0)
    api.used = {**api.used, "file": None}
    api.runs["r1"]["state"] = "stopped"
    page.reload()
    page.locator(".lt-compare-files summary").first.click()
    expect(page.locator(".lt-grid-form")).to_contain_text("sls_frog.safetensors (when it was stopped)")
    expect(page.locator(".lt-run-page")).to_contain_text("none of these files")
    expect(rows.get_by_role("button", name="Use this one")).to_have_count(2)


def test_a_comparison_says_what_is_wrong_at_its_fields_and_which_file_is_in_use(open_page, address, api):
    api.add_run("r1", total=40, generate={"width": 96, "height": 64})
    api.advance("r1", 20)
    api.add_file("r1")
    api.advance("r1", 40)
    api.add_file("r1")  # the same as the final one
    api.finish("r1")
    names = [file["name"] for file in api.runs["r1"]["files"] if file["final"] or file["step"] < 40]
    loras = [{"name": name, "step": step, "file": name} for name, step in zip(names, (20, 40), strict=True)]
    keys = ["p0-without", *(f"p0-l{lora}-s{strength}" for lora in (0, 1) for strength in (0, 1))]
    cells = [{"key": key, "text": "a frog", "url": f"grids/g1/file/{key}_1.png"} for key in keys]
    settings = {"seed": 7, "width": 512, "height": 768, "sampler": "euler_a", "steps": 20, "cfg_scale": 7}
    grid = {
        "id": "g1",
        "state": "finished",
        "message": "",
        "advice": "",
        "done": 5,
        "total": 5,
        "loras": loras,
        "prompts": ["a frog"],
    }
    api.grids = [{**grid, "strengths": [0.6, 1], "settings": settings, "base_model": "v1-5", "cells": cells, "sheet": "sheet"}]
    page = open_page(address + "#lora-run=r1")
    card = page.locator(".lt-compare-files")
    card.get_by_text("Compare saved files").click()
    expect(card.locator(".lt-grid-shown")).to_contain_text("seed 7 · v1-5 · 512×768 · Euler a · Steps 20 · CFG 7")
    expect(card.locator("tbody th")).to_have_text(["without", "Step 20Use this one", "Step 40in use"])
    card.get_by_role("button", name="Use this one").click()
    expect(card.locator("tbody th")).to_have_text(["without", "Step 20in use", "Step 40Use this one"])
    shown = [card.locator("td img").nth(at).bounding_box() for at in range(5)]
    assert all(box["width"] >= 160 and abs(box["height"] / box["width"] - 1.5) < 0.05 for box in shown), shown

    strengths, draw = card.get_by_label("Strengths"), card.get_by_role("button", name=re.compile("^Draw"))
    said = card.locator("#lt-grid_strengths-wrong")
    for typed, told in {
        "": "Give at least one strength",
        "0.6 strong": "“strong” is no strength",
        "0.8 100": "100 is too far: strengths go from -10 to 10",
    }.items():
        strengths.fill(typed)
        expect(said).to_contain_text(told)
        expect(strengths).to_have_attribute("aria-invalid", "true")
        expect(draw).to_be_disabled()
    strengths.fill("0,8")
    expect(said).to_have_text("Read as: 0.8")
    expect(draw).to_have_text("Draw 3 pictures")
    card.get_by_text("How they are drawn").click()
    expect(card.get_by_label("Width")).to_have_value("96")  # of the run's own pictures, also while there is no LoRA yet
    card.get_by_label("Width").fill("500")
    expect(card.locator("#lt-grid_width-wrong")).to_contain_text("multiple of 8")
    expect(draw).to_be_disabled()
    card.get_by_label("Width").fill("64")
    card.get_by_label("CFG").fill("7,5")
    draw.click()
    expect(draw).to_be_enabled()
    (asked,) = [body for path, body in api.posted if path.endswith("/grids")]
    assert (asked["strengths"], asked["width"], asked["cfg_scale"], asked["seed"]) == ([0.8], 64, 7.5, 1)
    assert asked["files"] == names
