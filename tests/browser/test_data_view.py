"""The data set page over the real routes: opening, looking, finding."""

from __future__ import annotations

import re

import pytest

from .conftest import MODULE
from .data_sets import folder_of_links
from .test_looks import SMALL

expect = pytest.importorskip("playwright.sync_api").expect
SELECTED = ".lt-data-tile[aria-selected=true]"


@pytest.fixture
def frogs_of(tmp_path):
    """A function that makes a folder of so many pictures."""
    return lambda count=8, **more: folder_of_links(tmp_path / "frogs", count, **more)


def opened(open_page, place, folder, **more):
    """The page with this folder open, its pictures shown."""
    page = open_page(place.address + "#lora-data", **more)
    page.fill("#lt-data-folders", str(folder))
    page.locator("#lt-data-folders").press("Enter")
    page.wait_for_selector(".lt-data-tile img")
    return page


def expect_cursor(page, name: str) -> None:
    expect(page.locator(".lt-data-cursor")).to_have_attribute("title", re.compile(rf"^{re.escape(name)}\n"))


def test_what_is_said_of_an_empty_page_leads_to_a_data_set_which_is_offered_again(open_page, place, frogs_of):
    folder = frogs_of()
    page = open_page(place.address)
    page.click("#lt-tab-data")
    expect(page.locator(".lt-data-open")).to_contain_text("Drop pictures and captions here")
    page.get_by_role("button", name="Open", exact=True).click()
    expect(page.locator(".lt-data-open .lt-wrong")).to_have_text("Type the path of a folder first, or drop pictures above.")
    page.fill("#lt-data-folders", str(folder / "no such folder"))
    page.get_by_role("button", name="Open", exact=True).click()
    expect(page.locator(".lt-data-open .lt-wrong")).to_contain_text("no such folder")
    page.fill("#lt-data-folders", f"{folder}\n{place.images}")  # several folders are one data set
    page.get_by_role("button", name="Open", exact=True).click()
    expect(page.locator(".lt-data-count")).to_have_text("12 pictures")
    page.get_by_role("button", name="Another data set").click()
    page.locator(".lt-data-choice", has_text="frogs + 10_sls frog").click()
    expect(page.locator(".lt-data-count")).to_have_text("12 pictures")
    page.reload()
    expect(page.locator(".lt-data-count")).to_have_text("12 pictures")


def test_the_images_of_the_form_are_opened_from_there_and_trained_from_here(open_page, place):
    page = open_page(place.address)
    page.get_by_role("button", name="Use a folder on this machine").click()
    page.fill("#lt-image_dir", str(place.images))
    page.get_by_role("button", name="Edit captions").click()
    expect(page.locator(".lt-data-head h2")).to_have_text("10_sls frog")
    page.wait_for_selector(".lt-data-tile img")
    page.get_by_role("button", name="Train with it").click()
    expect(page.locator("#lt-image_dir")).to_have_value(str(place.images))
    page.click(".lt-advanced > summary")
    page.click("[data-section=images_and_words] > summary")
    page.fill("#lt-prompts", "photo of sls frog --w 512 --cn x\n# later")
    page.click("text=One by one")
    page.get_by_label("Seed 1").fill("7")
    page.get_by_label("Negative prompt 1").fill("blurry")
    page.get_by_label("Sampler 1").select_option("ddim")
    expect(page.locator("#lt-prompts")).to_have_value("photo of sls frog --n blurry --ss ddim --w 512 --d 7 --cn x\n# later")
    page.fill("#lt-identifier", "sls")
    page.fill("#lt-class_name", "frog")
    page.get_by_role("button", name="From words and captions").click()  # those of the four pictures
    expect(page.locator("#lt-prompts")).to_have_value(re.compile("# later\nsls frog(\nphoto of sls frog [a-z ]+){4}$"))
    page.get_by_role("button", name="Remove Prompt 1").click()
    expect(page.locator("#lt-prompts")).to_have_value(re.compile("^# later\nsls frog\nphoto of sls frog on a leaf"))


