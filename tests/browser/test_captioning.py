"""Captions by a model from the page: the real routes, the real tool with a small tagger, and Undo."""

from __future__ import annotations

import pytest

from tests.captioning.small_tagger import captions, write_pictures, write_tagger

from .real_api import running

playwright = pytest.importorskip("playwright.sync_api")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")
expect = playwright.expect
SLOW = 60_000  # milliseconds: a process starts, and the machine may be busy


@pytest.fixture
def place(tmp_path):
    with running(tmp_path / "host") as found:
        yield found


def test_pictures_are_captioned_below_the_images_and_undo_brings_all_back(open_page, place, tmp_path):
    folder = write_pictures(tmp_path / "pictures", "red.png", "blue.png", "green.png")
    (folder / "green.txt").write_text("mine")
    (folder / "broken.png").write_bytes(b"no picture")
    tagger = write_tagger(tmp_path / "tagger")
    page = open_page(place.address)
    page.get_by_role("button", name="Use a folder on this machine").click()
    page.fill("#lt-image_dir", str(folder))
    page.get_by_role("button", name="Caption these pictures").click()
    form = page.locator(".lt-captioning")
    expect(form.get_by_label("Captions that are there already")).to_have_value("keep")
    form.get_by_text("More options", exact=True).click()
    form.get_by_label("Tagger", exact=True).fill("nothing like a tagger")
    form.get_by_label("How sure of a tag").fill("lots")
    form.get_by_role("button", name="Write captions").click()
    expect(form.locator("[data-name=thresh] .lt-wrong")).to_be_visible()
    form.get_by_label("How sure of a tag").fill("0.4")
    form.get_by_label("Tagger", exact=True).fill(str(tagger))
    form.get_by_role("button", name="Write captions").click()
    expect(form.locator(".lt-badge")).to_have_text("finished", timeout=SLOW)
    expect(form).to_contain_text("2 of 4 pictures have new captions.")
    expect(form).to_contain_text("Passed over: broken.png (the file is not an image, or of a kind that is not supported).")
    assert captions(folder) == {
        "blue.txt": "blue sky\n",
        "green.txt": "mine",
        "red.txt": "red hair, ^_^, rose (coat) (garden)\n",
    }
    expect(page.locator(".lt-tile", has_text="blue sky")).to_be_visible()
    expect(page.locator("#lt-caption_source")).to_have_value("txt")
    page.reload()
    page.get_by_role("button", name="Caption these pictures").click()  # what was done is known still
    expect(form).to_contain_text("2 of 4 pictures have new captions.")
    form.get_by_role("button", name="Undo").click()
    expect(page.locator(".lt-toast", has_text="2 captions are as they were.")).to_be_visible()
    expect(form.get_by_role("button", name="Undo")).to_have_count(0)
    assert captions(folder) == {"green.txt": "mine"}
    expect(page.locator(".lt-tile", has_text="blue sky")).to_have_count(0)


def test_the_tools_page_offers_the_package_and_runs_a_captioning_tool(open_page, place, tmp_path, monkeypatch):
    folder = write_pictures(tmp_path / "pictures", "red.png")
    tagger = write_tagger(tmp_path / "tagger")
    monkeypatch.setattr("lora_trainer.installing.extras.is_there", lambda name, *rest: name != "onnxruntime")
    page = open_page(place.address + "#lora-tools")
    page.locator(".lt-tool-choice", has_text="Tags (WD14)").click()
    expect(page.locator(".lt-package")).to_contain_text("The package onnxruntime 1.23.2")
    expect(page.locator(".lt-tools .lt-reasons")).to_contain_text("onnxruntime")  # beside the button that is grey
    run = page.get_by_role("button", name="Run", exact=True)
    expect(run).to_be_disabled()
    monkeypatch.undo()
    page.locator(".lt-tool-choice", has_text="Sentences (BLIP)").click()
    expect(page.locator(".lt-package")).to_be_hidden()
    page.locator(".lt-tool-choice", has_text="Tags (WD14)").click()
    expect(run).to_be_enabled()
    expect(page.locator("#lt-tool-output")).to_have_count(0)
    run.click()
    expect(page.locator("#lt-tool-train_data_dir-wrong")).to_contain_text("Nothing is chosen")
    page.get_by_label("Folder of the pictures").fill(str(folder))
    page.get_by_text("More options").click()
    page.get_by_label("Tagger", exact=True).fill(str(tagger))
    run.click()
    result = page.locator(".lt-results-card")
    expect(result).to_contain_text("1 of 1 pictures have new captions.", timeout=SLOW)
    result.get_by_role("button", name="Undo").click()
    expect(page.locator(".lt-toast", has_text="1 caption is as it was.")).to_be_visible()
    assert not captions(folder)
