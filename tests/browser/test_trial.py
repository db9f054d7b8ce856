""" "Try it now": the panel by itself, and with nothing faked, from the button to the picture of the new subject."""

from __future__ import annotations

import io
import json
import re

import pytest
from PIL import Image

from lora_trainer.demo import files

from .program import running

expect = pytest.importorskip("playwright.sync_api").expect
STEPS = 3


def test_the_panel_is_there_only_where_the_trial_is_offered(open_page, address, api):
    page = open_page(address)
    expect(page.locator(".lt-drop")).to_be_visible()
    expect(page.locator(".lt-trial")).to_have_count(0)
    api.trial = True
    page.reload()
    expect(page.get_by_role("region", name="See it learn first")).to_be_visible()
    expect(page.locator(".lt-trial")).to_contain_text(re.compile("two to three minutes.*nothing to download"))


def test_one_press_starts_the_run_and_a_refusal_is_said(open_page, address, api):
    api.trial = True
    page = open_page(address)
    page.route("**/api/trial", lambda route: route.fulfill(status=409, json={"error": {"message": "No demo model."}}))
    button = page.get_by_role("button", name="Try it now")
    button.click()
    expect(page.locator(".lt-toast-error")).to_have_text("No demo model.")
    expect(button).to_be_enabled()
    page.unroute("**/api/trial")
    button.click()
    expect(page).to_have_url(re.compile("#lora-run="), timeout=300_000)
    page.click("#lt-tab-train")
    expect(page.locator(".lt-trial")).to_have_count(0)
    page.get_by_text("The two-minute trial").click()  # it can be done again
    expect(page.get_by_role("button", name="Try it now")).to_be_visible()


def test_the_demo_model_brings_its_size(open_page, address, api):
    api.checkpoints.append({"title": "Demo model", "path": "/demo.safetensors", "is_current": False, "side": 64})
    page = open_page(address)
    size, model = page.locator("#lt-resolution"), page.locator("#lt-pretrained_model_name_or_path")
    expect(size).to_have_value("512")
    model.select_option(label="Demo model")
    expect(size).to_have_value("64")
    model.select_option(index=1)
    expect(size).to_have_value("512")
    size.fill("768")
    model.select_option(label="Demo model")
    expect(size).to_have_value("768")
    page.click("#lt-tab-generate")
    page.select_option("#lt-g-checkpoint", label="Demo model")
    expect(page.locator("#lt-g-width")).to_have_value("64")
    page.select_option("#lt-g-checkpoint", index=0)
    expect(page.locator("#lt-g-height")).to_have_value("512")


@pytest.fixture
def program(tmp_path):
    """The program with an empty data folder, as it is at the first start; gives its address."""
    if files.model() is None:
        pytest.skip("the demo base model is not here")
    with running(tmp_path) as (address, _):
        yield address


def test_from_the_button_to_the_picture(program, open_page):
    pytest.importorskip("torch")
    page = open_page(program)
    page.route("**/api/trial", lambda route: route.continue_(post_data=json.dumps({"steps": STEPS})))
    page.get_by_role("button", name="Try it now").click()
    expect(page).to_have_url(re.compile("#lora-run="), timeout=300_000)
    expect(page.locator(".lt-run-title h1")).to_have_text("sks_heart")
    expect(page.locator(".lt-run-title .lt-badge")).to_have_text("finished", timeout=300_000)
    expect(page.locator(".lt-run-under")).to_contain_text(f"{STEPS} / {STEPS}")
    expect(page.locator(".lt-sample-row h3")).to_have_text([f"Step {step}" for step in (3, 2, 1, 0)])
    expect(page.locator(".lt-prompt-line code")).to_have_text(
        re.compile(r"^a large \w+ sks heart on .* <lora:sks_heart:0\.8>$")
    )
    page.click("text=Try it in Generate")
    expect(page.locator("#lt-g-prompt")).to_have_value(re.compile("<lora:sks_heart:0.8>$"))
    expect(page.locator("#lt-g-checkpoint option:checked")).to_have_text(re.compile("Demo model"))
    for field, value in (("width", "64"), ("height", "64"), ("cfg_scale", "3")):
        expect(page.locator(f"#lt-g-{field}")).to_have_value(value)
    page.fill("#lt-g-steps", "6")
    page.click(".lt-btn-train")
    picture = page.locator(".lt-results img")
    expect(picture).to_have_count(1, timeout=300_000)
    data = page.request.get(page.url.split("#")[0] + picture.get_attribute("src").removeprefix("./")).body()
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (64, 64) and len(set(image.convert("L").tobytes())) > 10
    page.click("#lt-tab-train")
    expect(page.get_by_role("button", name="Try it now")).to_be_visible()  # there is no other model to train on