def test_twenty_thousand_pictures_are_scrolled_filtered_and_a_hundred_of_them_changed(open_page, place, frogs_of):
    folder = frogs_of(20_000)
    page = opened(open_page, place, folder)
    grid = page.locator(".lt-data-grid")
    expect(page.locator(".lt-data-count")).to_have_text("20,000 pictures")
    grid.press("End")
    expect(page.locator(SELECTED)).to_have_attribute("aria-posinset", "20000")
    expect_cursor(page, "frog_19999.png")
    grid.evaluate("(grid) => (grid.scrollTop = grid.scrollHeight / 2)")
    expect(page.locator(".lt-data-tile img").nth(9)).to_be_visible()
    expect(page.locator(".lt-data-tile:not(:has(img))")).to_have_count(0)
    assert page.locator(".lt-data-tile").count() < 80
    middle = grid.evaluate("(grid) => grid.scrollTop")
    page.click("#lt-tab-train")
    page.click("#lt-tab-data")
    page.wait_for_selector(".lt-data-tile img")
    assert abs(grid.evaluate("(grid) => grid.scrollTop") - middle) < 400, "the place is kept"
    page.fill("#lt-data-filter", "name:frog_012*")
    expect(page.locator(".lt-data-count")).to_have_text("100 of 20,000")
    page.locator(".lt-segment", has_text="Many at once").click()
    page.select_option("#lt-data-kind", "prefix")
    page.fill("#lt-data-edit-text", "photo of ")
    page.locator(".lt-data-bulk .lt-segment", has_text="All that are shown").click()
    page.get_by_role("button", name="Change 100 captions").click()
    expect(page.locator(".lt-data-saved")).to_contain_text("Saved")
    assert (folder / "frog_01299.txt").read_text() == "photo of a frog sits. It looks at the sky."
    assert (folder / "frog_01300.txt").read_text() == "sls frog, on a leaf, green"
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".lt-data-tile").first).to_contain_text("sls frog")
    expect(page.locator(".lt-data-tile").first).not_to_contain_text("photo of")
    assert (folder / "frog_01299.txt").read_text() == "a frog sits. It looks at the sky."


