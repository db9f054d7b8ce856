"""The pictures of the page in docs/images, with example data: `python -m tests.browser.screenshots [NAME ...]`."""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from ..captioning.small_tagger import write_tagger
from . import real_api
from .conftest import CHROMIUM, FLAGS, served
from .fake_api import FakeApi
from .fake_host import application
from .frogs import SCENES, folder_of_frogs

TARGET = Path(__file__).resolve().parents[2] / "docs" / "images"


def keep(shown: Page | Locator, name: str) -> None:
    """Write a screenshot of a page or of a part of it when nothing moves any more."""
    (shown if isinstance(shown, Page) else shown.page).wait_for_timeout(400)
    picture = Image.open(io.BytesIO(shown.screenshot())).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(TARGET / name, optimize=True)


def pages(browser: Browser, address: str, api: FakeApi) -> None:
    """Train, a run and Generate, light, dark and on a phone: to look at; none of them is in the documentation."""
    frogs = folder_of_frogs(Path(tempfile.mkdtemp()) / "frogs", 12)
    for theme, width, height in (("light", 1280, 1000), ("dark", 1280, 1000), ("phone", 390, 844)):
        api.__init__()
        suffix = {"light": "", "dark": "-dark", "phone": "-phone"}[theme]
        context = browser.new_context(viewport={"width": width, "height": height}, locale="en-US")
        page = context.new_page()
        page.goto(f"{address}?__theme={'dark' if theme == 'dark' else 'light'}")
        page.set_input_files("input[type=file] >> nth=0", frogs)
        page.fill("#lt-identifier", "sls")
        page.fill("#lt-class_name", "frog")
        page.wait_for_selector(".lt-fine")
        page.wait_for_timeout(800)
        page.evaluate("document.activeElement.blur()")
        keep(page, f"page-train{suffix}.png")
        api.add_run("r0", state="finished", total=1000, name="ink_style", device="", seconds_left=None)
        api.add_sample("r0", 1000, 1)
        page.click(".lt-btn-train")
        page.wait_for_selector(".lt-chart-canvas")
        api.runs["r1"]["device"] = "cuda:0"
        api.advance("r1", 900)
        for step in (300, 600, 900):
            api.add_sample("r1", step, 3)
        page.wait_for_timeout(2500)
        keep(page, f"page-run{suffix}.png")
        api.advance("r1", 1500)
        api.finish("r1")
        api.loras = [{"name": "sls_frog", "modified": 1, "activation": "sls frog", "weight": 0.8}]
        page.wait_for_selector(".lt-use")
        page.click("text=Try it in Generate")
        page.fill("#lt-g-prompt", "photo of sls frog on a leaf <lora:sls_frog:0.8>")
        page.fill("#lt-g-batch_count", "4")
        page.wait_for_timeout(3200)  # the message of the end goes
        page.click(".lt-btn-train")
        page.wait_for_selector(".lt-results img >> nth=3")
        page.wait_for_timeout(800)
        page.mouse.move(2, 2)
        keep(page, f"page-generate{suffix}.png")
        context.close()


def trial_page(browser: Browser, address: str, api: FakeApi) -> None:
    """The first page of all, which offers the trial."""
    api.trial = True
    page = browser.new_context(viewport={"width": 1280, "height": 620}, locale="en-US").new_page()
    page.goto(f"{address}?__theme=light")
    page.wait_for_selector(".lt-trial img")
    page.wait_for_timeout(800)
    keep(page, "trial-page.png")


def blocks(browser: Browser, address: str, api: FakeApi) -> None:
    """The editor of the blocks: a rank for each."""
    page = browser.new_context(viewport={"width": 1280, "height": 1100}, locale="en-US").new_page()
    page.goto(f"{address}?__theme=light")
    page.click(".lt-advanced > summary")
    page.click("[data-section=lora_network] > summary")
    page.click(".lt-blocks > summary")
    page.check("#lt-net-conv")
    page.locator(".lt-segment", has_text="Rank").first.click()
    ranks = [4, 4, 4, 8, 8, 8, 8, 16, 16, 16, 16, 16, 24, 16, 16, 16, 24, 24, 24, 16, 16, 16, 8, 8, 8]
    page.fill("#lt-network_args", f"conv_dim=4\ndown_lr_weight=sine\nblock_dims={','.join(map(str, ranks))}")
    page.evaluate("document.activeElement.blur()")
    page.mouse.move(2, 2)
    keep(page.locator(".lt-network-panel"), "blocks.png")


def tools(browser: Browser, address: str, api: FakeApi) -> None:
    """The Tools page after two LoRAs were merged."""
    api.loras = [{"name": name, "modified": 1} for name in ("sls_frog", "ink_style")]
    page = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-US").new_page()
    page.goto(f"{address}?__theme=light#lora-tools")
    page.locator(".lt-ratio select").nth(0).select_option("sls_frog.safetensors")
    page.locator(".lt-ratio select").nth(1).select_option("ink_style.safetensors")
    page.locator(".lt-ratio input").nth(1).fill("0.6")
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_selector(".lt-tool-file")
    page.evaluate("document.activeElement.blur()")
    page.mouse.move(2, 2)
    keep(page.locator(".lt-app"), "tools.png")


