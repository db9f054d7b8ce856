"""A browser and hosts for the tests of the page. Skipped where there is no Chromium."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator

import pytest

playwright = pytest.importorskip("playwright.sync_api")

CHROMIUM = os.environ.get("LORA_TRAINER_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome") or ""
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


def pytest_collection_modifyitems(items) -> None:
    here = os.path.dirname(__file__)  # noqa: PTH120
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium() -> Iterator:
    if not CHROMIUM:
        assert not os.environ.get("LORA_TRAINER_REQUIRE_BROWSER"), "no Chromium on this machine"
        pytest.skip("no Chromium on this machine (LORA_TRAINER_CHROMIUM names one)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


playwright.expect.set_options(timeout=60_000)  # ten times what an idle machine needs, and more


@pytest.fixture
def open_page(chromium):
    """A function that opens an address in a fresh profile. An exception in the page fails the test."""
    with contextlib.ExitStack() as stack:
        errors: list[str] = []

        def visit(address: str, *, width: int = 1280, height: int = 900, language: str = "en-US", wait: bool = True):
            context = chromium.new_context(viewport={"width": width, "height": height}, locale=language)
            stack.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(90_000)
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.goto(address)
            if wait:
                page.wait_for_selector(".lt-tabs")
            return page

        yield visit
        assert not errors, errors


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Iterator:
    """The real routes with an empty data folder, for the tests of one file."""
    from . import real_api

    with real_api.running(tmp_path_factory.mktemp("place")) as here:
        yield here


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return trial.getsockname()[1]


@contextlib.contextmanager
def served(app) -> Iterator[str]:
    """Serve an ASGI application from a thread; gives its address."""
    import uvicorn

    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 200
    while not server.started:
        assert thread.is_alive() and time.monotonic() < deadline, "the server did not start"
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def api():
    from .fake_api import FakeApi

    return FakeApi()


@pytest.fixture
def address(api) -> Iterator[str]:
    """The page with the fake API behind it, without gradio around."""
    from .fake_host import application

    with served(application(api, with_gradio=False)) as url:
        yield url


@pytest.fixture(scope="session")
def frogs(tmp_path_factory) -> list:
    """Eight small pictures with captions: paths, images first."""
    from .frogs import folder_of_frogs

    return folder_of_frogs(tmp_path_factory.mktemp("images"), 8, size=64)


# At the start of a script for the page: `await module("runs/chart.js")` gives a module of the page, the very one that it uses.
MODULE = """const module = (name) =>
    import(new URL(`lora-trainer/assets/${document.querySelector(".lt-mount").dataset.version}/${name}`, document.baseURI));
"""


# The two buttons that the Web UI has on its pages, with a note of which were clicked.
HIDDEN_BUTTONS = """() => {
    window.clicked = [];
    for (const tab of ["txt2img", "img2img"]) {
        const button = document.createElement("button");
        button.id = `${tab}_lora_extra_refresh_internal`;
        button.style.display = "none";
        button.addEventListener("click", () => window.clicked.push(tab));
        document.body.append(button);
    }
}"""


# What a drop of files from the desktop is to a page.
DROP = """async ([selector, files, folder]) => {
    const made = files.map((f) => new File([Uint8Array.from(atob(f.data), (c) => c.charCodeAt(0))], f.name, {type: f.type}));
    const transfer = new DataTransfer();
    made.forEach((file) => transfer.items.add(file));
    let shown = transfer;
    if (folder) {  // a folder can only be imitated: an entry whose reader gives the files in two parts
        const entry = (file) => ({isFile: true, name: file.name, file: (done) => done(file)});
        const parts = [made.slice(0, 3).map(entry), made.slice(3).map(entry), []];
        const reader = {readEntries: (done) => done(parts.shift())};
        const root = {isFile: false, isDirectory: true, name: folder, createReader: () => reader};
        shown = {types: ["Files"], items: [{webkitGetAsEntry: () => root}], files: []};
    }
    const zone = document.querySelector(selector);
    for (const type of ["dragenter", "dragover", "drop"]) {
        const event = new DragEvent(type, {bubbles: true, cancelable: true, dataTransfer: transfer});
        if (folder) Object.defineProperty(event, "dataTransfer", {value: shown});
        zone.dispatchEvent(event);
    }
}"""


@pytest.fixture
def drop():
    """A function that drops files (or a folder of them) onto the place of the images, or another `place` of the page."""
    import base64

    def drop_files(page, paths, folder: str = "", place: str = ".lt-drop") -> None:
        types = {".png": "image/png", ".txt": "text/plain"}
        files = [
            {"name": path.name, "type": types.get(path.suffix, ""), "data": base64.b64encode(path.read_bytes()).decode()}
            for path in paths
        ]
        page.evaluate(DROP, [place, files, folder])

    return drop_files
