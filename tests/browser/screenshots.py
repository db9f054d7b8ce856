"""The pictures of the page in docs/images, with example data: `python -m tests.browser.screenshots`."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from .conftest import CHROMIUM, FLAGS, served
from .fake_api import FakeApi
from .fake_host import application
from .frogs import folder_of_frogs

TARGET = Path(__file__).resolve().parents[2] / "docs" / "images"


def keep(page: Page, name: str) -> None:
    """Write a screenshot when nothing moves any more."""
    page.wait_for_timeout(400)
    Image.open(io.BytesIO(page.screenshot())).convert("RGB").save(TARGET / name, optimize=True)


def main() -> None:
    TARGET.mkdir(parents=True, exist_ok=True)
    frogs = folder_of_frogs(Path(tempfile.mkdtemp()) / "frogs", 12)
    api = FakeApi()
    with served(application(api)) as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
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
            keep(page, f"train{suffix}.png")
            api.add_run("r0", state="finished", total=1000, name="ink_style", device="", seconds_left=None)
            api.add_sample("r0", 1000, 1)
            page.click(".lt-btn-train")
            page.wait_for_selector(".lt-chart-canvas")
            api.runs["r1"]["device"] = "cuda:0"
            api.advance("r1", 900)
            for step in (300, 600, 900):
                api.add_sample("r1", step, 3)
            page.wait_for_timeout(2500)
            keep(page, f"monitor{suffix}.png")
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
            keep(page, f"generate{suffix}.png")
            context.close()
        trial_page(browser, address, api)
        browser.close()


def trial_page(browser: Browser, address: str, api: FakeApi) -> None:
    """The first page of all, which offers the trial."""
    api.__init__()
    api.trial = True
    page = browser.new_context(viewport={"width": 1280, "height": 620}, locale="en-US").new_page()
    page.goto(f"{address}?__theme=light")
    page.wait_for_selector(".lt-trial img")
    page.wait_for_timeout(800)
    keep(page, "trial-page.png")


if __name__ == "__main__":
    main()
