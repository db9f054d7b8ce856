"""See the batches: the form's first batches, drawn by a process of the host without a base model, in a dialog."""

from __future__ import annotations

import re
import sys

import pytest
from PIL import Image

from .conftest import MODULE
from .frogs import folder_of_frogs
from .real_api import running
from .test_concepts import field, first_concept

expect = pytest.importorskip("playwright.sync_api").expect
pytest.importorskip("torch")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("batches")
    with running(folder) as here:
        here.service.host.python = sys.executable
        yield here


def test_the_batches_are_shown_with_masks_regularisation_and_captions(open_page, place):
    first, *_ = sorted(path for path in place.images.iterdir() if path.suffix == ".png" and "masklabel" not in path.name)
    Image.new("L", Image.open(first).size, 255).save(first.with_name(f"{first.stem}-masklabel.png"))
    folder_of_frogs(place.folder / "reg", 2, size=64)
    page = open_page(place.address)
    see = page.get_by_role("button", name="See the batches")
    expect(see).to_be_hidden()
    first_concept(page, place)
    field(page, "resolution").fill("64")
    chosen = {"masked_loss": True, "reg_dir": str(place.folder / "reg"), "num_repeats": 1, "train_batch_size": 4}
    page.evaluate(
        f"""async (chosen) => {{ {MODULE} const {{values}} = await module("train/values.js");
        for (const [name, value] of Object.entries(chosen)) values.set(name, value); }}""",
        chosen,
    )
    expect(page.locator(".lt-masks")).to_have_text("1 of 4 pictures have a mask.")
    see.click()
    dialog = page.locator("dialog.lt-batches")
    expect(dialog).to_contain_text("Batch 1 of 2 in an epoch", timeout=120_000)
    expect(dialog.locator("section")).to_have_count(2)
    expect(dialog.locator("img")).to_have_count(8)
    expect(dialog.locator(".lt-chip")).to_have_count(4)  # as many regularisation images
    expect(dialog.locator("li", has_text=f"mask {first.stem}-masklabel.png")).to_have_count(1)
    expect(dialog.locator("li").first).to_contain_text(re.compile("frog.*64×64, resized to 64×64, cut at 0, 0"))
    for picture in dialog.locator("img").all():
        picture.scroll_into_view_if_needed()
        page.wait_for_function("picture => picture.complete && picture.naturalWidth === 64", arg=picture.element_handle())
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_have_count(0)