def test_pictures_are_chosen_by_the_keyboard_and_by_the_mouse(open_page, place, frogs_of):
    page = opened(open_page, place, frogs_of())
    grid = page.locator(".lt-data-grid")
    expect(grid).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect_cursor(page, "frog_00001.png")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator(SELECTED)).to_have_count(3)
    page.keyboard.press("Space")
    expect(page.locator(SELECTED)).to_have_count(2)
    page.keyboard.press("Control+a")
    expect(page.locator(SELECTED)).to_have_count(8)
    expect(page.locator(".lt-data-edit h2")).to_have_text("8 pictures chosen")
    page.locator(".lt-data-tile").nth(1).click()
    page.locator(".lt-data-tile").nth(4).click(modifiers=["Shift"])
    page.locator(".lt-data-tile").nth(7).click(modifiers=["Control"])
    expect(page.locator(SELECTED)).to_have_count(5)
    assert page.evaluate(SMALL) == [], "everything that is clicked is large enough"
    page.keyboard.press("?")
    expect(page.locator(".lt-data-keys")).to_contain_text("choose a range")
    page.keyboard.press("/")
    expect(page.locator("#lt-data-filter")).to_be_focused()
    page.keyboard.type("x? 5")  # where one types, keys are letters
    expect(page.locator("#lt-data-filter")).to_have_value("x? 5")
    expect(page.locator(".lt-data-keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(grid).to_be_focused()
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("?")  # not ours: the focus is elsewhere
    expect(page.locator(".lt-data-keys")).to_be_visible()


def test_a_filter_shows_what_fits_and_a_wrong_one_says_where(open_page, place, frogs_of):
    page = opened(open_page, place, frogs_of(captions=("sls frog, on a leaf", "sls frog, pond", "")), language="ko-KR")
    count, line = page.locator(".lt-data-count"), page.locator("#lt-data-filter")
    expect(count).to_have_text("이미지 8장")
    line.fill('tag:pond OR tag:"on a leaf"')
    expect(count).to_have_text("8장 중 6장")
    page.locator(".lt-data-looks button", has_text="캡션 없음").click()
    expect(count).to_have_text("8장 중 0장")
    expect(line).to_have_value('(tag:pond OR tag:"on a leaf") untagged')
    line.fill("tag:pond (tag:leaf")
    expect(page.locator(".lt-data-wrong mark")).to_have_text("(tag:leaf")
    expect(line).to_have_attribute("aria-invalid", "true")
    line.fill("")
    expect(count).to_have_text("이미지 8장")

    tag = page.locator(".lt-data-tag", has_text="pond")
    expect(tag.locator("small")).to_have_text("3")
    tag.click()
    expect(count).to_have_text("8장 중 3장")
    tag.click(modifiers=["Shift"])
    expect(count).to_have_text("8장 중 5장")
    expect(line).to_have_value("-tag:pond")


CASES = """async () => {
    const { pieces, withPieces, isProse, termOf, toggled } = await module("data/words.js");
    const { shaped, resized, trained } = await module("data/frames.js");
    const { differing } = await module("data/difference.js");
    return {
        pieces: pieces("a, b ||| c,, d\\nsecond line"),
        kept: withPieces("\\na, b\\r\\nsecond, line\\r\\n", ["b", "|||", "a"]),
        empty: withPieces("", ["a", "b"]),
        prose: ["A frog sits. It sings.", "sls frog, green eyes", "a photo of a green frog on a leaf"].map(isProse),
        terms: [termOf("frog"), termOf('green "eyes"')],
        toggled: [toggled('a tag:"b c"', 'tag:"b c"', 'x'), toggled("a -b", "b", "-b"), toggled("a OR b", "c", "-c")],
        shaped: shaped({ width: 300, height: 200 }, 1),
        resized: resized({ x: 0, y: 0, width: 100, height: 100 }, [1, 1], { x: 900, y: 50 }, 2, { width: 300, height: 200 }),
        trained: trained({ x: 10, y: 10, width: 200, height: 100 }, [512, 512]),
        difference: [...differing("a, b, c", "a, x, c").childNodes].map((part) => `${part.localName}:${part.textContent}`),
    };
}"""


# A form of two concepts, and what becomes of it when a data set is trained: [folder, words, switched off] of each concept.
TRAINED = """async (folders) => {
    const { trainFrom, followCopies } = await module("train/concepts/folders.js");
    const { scopes } = await module("train/concepts/scope.js");
    const { values } = await module("train/values.js");
    const concepts = [{ id: "b", image_dir: "/up/b", identifier: "zwx", class_name: "toad", upload: "b" }];
    values.merge({ image_dir: "/up/a/", identifier: "sls", class_name: "frog", is_off: false, concepts });
    if (folders.length) trainFrom(folders);
    else followCopies({ "/up/a": "/up/a2", "/up/b": "/up/b2" });
    return scopes().map((scope) => [scope.get("image_dir"), scope.words(), Boolean(scope.get("is_off"))]);
}"""
FROG, TOAD = "sls frog", "zwx toad"


@pytest.fixture(scope="module")
def form(chromium, place):
    """A function that says what `TRAINED` makes of folders."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto(place.address)
    page.wait_for_selector(".lt-tabs")
    yield lambda *folders: page.evaluate(f"async (it) => {{ {MODULE} return await ({TRAINED})(it); }}", list(folders))
    context.close()


def folder_of_set(path: str, *earlier: str) -> dict:
    return {"path": path, "earlier": list(earlier)}


def test_no_concept_loses_its_words_when_a_data_set_is_trained_or_copied(form):
    assert form() == [["/up/a2", FROG, False], ["/up/b2", TOAD, False]], "both were copied"
    both = [["/up/a", FROG, False], ["/up/b", TOAD, False]]
    assert form(folder_of_set("/up/a"), folder_of_set("/up/b")) == both
    assert form(folder_of_set("/up/b"), folder_of_set("/up/a")) == both, "whatever the order"
    assert form(folder_of_set("/up/b")) == [["/up/a/", FROG, False], ["/up/b", TOAD, False]], "the second one's alone"
    copy = folder_of_set("/up/b3", "/up/b2", "/up/b")
    assert form(copy) == [["/up/a/", FROG, False], ["/up/b3", TOAD, False]], "copied while another tab was open"
    assert form(folder_of_set("/c"), copy) == [["/c", FROG, False], ["/up/b3", TOAD, False]]
    assert form(folder_of_set("/c")) == [["/c", FROG, False], ["/up/b", TOAD, True]], "kept in the form, and not trained"
    three = form(folder_of_set("/up/b"), folder_of_set("/c"), folder_of_set("/d"))
    assert three == [["/c", FROG, False], ["/up/b", TOAD, False], ["/d", "", False]]


def test_captions_frames_and_differences_are_reckoned_right(open_page, address):
    page = open_page(address)
    assert page.evaluate(f"async () => {{ {MODULE} return await ({CASES})(); }}") == {
        "pieces": ["a", "b", "|||", "c", "d"],
        "kept": "\nb ||| a\r\nsecond, line\r\n",
        "empty": "a, b",
        "prose": [True, False, True],
        "terms": ["tag:frog", 'tag:"green \\"eyes\\""'],
        "toggled": ["a", "a b", "(a OR b) c"],
        "shaped": {"x": 50, "y": 0, "width": 200, "height": 200},
        "resized": {"x": 0, "y": 0, "width": 300, "height": 150},
        "trained": {"x": 60, "y": 10, "width": 100, "height": 100},
        "difference": ["span:a, ", "del:b", "ins:x", "span:, c"],
    }
