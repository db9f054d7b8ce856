"""The page inside real gradio: the one installed here, and others whose interpreters LORA_TRAINER_GRADIOS names.

LORA_TRAINER_GRADIOS=/venvs/gradio3/bin/python:/venvs/gradio4/bin/python pytest tests/browser/test_gradio_versions.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from .conftest import free_port

expect = pytest.importorskip("playwright.sync_api").expect
ROOT = Path(__file__).resolve().parents[2]
INTERPRETERS = [sys.executable, *filter(None, os.environ.get("LORA_TRAINER_GRADIOS", "").split(os.pathsep))]


@pytest.fixture(params=INTERPRETERS)
def in_gradio(request, tmp_path):
    """The address of a page drawn by the gradio of an interpreter."""
    port = free_port()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": str(tmp_path)}
    command = [request.param, "-m", "tests.browser.fake_host", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    address = f"http://127.0.0.1:{port}/"
    deadline = time.monotonic() + 600
    while True:
        try:
            urllib.request.urlopen(address, timeout=30).close()
            break
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline, "the page did not come up"
            time.sleep(0.2)
    yield address
    process.terminate()
    process.wait(200)


def test_the_page_works_in_gradio(in_gradio, open_page, frogs, drop):
    page = open_page(in_gradio + "?__theme=dark", height=700)
    drop(page, frogs)
    expect(page.locator(".lt-tile")).to_have_count(8)
    page.fill("#lt-identifier", "sls")
    page.fill("#lt-class_name", "frog")
    expect(page.locator(".lt-btn-train")).to_be_enabled()
    expect(page.get_by_text("Built with Gradio")).to_be_hidden()
    expect(page.locator("footer:visible")).to_have_count(0)
    # Nothing that gradio's own style sheet says shows through.
    tops = page.evaluate("[...document.querySelectorAll('.lt-tabs button')].map((b) => b.getBoundingClientRect().top)")
    assert len(set(tops)) == 1
    assert page.evaluate("getComputedStyle(document.querySelector('.lt-app')).textAlign") == "left"
    card = page.evaluate("getComputedStyle(document.querySelector('.lt-card')).backgroundColor")
    text = page.evaluate("getComputedStyle(document.querySelector('.lt-app h2')).color")
    assert _brightness(card) < 80 and _brightness(text) > 180, "dark, as gradio's theme is"
    page.click(".lt-advanced > summary")
    for fold in page.locator(".lt-section:visible > summary").all()[:4]:
        fold.click()
    page.mouse.wheel(0, 1500)
    expect(page.locator(".lt-btn-train")).to_be_in_viewport()  # it stays beside the form
    page.click(".lt-btn-train")
    expect(page.locator(".lt-run-page h1")).to_have_text("sls_frog")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def _brightness(color: str) -> float:
    parts = [float(part) for part in color[color.index("(") + 1 : -1].replace(",", " ").split()[:3]]
    return sum(parts) / 3
