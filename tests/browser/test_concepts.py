"""Several concepts in the form, over the real routes."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from ..runs.harness import fake_python
from .conftest import MODULE
from .frogs import folder_of_frogs
from .real_api import running

expect = pytest.importorskip("playwright.sync_api").expect


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("concepts")
    with running(folder) as here:
        folder_of_frogs(folder / "toads", 3, size=64)
        folder_of_frogs(folder / "kohya" / "10_sks frog", 2, size=64)
        folder_of_frogs(folder / "kohya" / "4_abc dog", 2, size=64)
        folder_of_frogs(folder / "kohya reg" / "1_frog", 2, size=64)
        yield here


def field(page, name):
    return page.locator(f'[id="lt-{name}"]')


def name_folder(page, name, path):
    """Choose a folder of this machine for the concept whose field this is."""
    upload = page.locator(".lt-upload").filter(has=page.locator(f'[data-name="{name}"]'))
    upload.get_by_text("Use a folder on this machine").click()
    field(page, name).fill(str(path))


def sent(page) -> dict:
    return page.evaluate(
        f'async () => {{ {MODULE} const {{values}} = await module("train/values.js"); return values.send(); }}'
    )


def first_concept(page, place):
    name_folder(page, "image_dir", place.images)
    field(page, "identifier").fill("sls")
    field(page, "class_name").fill("frog")


def add_toads(page, place):
    page.get_by_role("button", name="Add a concept").click()
    expect(field(page, "concepts.0.identifier")).to_be_focused()
    field(page, "concepts.0.identifier").fill("tds")
    field(page, "concepts.0.class_name").fill("toad")
    name_folder(page, "concepts.0.image_dir", place.folder / "toads")


def test_a_second_concept_is_planned_kept_in_the_draft_switched_off_and_taken_away(open_page, place):
    page = open_page(place.address)
    expect(page.locator("[data-concept]")).to_have_count(0)
    assert page.get_by_text("Concept 1").count() == 0, "with one concept there is no talk of concepts but the button"
    first_concept(page, place)
    add_toads(page, place)
    plan = page.locator(".lt-plan")
    expect(plan).to_contain_text("sls frog")
    expect(plan).to_contain_text("tds toad")
    expect(page.locator(".lt-example")).to_contain_text("sls frog, tds toad")
    field(page, "concepts.0.num_repeats").fill("0")
    expect(page.locator(".lt-reasons")).to_contain_text("Concept 2 · Repeats")
    field(page, "concepts.0.num_repeats").fill("4")
    card = page.locator("[data-concept]").nth(1)
    card.get_by_text("Options of this concept").click()
    field(page, "concepts.0.settings.flip_aug").check()
    field(page, "concepts.0.settings.keep_tokens").fill("2")
    expect(card.locator(".lt-concept-settings .lt-chip")).to_contain_text("2")
    page.reload()
    expect(field(page, "concepts.0.class_name")).to_have_value("toad")
    (toads,) = sent(page)["concepts"]
    assert toads["settings"] == {"flip_aug": True, "keep_tokens": 2} and toads["num_repeats"] == 4 and "id" not in toads
    expect(page.locator(".lt-plan")).to_contain_text("tds toad")
    field(page, "concepts.0.is_off").check()
    expect(page.locator(".lt-plan")).not_to_contain_text("tds toad")
    expect(field(page, "concepts.0.class_name")).to_have_value("toad")
    page.get_by_role("button", name="Remove concept 1").click()
    page.locator("dialog").get_by_role("button", name="Remove").click()
    expect(field(page, "class_name")).to_have_value("toad")
    values = sent(page)
    assert (values["image_dir"], values["num_repeats"], values["is_off"]) == (str(place.folder / "toads"), 4, True)
    file = place.folder / "meta.json"
    file.write_text(json.dumps({"frog_01.png": {"caption": "a toad on a stone"}}))
    expect(field(page, "metadata_file")).to_be_hidden()
    field(page, "caption_source").select_option("metadata")
    field(page, "metadata_file").fill(str(file))
    texts = page.locator(".lt-tile-text")
    expect(texts.nth(0)).to_have_text("a toad on a stone")
    expect(texts.nth(1)).to_have_text("no caption")  # and not the words: it is not trained
    assert values["settings"] == {"flip_aug": True, "keep_tokens": 2} and not values.get("concepts")


def test_an_option_of_a_concept_goes_back_to_that_of_the_training(open_page, place):
    page = open_page(place.address)
    first_concept(page, place)
    add_toads(page, place)
    card = page.locator("[data-concept]").nth(1)
    card.get_by_text("Options of this concept").click()
    field(page, "concepts.0.settings.keep_tokens").fill("3")
    page.locator(".lt-advanced > summary").click()
    page.locator("#lt-search").fill("keep_tokens")
    field(page, "keep_tokens").fill("1")
    card.locator('[data-name="concepts.0.settings.keep_tokens"] .lt-reset').click()
    expect(field(page, "concepts.0.settings.keep_tokens")).to_have_value("1")
    assert "settings" not in sent(page)["concepts"][0]


def test_pictures_dropped_onto_a_concept_are_its_own(open_page, place, frogs, drop):
    page = open_page(place.address)
    drop(page, frogs[:2])
    expect(page.locator(".lt-tile")).to_have_count(2)
    page.get_by_role("button", name="Add a concept").click()
    drop(page, frogs[2:5], place="[data-concept] ~ [data-concept] .lt-drop")
    cards = page.locator("[data-concept]")
    expect(cards.nth(0).locator(".lt-tile")).to_have_count(2)
    expect(cards.nth(1).locator(".lt-tile")).to_have_count(3)
    values = sent(page)
    assert values["image_dir"] != values["concepts"][0]["image_dir"]
    cards.nth(1).get_by_label("Remove frog_03.png").click()
    expect(cards.nth(1).locator(".lt-tile")).to_have_count(2)
    expect(cards.nth(0).locator(".lt-tile")).to_have_count(2)


def test_a_named_folder_in_kohyas_form_is_taken_apart_by_a_press(open_page, place):
    page = open_page(place.address)
    name_folder(page, "image_dir", place.folder / "kohya")
    page.get_by_role("button", name="Make concepts of them").click()
    expect(page.locator("[data-concept]")).to_have_count(2)
    expect(field(page, "identifier")).to_have_value("sks")
    expect(field(page, "num_repeats")).to_have_value("10")
    expect(field(page, "concepts.0.class_name")).to_have_value("dog")
    expect(page.locator(".lt-main")).to_contain_text("4_abc dog: 4 repeats")
    field(page, "concepts.0.reg_dir").fill(str(place.folder / "kohya reg"))
    page.get_by_role("button", name="Use them").click()
    expect(field(page, "reg_dir")).to_have_value(str(place.folder / "kohya reg" / "1_frog"))
    expect(field(page, "concepts.0.reg_dir")).to_have_value("")


def test_a_dropped_folder_in_kohyas_form_becomes_concepts_with_uploads_of_their_own(open_page, place, tmp_path):
    page = open_page(place.address)
    page.evaluate(
        """async (png) => {
            const file = (name) => new File([Uint8Array.from(atob(png), (c) => c.charCodeAt(0))], name, {type: "image/png"});
            const leaf = (name) => ({isFile: true, name, file: (done) => done(file(name))});
            const folder = (name, inside) => ({isFile: false, isDirectory: true, name, createReader: () => {
                const parts = [inside, []];
                return {readEntries: (done) => done(parts.shift())};
            }});
            const root = folder("project", [
                folder("img", [
                    folder("10_sks frog", [leaf("1.png"), leaf("2.png")]), folder("3_abc dog", [leaf("1.png")]),
                    leaf("stray.png"),
                ]),
                folder("reg", [folder("2_frog", [leaf("1.png")])]),
            ]);
            const event = new DragEvent("drop", {bubbles: true, cancelable: true, dataTransfer: new DataTransfer()});
            const data = {types: ["Files"], items: [{webkitGetAsEntry: () => root}], files: []};
            Object.defineProperty(event, "dataTransfer", {value: data});
            document.querySelector(".lt-drop").dispatchEvent(event);
        }""",
        png_of(place),
    )
    cards = page.locator("[data-concept]")
    expect(cards).to_have_count(2)
    expect(cards.nth(0).locator(".lt-tile")).to_have_count(2)
    expect(cards.nth(1).locator(".lt-tile")).to_have_count(1)
    expect(page.locator(".lt-main")).to_contain_text("2_frog: regularisation images of “frog”, 2 repeats")
    expect(page.locator(".lt-main")).to_contain_text("project/img/stray.png")
    expect(field(page, "reg_dir")).not_to_have_value("")
    values = sent(page)
    assert (values["identifier"], values["reg_repeats"], values["concepts"][0]["identifier"]) == ("sks", 2, "abc")
    uploads = [[path.name for path in sorted(Path(folder).iterdir())] for folder in (values["image_dir"], values["reg_dir"])]
    assert uploads == [["1.png", "2.png"], ["1.png"]], "each folder is an upload of its own, and names stay"

    for name in ("5_xyz cat", "2_qwe owl"):  # the same for a parent folder that is chosen for a concept that was added
        (tmp_path / "mine" / name).mkdir(parents=True)
        (tmp_path / "mine" / name / "1.png").write_bytes(base64.b64decode(png_of(place)))
    page.get_by_role("button", name="Add a concept").click()
    expect(cards).to_have_count(3)
    cards.nth(2).locator("input[webkitdirectory]").set_input_files(tmp_path / "mine")
    expect(cards).to_have_count(4)
    expect(cards.nth(3).locator(".lt-tile")).to_have_count(1)
    expect(cards.nth(2).locator(".lt-tile")).to_have_count(1)
    told = [(one["identifier"], one["class_name"], one["num_repeats"]) for one in sent(page)["concepts"][1:]]
    assert sorted(told) == [("qwe", "owl", 2), ("xyz", "cat", 5)]


def png_of(place) -> str:
    return base64.b64encode(next(place.images.glob("*.png")).read_bytes()).decode()


def test_the_list_is_saved_as_a_data_set_file_which_fills_it_again(open_page, place, drop):
    page = open_page(place.address)
    first_concept(page, place)
    add_toads(page, place)
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as a data set file").click()
    assert saved.value.suggested_filename == "dataset.toml"
    target = place.folder / "saved.toml"
    saved.value.save_as(target)
    other = open_page(place.address)
    drop(other, [target])
    expect(field(other, "concepts.0.class_name")).to_have_value("toad")
    expect(field(other, "class_name")).to_have_value("frog")
    expect(other.locator(".lt-recreated")).to_contain_text("saved.toml")


@pytest.fixture
def drawing(place, tmp_path):
    """The process that draws pictures is one that draws nothing."""
    place.service.host.python = fake_python(tmp_path / "bin")
    yield place
    place.service.generation.release_card()


def test_regularisation_pictures_are_made_by_a_press_and_their_folder_is_taken(open_page, drawing):
    page = open_page(drawing.address)
    first_concept(page, drawing)
    expect(page.locator(".lt-plan-total")).to_be_visible()
    page.get_by_text("Make regularisation pictures").click()
    part = page.locator(".lt-reg")
    expect(part).to_contain_text("An epoch has 40 places for them; 0 are there.")
    part.get_by_label("Pictures").fill("abc")
    expect(part.get_by_text("A whole number is expected here.")).to_be_visible()
    expect(part.get_by_role("button", name="Make 40 pictures")).to_be_disabled()
    part.get_by_label("Pictures").fill("12")
    part.get_by_role("button", name="Make 12 pictures").click()
    expect(field(page, "reg_dir")).to_have_value(str(drawing.folder / "user" / "regularisation" / "base" / "frog"))
    expect(part).to_contain_text("12 are there")
    told = page.locator(".lt-finding[data-code=reg_few]")
    expect(told).to_contain_text("12 regularisation images fill 40 places: each is used about 3.3 times")


def test_a_change_in_another_tab_is_said_and_either_counts(open_page, place):
    page = open_page(place.address)
    other = page.context.new_page()
    other.goto(place.address)
    other.wait_for_selector(".lt-tabs")
    expect(field(other, "identifier")).to_be_visible()
    field(page, "identifier").fill("sls")
    notice = other.locator(".lt-other-tab")
    expect(notice).to_contain_text("changed in another tab")
    notice.get_by_role("button", name="Take its settings").click()
    expect(field(other, "identifier")).to_have_value("sls")
    expect(other.locator(".lt-other-tab")).to_be_hidden()
    field(other, "identifier").fill("abc")
    expect(page.locator(".lt-other-tab")).to_be_visible()
    page.get_by_role("button", name="Keep these", exact=True).click()
    expect(page.locator(".lt-other-tab")).to_be_hidden()
    expect(field(page, "identifier")).to_have_value("sls")
    expect(other.locator(".lt-other-tab")).to_be_visible()
    for window, own in ((other, "abc"), (page, "sls")):  # what was typed in a window survives its reload
        window.reload()
        expect(field(window, "identifier")).to_have_value(own)


@pytest.mark.parametrize("view", ["runs", "tools"])
def test_pictures_dropped_while_another_view_is_shown_are_taken_by_the_form(open_page, place, frogs, drop, view):
    page = open_page(f"{place.address}#lora-{view}")
    expect(page.locator(f"#lt-tab-{view}")).to_have_attribute("aria-selected", "true")
    drop(page, frogs[:2], place="#lt-panel")
    expect(page.locator("#lt-tab-train")).to_have_attribute("aria-selected", "true")
    expect(page.locator(".lt-tile")).to_have_count(2)
