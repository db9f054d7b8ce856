"""A run that waits, was stopped or crashed, seen on its page: pause, go on, resume, train further."""

from __future__ import annotations

import pytest

from .fake_runs import CARD

expect = pytest.importorskip("playwright.sync_api").expect

STATE = {"step": 412, "epoch": 10, "time": 0.0, "path": "/states/step00000412-state"}


def head(page, name):
    return page.locator(".lt-run-head").get_by_role("button", name=name, exact=True)


def problem(field, level, message):
    return {"field": field, "level": level, "message": message, "advice": "", "where": ""}


def posted(api, action):
    return [body for path, body in api.posted if path.endswith(f"/{action}")]


def test_a_run_is_paused_and_goes_on(open_page, address, api):
    api.add_run("r1", step=40)
    page = open_page(address + "#lora-run=r1")
    head(page, "Pause").click()
    expect(page.locator(".lt-card-note")).to_contain_text("Paused at step 40. The card is free.")
    expect(head(page, "Pause")).to_have_count(0)
    badge, line = page.locator(".lt-run-title .lt-badge"), page.locator(".lt-run-doing")
    expect(badge).to_have_text("paused")
    expect(line).to_have_text("Paused")
    boxes = [page.locator(place).bounding_box() for place in (".lt-card-note", ".lt-run-page .lt-bar")]
    assert boxes[0]["y"] + boxes[0]["height"] + 6 < boxes[1]["y"], "the note stands apart from the bar"
    head(page, "Go on").click()
    expect(page.locator(".lt-card-note")).to_have_count(0)
    expect(badge).to_have_text("running")
    expect(line).to_have_text("")
    expect(head(page, "Pause")).to_be_visible()
    assert posted(api, "pause") == [{"paused": True}, {"paused": False}]


def test_without_a_graphics_card_none_is_spoken_of(open_page, address, api):
    api.add_run("r1", step=40, device="CPU")
    page = open_page(address + "#lora-run=r1")
    head(page, "Pause").click()
    expect(page.locator(".lt-toast")).to_have_text("It pauses after this step.")
    expect(page.locator(".lt-card-note")).to_have_text("Paused at step 40. The training waits.")


def test_a_training_that_waits_for_pictures_says_until_when(open_page, address, api):
    run = api.add_run("r1", step=40)
    page = open_page(address + "#lora-run=r1")
    note = page.locator(".lt-card-note")
    expect(note).to_have_count(0)
    run["card"] = {**CARD, "is_asked": True}
    expect(note).to_contain_text("leaves the card after this step")
    run["card"] = {**CARD, "is_asked": True, "waited": 65.0}
    expect(note).to_contain_text("Asked for 1 min 5 s, it is still at this: step 41.")
    run["card"] = {**CARD, "is_asked": True, "is_free": True, "shares": True}
    expect(note).to_contain_text("The training goes on while you generate (step 40)")
    expect(note.get_by_role("button")).to_have_count(0)
    expect(page.locator(".lt-run-title .lt-badge")).to_have_text("running")
    run["card"] = {**CARD, "is_asked": True, "is_free": True}
    expect(note).to_contain_text("Training paused while you generate (step 40)")
    expect(page.locator(".lt-run-title .lt-badge")).to_have_text("waiting")
    expect(page.locator(".lt-run-doing")).to_have_text("Waiting while pictures are made")
    run["card"] = {**CARD, "is_asked": True, "is_free": True, "paused": True}  # of what changes, the card alone
    expect(page.locator(".lt-run-doing")).to_have_text("Paused")
    run["card"] = {**CARD, "is_asked": True, "is_free": True, "seconds_left": 15.2}
    expect(note).to_contain_text("Training paused while you generate (step 40), goes on in 15 s.")
    note.get_by_role("button", name="Go on now").click()
    expect(note).to_have_count(0)
    run["card"] = {**CARD, "is_asked": True, "refusal": "The training keeps the card: no room."}
    expect(note).to_contain_text("no room")


def test_a_crashed_run_is_resumed_with_one_press_where_nothing_has_changed(open_page, address, api):
    api.add_run("r1", state="failed", message="The worker ended unexpectedly.", resumable=STATE)
    api.advance("r1", 430)
    page = open_page(address + "#lora-run=r1")
    expect(page.locator(".lt-run-notes")).to_contain_text("ended unexpectedly")
    head(page, "Resume at step 412").click()
    expect(page.locator(".lt-run-title .lt-badge")).to_have_text("running")
    assert posted(api, "resume") == [{}]
    api.events["r1"].append({"type": "resumed", "step": 412})
    api.advance("r1", 415)
    expect(page.locator(".lt-run-under")).to_contain_text("415 / 1,500")
    canvas = page.locator(".lt-chart-canvas")
    canvas.focus()
    page.keyboard.press("End")
    expect(page.locator(".lt-chart-tip strong")).to_have_text("Step 415")