def data_set(browser: Browser, address: str, api: FakeApi) -> None:
    """The data set page over the real routes: tags, pictures, one of them with its caption."""
    folder = Path(tempfile.mkdtemp())
    frogs = [path for path in folder_of_frogs(folder / "sls frog", 24, size=256) if path.suffix == ".txt"]
    for index, path in enumerate(frogs):
        more = ("smiling", "close-up", "wet skin", "reeds")[: index % 5]
        words = [SCENES[index % 8], ("green", "bright green")[index % 2], *more]
        path.write_text(", ".join(["sls frog", *words]), encoding="utf-8")
    frogs[6].unlink()
    with real_api.running(folder / "host") as place:
        page = browser.new_context(viewport={"width": 1280, "height": 820}, locale="en-US").new_page()
        page.goto(f"{place.address}#lora-data")
        page.fill("#lt-data-folders", str(folder / "sls frog"))
        page.locator("#lt-data-folders").press("Enter")
        page.wait_for_selector(".lt-data-tile img")
        page.locator(".lt-data-tile").nth(4).click()
        page.keyboard.press("4")
        page.wait_for_selector(".lt-data-stars")
        page.wait_for_timeout(800)
        page.evaluate("document.activeElement.blur()")
        page.mouse.move(2, 2)
        keep(page, "data-set.png")


def concepts(browser: Browser, address: str, api: FakeApi) -> None:
    """Two concepts in the form, over the real routes."""
    folder = Path(tempfile.mkdtemp())
    with real_api.running(folder) as place:
        folder_of_frogs(folder / "ponds", 3)
        page = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-US").new_page()
        page.goto(place.address)
        for number, (name, words) in enumerate((("10_sls frog", ("sls", "frog")), ("ponds", ("ohwx", "toad")))):
            prefix = f"concepts.{number - 1}." if number else ""
            if number:
                page.get_by_role("button", name="Add a concept").click()
            page.get_by_text("Use a folder on this machine").first.click()
            for field, text in zip(("image_dir", "identifier", "class_name"), (str(folder / name), *words), strict=True):
                page.fill(f'[id="lt-{prefix}{field}"]', text)
        page.wait_for_selector(".lt-fine")
        for number, name in enumerate(("frog", "toad")):  # not the folders of this moment
            page.locator("[data-name$=image_dir] input").nth(number).evaluate(
                "(one, text) => { one.value = text; }", f"/pictures/{name}"
            )
        page.evaluate("document.activeElement.blur()")
        page.evaluate(
            "document.querySelectorAll('.lt-main > :not([data-concept]), .lt-side, .lt-wrong').forEach((one) => one.remove())"
        )
        page.set_viewport_size({"width": 1280, "height": 1800})
        keep(page.locator(".lt-main"), "concepts.png")


def captioning(browser: Browser, address: str, api: FakeApi) -> None:
    """The form below the images after a (small) tagger has written captions."""
    folder = Path(tempfile.mkdtemp())
    for path in folder_of_frogs(folder / "frogs", 6, size=256):
        if path.suffix == ".txt":
            path.unlink()
    tags = [("frog", 0, (0, 0, 0), 3.0), ("no_humans", 0, (0, 0, 0), 2.0), ("outdoors", 0, (0, 2, 0), 0.0)]
    tags += [("water", 0, (6, 0, -4), -1.0), ("leaf", 0, (-4, 6, 0), -1.0), ("sunset", 0, (-4, 0, 6), -1.0)]
    tagger = write_tagger(folder / "tagger", tags=tags)
    with real_api.running(folder / "host") as place:
        page = browser.new_context(viewport={"width": 1280, "height": 1700}, locale="en-US").new_page()
        page.goto(place.address)
        page.get_by_role("button", name="Use a folder on this machine").click()
        page.fill("#lt-image_dir", str(folder / "frogs"))
        page.get_by_role("button", name="Caption these pictures").click()
        form = page.locator(".lt-captioning")
        form.get_by_text("More options", exact=True).click()
        form.get_by_label("Tagger", exact=True).fill(str(tagger))
        form.get_by_text("More options", exact=True).click()
        form.get_by_role("button", name="Write captions").click()
        form.get_by_role("button", name="Undo").wait_for(timeout=60_000)
        page.evaluate("document.activeElement.blur()")
        page.evaluate("document.querySelector('#lt-image_dir').value = '/home/me/frogs'")  # not a path of this machine
        keep(page.locator(".lt-upload"), "captioning.png")


PICTURES = {
    "trial-page": trial_page,
    "blocks": blocks,
    "tools": tools,
    "data-set": data_set,
    "concepts": concepts,
    "captioning": captioning,
    "pages": pages,
}


def main(names: list[str]) -> None:
    """Draw the named PICTURES, or all that the documentation shows."""
    TARGET.mkdir(parents=True, exist_ok=True)
    api = FakeApi()
    with served(application(api)) as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for name in names or [name for name in PICTURES if name != "pages"]:
            api.__init__()
            PICTURES[name](browser, address, api)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
