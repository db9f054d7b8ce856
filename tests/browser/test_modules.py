"""How the page's modules come into the browser: all of them once, of one version, and what is said when they cannot."""

from __future__ import annotations

import re

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from lora_trainer.ui.assets import assets

from .conftest import MODULE, served
from .fake_host import application

expect = pytest.importorskip("playwright.sync_api").expect
REDRAW = """(version) => {
    const old = document.querySelector(".lt-mount"), made = document.createElement("div");
    made.className = "lt-mount";
    made.dataset.version = version || old.dataset.version;
    old.replaceWith(made);
}"""


def visit(open_page, address, prepare):
    """A page before whose start `prepare(page)` is called."""
    page = open_page("about:blank", wait=False)
    prepare(page)
    page.goto(address)
    return page


def test_each_module_comes_once_and_all_of_one_version(open_page, address):
    asked = []

    def listen(page):
        page.on(
            "request",
            lambda request: asked.append(request.url.removeprefix(address)) if request.resource_type == "script" else None,
        )

    page = visit(open_page, address, listen)
    page.wait_for_selector(".lt-tabs")
    base = f"lora-trainer/assets/{assets().version}/"
    assert all(one.startswith(base) for one in asked)
    names = [one.removeprefix(base) for one in asked]
    assert sorted(names) == sorted(name for name in assets().files if name.endswith("js"))
    assert not page.evaluate("Object.keys(window).filter((name) => /lora/i.test(name) && !(window[name] instanceof Element))")


@pytest.mark.parametrize("ending", ["/", "/?__theme=dark#lora-runs"])
def test_the_page_works_below_any_path(open_page, api, ending):
    inner = application(api, with_gradio=False)
    with served(Starlette(routes=[Mount("/web/ui", inner)])) as root:
        api.add_run("r1")
        page = open_page(root + "web/ui" + ending)
        page.click("#lt-tab-runs")
        expect(page.locator(".lt-run")).to_have_count(1)
        page.click(".lt-run")
        expect(page.locator(".lt-run-page")).to_be_visible()


def test_the_page_waits_while_its_files_are_not_served_yet(open_page, address):
    missing = [404, 502, 404]

    def answer(route):
        route.fulfill(status=missing.pop(), body="Not Found") if missing else route.continue_()

    page = visit(open_page, address, lambda page: page.route("**/page.js", answer))
    expect(page.locator(".lt-tabs")).to_be_visible()
    assert not missing


def test_a_tab_of_an_earlier_version_says_so_and_asks_no_more(open_page, address):
    asked = []

    def refuse(route):
        asked.append(route.request.url)
        body = {"error": {"message": "This page is of another version.", "advice": "Reload the page."}}
        route.fulfill(status=404, json=body, headers={"X-Lora-Trainer": "1"})

    page = visit(open_page, address, lambda page: page.route("**/page.js", refuse))
    expect(page.get_by_role("alert")).to_have_text("This page is of another version. Reload the page.")
    page.wait_for_timeout(1200)
    assert len(asked) == 1


def test_a_host_that_has_become_another_version_is_said_in_a_standing_tab(open_page, address, api):
    page = open_page(address)
    api.add_run("r1", state="running", active=True)
    expect(page.locator(".lt-dot")).to_be_visible()
    expect(page.locator(".lt-problems")).to_be_empty()
    api.page = "another"
    expect(page.locator(".lt-problems")).to_contain_text("LoRA Trainer was updated")
    page.locator("#lt-language").select_option("ko")
    expect(page.locator(".lt-problems")).to_contain_text("새로고침")


def test_the_page_starts_again_wherever_gradio_draws_its_place_anew(open_page, address):
    page = open_page(address)
    page.fill("#lt-identifier", "sls")
    page.evaluate(REDRAW, None)
    expect(page.locator("#lt-identifier")).to_have_value("sls")  # the same modules, which know it


def test_a_place_of_another_version_gets_no_modules_of_this_one(open_page, address):
    page = open_page(address)
    page.evaluate(REDRAW, "0123456789abcdef")
    expect(page.get_by_role("alert")).to_have_text(re.compile("was updated.*Reload the page"))
    assert not page.locator(".lt-tabs").count()


def test_a_module_that_does_not_arrive_is_said(open_page, address):
    page = visit(open_page, address, lambda page: page.route("**/chart.js", lambda route: route.abort()))
    expect(page.get_by_role("alert")).to_have_text(re.compile("could not be loaded"))


def test_words_that_are_counted_are_told_in_the_singular_and_the_plural(open_page, address):
    page = open_page(address)
    script = (
        MODULE
        + """const { texts } = await module("base/texts.js"), { valuesOf } = await module("train/variants.js");
        const t = texts({ some: ["{x} {x:run|runs} {x:is|are} here", "{x}"] });
        const counted = ["0", 1, "1", "1,000"].map((x) => t("some", { x }));
        const typed = [["4, 8;16\\n32", "integer"], ["0,5\\n1e-4, 2e-4", "number"], ["512,768", "text"]];
        return [counted, ...typed.map((one) => valuesOf(...one))];"""
    )
    told, integers, numbers, texts = page.evaluate(f"async () => {{ {script} }}")
    assert told == ["0 runs are here", "1 run is here", "1 run is here", "1,000 runs are here"]
    assert (integers, numbers, texts) == (["4", "8", "16", "32"], ["0,5", "1e-4", "2e-4"], ["512,768"])


def test_pictures_that_wait_for_a_training_say_so(open_page, address, api):
    api.lending = "The training is asked to make room."
    page = open_page(address + "#lora-generate")
    page.fill("#lt-g-prompt", "a frog")
    page.locator(".lt-generate .lt-btn-train").click()
    expect(page.locator(".lt-generate-status")).to_have_text(api.lending)
    api.lending = ""
    expect(page.locator(".lt-results .lt-picture")).to_have_count(1)
    expect(page.locator(".lt-generate-status")).to_have_text("")


def test_an_upload_is_named_by_its_day(open_page, address):
    page = open_page(address)
    script = (
        MODULE
        + """const { folderName } = await module("base/folders.js");
        return ["/up/20261127-044457-1e7f1d", "C:\\\\my\\\\frogs", "/x/10_frog/"].map(folderName);"""
    )
    upload, *others = page.evaluate(f"async () => {{ {script} }}")
    assert others == ["frogs", "10_frog"]
    assert "27 Nov 2026" in upload and "1e7f1d" not in upload


def test_an_upload_is_named_by_its_pictures_and_its_day_wherever_it_is_spoken_of(open_page, address):
    page = open_page(address)
    script = (
        MODULE
        + """const { app } = await module("base/app.js");
        const { folderName, placeName, withUploads } = await module("base/folders.js");
        app.state = { ...app.state, uploads: { "20261127-044457-1e7f1d": { first: "toad.png", images: 12 } } };
        const folder = "/up/20261127-044457-1e7f1d";
        return [folderName(folder), placeName(folder), placeName(`${folder}/a.png`), placeName("/up/frogs/a.png"),
            withUploads("20261127-044457-1e7f1d is shown 8 times"), withUploads(`${folder} is gone`)];"""
    )
    folder, place, file, other, said, path = page.evaluate(f"async () => {{ {script} }}")
    assert folder == place and folder.startswith("toad.png and 11 more, 27 Nov 2026")
    assert (file, said) == (f"{folder}: a.png", f"“{folder}” is shown 8 times")
    assert (other, path) == ("/up/frogs/a.png", "/up/20261127-044457-1e7f1d is gone"), "a path stays one that can be copied"
