"""Pictures of the Web UI's galleries sent into the form, over the real routes; the Web UI around the page is imitated."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ..api.test_sent import TOLD, told_picture
from .conftest import MODULE
from .frogs import frog, png
from .test_webui_around import AROUND

expect = pytest.importorskip("playwright.sync_api").expect

# A gallery as gradio 3 and 4 draw it: a grid of all pictures, and while one is open large, the small ones below it, too.
GALLERY = """([tab, urls, open, told]) => {
    const thumbnail = (url, at, size) => {
        const chosen = at === open && size === "small" ? "selected" : "";
        return `<button class="thumbnail-item thumbnail-${size} ${chosen}"><img src="${url}"></button>`;
    };
    const make = (place, size) => `<div class="${place}">${urls.map((url, at) => thumbnail(url, at, size)).join("")}</div>`;
    const preview = open === null ? "" : `<div class="preview"><img src="${urls[open]}">${make("thumbnails", "small")}</div>`;
    document.getElementById(`tab_${tab}`).insertAdjacentHTML("beforeend",
        `<div id="${tab}_gallery">${preview}${make("grid-container", "lg")}</div>
         <div id="image_buttons_${tab}"><button class="lg tool">x</button></div>
         <div id="generation_info_${tab}"><textarea></textarea></div>`);
    document.querySelector(`#generation_info_${tab} textarea`).value = told;
}"""


@pytest.fixture
def around(open_page, place):
    """A function that opens the page with the Web UI around it, whose txt2img shows files {name: bytes}."""

    def visit(files: dict[str, bytes], *, opened: int | None = None, told: dict | None = None):
        page = open_page(place.address)
        page.evaluate(AROUND, 3)
        serve = lambda route: route.fulfill(body=files[route.request.url.split("/")[-1].split("?")[0]])  # noqa: E731
        page.route(re.compile("/file="), serve)
        urls = [f"{place.address}file=outputs/txt2img-images/{name}?1" for name in files]
        page.evaluate(GALLERY, ["txt2img", urls, opened, json.dumps(told) if told else ""])
        page.evaluate(f'async () => {{ {MODULE} (await module("send/gallery.js")).offerSending(); }}')
        page.locator("#tabs > div > button").nth(2).click()
        expect(page.locator("#tab_txt2img")).to_be_visible()
        return page

    return visit


def send(page):
    page.locator("#txt2img_send_to_lora_trainer").click()
    return page.locator(".lt-sent-dialog")


def form(page) -> dict:
    return page.evaluate(f'async () => {{ {MODULE} return (await module("train/values.js")).values.send(); }}')


def test_all_pictures_but_the_grid_go_into_the_form_with_their_prompts_as_captions(around):
    frogs = {"00000-1.png": told_picture("sls frog <lora:frog:1>"), "00001-2.png": png(frog(1, 64))}
    files = {"grid-0000.png": png(frog(0, 64)), **frogs}
    told = {"infotexts": ["all", "of another", TOLD.format("a (frog:1.2)")], "index_of_first_image": 1}
    page = around(files, opened=0, told=told)
    dialog = send(page)
    expect(page.locator("#lora_trainer_root")).to_be_visible()
    expect(dialog.locator("li")).to_have_count(3)
    expect(dialog.locator("li").nth(0).get_by_role("checkbox")).not_to_be_checked()
    expect(dialog.locator("li").nth(1).get_by_role("textbox")).to_have_value("sls frog")
    dialog.locator("li").nth(2).get_by_role("textbox").fill("a frog, edited")
    dialog.get_by_role("button", name="Add 2 pictures").click()
    expect(page.locator(".lt-tile")).to_have_count(2)
    folder = Path(form(page)["image_dir"])
    assert {path.name: path.read_text() for path in folder.glob("*.txt")} == {
        "00000-1.txt": "sls frog\n",
        "00001-2.txt": "a frog, edited\n",
    }
    page.locator("#tabs > div > button").nth(2).click()
    dialog = send(page)  # the same again, as regularisation pictures of the class
    dialog.get_by_label("Put them into").select_option(label="the regularisation pictures")
    dialog.get_by_role("button", name="Add 2 pictures").click()
    expect(dialog).to_have_count(0)
    values = form(page)
    assert Path(values["image_dir"]) == folder and Path(values["reg_dir"]) != folder
    assert sorted(path.name for path in Path(values["reg_dir"]).glob("*.png")) == ["00000-1.png", "00001-2.png"]
    page.locator("#tabs > div > button").nth(2).click()
    dialog = send(page)
    dialog.get_by_label("Put them into").select_option(label="a new concept of this training")
    dialog.get_by_role("button", name="Add 2 pictures").click()
    expect(page.locator("[data-concept]")).to_have_count(2)
    assert form(page)["concepts"][0]["image_dir"] not in (str(folder), values["reg_dir"])


def test_the_picture_that_is_open_goes_alone_the_others_on_demand_and_no_leaves_nothing(around, place):
    before = set(place.service.uploads.root.glob("*"))
    page = around({"a.png": told_picture("a"), "b.png": told_picture("b", "blue"), "no.txt": b"gone"}, opened=1)
    dialog = send(page)
    expect(dialog.locator("li")).to_have_count(1)
    expect(dialog.get_by_role("textbox")).to_have_value("b")
    dialog.get_by_role("button", name="Show the rest of the gallery (2)").click()
    expect(dialog.locator("li")).to_have_count(2)
    expect(dialog).to_contain_text("no.txt")
    with page.expect_response("**/uploads/*/delete"):
        dialog.get_by_role("button", name="Cancel").click()
    expect(page.locator("#tab_txt2img")).to_be_visible()
    assert set(place.service.uploads.root.glob("*")) == before


def test_an_empty_gallery_says_so(around):
    page = around({})
    dialog = send(page)
    expect(page.locator(".lt-toast")).to_contain_text("no picture in the gallery")
    expect(dialog).to_have_count(0)


def test_pictures_of_the_generate_view_go_into_the_form_too(open_page, place):
    page = open_page(place.address, wait=False)
    made = {"1.png": told_picture("sls frog <lora:frog:0.8> in the rain"), "2.png": told_picture("a frog", "blue")}
    images = [{"name": name, "url": f"generate/g/file/{name}", "seed": 1, "prompt": "x"} for name in made]
    answer = {"id": "g", "state": "finished", "done": 2, "total": 2, "message": "", "advice": "", "images": images}

    def state(route):
        told = route.fetch()
        route.fulfill(response=told, json={**told.json(), "can_generate": True})

    page.route("**/api/state*", state)
    page.route("**/api/generate/g", lambda route: route.fulfill(json=answer, headers={"X-Lora-Trainer": "1"}))
    page.route("**/api/generate/g/file/*", lambda route: route.fulfill(body=made[route.request.url.split("/")[-1]]))
    page.goto(place.address + "#lora-generate")
    page.evaluate("""localStorage.setItem("lora-trainer.generate.shown", '"g"')""")  # what this browser has asked for
    page.reload()
    page.get_by_role("button", name="Train with these pictures").click()
    dialog = page.locator(".lt-sent-dialog")
    expect(dialog.get_by_role("textbox")).to_have_count(2)
    expect(dialog.get_by_role("textbox").nth(0)).to_have_value("sls frog in the rain")
    dialog.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Train with these pictures")).to_be_visible()
    page.get_by_role("button", name="Train with these pictures").click()
    dialog.get_by_role("checkbox").nth(1).uncheck()
    dialog.get_by_role("button", name="Add 1 picture").click()
    expect(page.locator(".lt-tile-text")).to_have_text(["sls frog in the rain"])