def test_what_has_changed_is_told_before_and_can_be_refused(open_page, address, api):
    api.add_run("r1", state="stopped", step=412, resumable=STATE)
    api.changed = [problem("train_data_dir", "warning", "the images of 1_frog are not those.")]
    page = open_page(address + "#lora-run=r1")
    head(page, "Resume at step 412").click()
    dialog = page.locator("dialog.lt-ask")
    expect(dialog).to_contain_text("The images of 1_frog are not those.")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert not posted(api, "resume")
    head(page, "Resume at step 412").click()
    dialog.get_by_role("button", name="Resume all the same").click()
    expect(page.locator(".lt-run-title .lt-badge")).to_have_text("running")


def test_what_cannot_be_gone_on_from_is_told_and_nothing_starts(open_page, address, api):
    api.add_run("r1", state="stopped", step=412, resumable=STATE)
    api.changed = [problem("network_dim", "error", "network_dim was 4.")]
    page = open_page(address + "#lora-run=r1")
    head(page, "Resume at step 412").click()
    dialog = page.locator("dialog.lt-ask")
    expect(dialog.get_by_role("heading")).to_have_text("This run cannot go on")
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_have_count(0)
    assert not posted(api, "resume")


def test_a_finished_run_is_trained_further_by_so_many_steps(open_page, address, api):
    api.add_run("r1", state="finished", step=1000, total=1000, resumable={**STATE, "step": 1000})
    api.changed = [problem("lr_scheduler", "info", "the learning rate follows its schedule.")]
    page = open_page(address + "#lora-run=r1")
    head(page, "Train further").click()
    steps = page.locator("dialog.lt-ask input")
    expect(steps).to_have_value("250")
    steps.fill("")
    page.locator("dialog.lt-ask").get_by_role("button", name="Train further").click()
    assert steps.evaluate("(one) => one.validationMessage").startswith("Write how many steps")
    steps.fill("600")
    page.locator("dialog.lt-ask").get_by_role("button", name="Train further").click()
    expect(page.locator(".lt-run-title .lt-badge")).to_have_text("running")
    assert posted(api, "resume") == [{"steps": 600}]
    assert api.further == ["600"]
    expect(page.locator(".lt-toast")).to_contain_text("The learning rate follows its schedule.")


def test_a_run_without_a_state_or_in_the_queue_again_has_no_such_button(open_page, address, api):
    run = api.add_run("r1", state="queued", step=4, total=6, resumable=STATE, queue_position=1)
    page = open_page(address + "#lora-run=r1")
    expect(head(page, "Stop")).to_be_visible()
    expect(page.get_by_role("button", name="Resume")).to_have_count(0)
    run.update(state="failed", step=3, total_steps=1500, resumable=None, queue_position=None)
    page = open_page(address + "#lora-run=r1")
    expect(head(page, "Delete run")).to_be_visible()
    expect(page.get_by_role("button", name="Resume")).to_have_count(0)


def test_an_interrupted_run_is_offered_on_every_view_and_resumed_in_its_row(open_page, address, api):
    api.add_run("r1", state="failed", step=412, resumable=STATE)
    page = open_page(address)
    offered = page.locator(".lt-problems .lt-note-info")
    expect(offered).to_contain_text("The training of sls_frog was interrupted. It can go on from step 412.")
    page.click("#lt-tab-runs")
    resume = page.get_by_role("button", name="sls_frog: resume")
    expect(resume).to_have_text("Resume")
    resume.click()
    expect(page.locator(".lt-run .lt-badge")).to_have_text("running")
    expect(offered).to_have_count(0)
    assert posted(api, "resume") == [{}]


def test_the_list_says_that_a_run_is_paused(open_page, address, api):
    api.add_run("r1", step=40, card={**CARD, "is_asked": True, "is_free": True, "paused": True})
    page = open_page(address + "#lora-runs")
    expect(page.locator(".lt-run-line")).to_contain_text("paused")
    api.add_run("r2", state="queued", queue_position=1, name="toad")
    expect(page.locator(".lt-run-line", has_text="Number 1 in")).to_contain_text("waits for sls_frog, which is paused")
