"""Each view in front of the real program, started with an empty data folder as on the first day: no part is replaced."""

from __future__ import annotations

import base64
import re
import shutil
from pathlib import Path

import pytest

from lora_trainer.hosts.standalone import DEMO_TITLE

from ..training.conftest import Recorder, make_images, short_training
from .conftest import MODULE
from .program import running

expect = pytest.importorskip("playwright.sync_api").expect
pytest.importorskip("torch")
TABS = ("train", "data", "runs", "generate", "tools")


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """(address, data folder) of one program for all tests here: each takes away what it has put there."""
    with running(tmp_path_factory.mktemp("fresh")) as started:
        yield started


@pytest.fixture
def xl_first(program, tiny_model):
    """Two base models in the folder, of which the first in the list is one of SDXL."""
    folder = program[1] / "models"
    placed = [
        shutil.copy(tiny_model(family), folder / name) for name, family in (("a.safetensors", "sdxl"), ("b.safetensors", "sd1"))
    ]
    yield placed
    for path in placed:
        path.unlink()


def describe(page, frogs, drop, *, identifier: str = "sls") -> None:
    drop(page, frogs)
    page.fill("#lt-identifier", identifier)
    page.fill("#lt-class_name", "frog")


def expect_answers(page) -> None:
    """The form is alive: the name follows the words, and the host's check is shown."""
    expect(page.locator("#lt-output_name")).to_have_value("sls_frog")
    expect(page.locator(".lt-plan-total")).to_contain_text("total steps", timeout=300_000)
    expect(page.locator(".lt-table tbody tr")).to_have_text(re.compile(r"sls frog.*8"))


MODEL, PRESET = "#lt-pretrained_model_name_or_path", ".lt-preset input:checked"


def test_the_form_answers_on_the_first_start_and_asks_for_a_model(program, open_page, frogs, drop):
    page = open_page(program[0])
    describe(page, frogs, drop)
    expect_answers(page)
    asked = page.get_by_role("region", name="First of all: a base model")
    expect(asked).to_contain_text(str(program[1] / "models"))
    expect(asked.get_by_role("link")).to_have_count(2)
    expect(page.locator(MODEL)).to_have_value("")
    expect(page.locator(".lt-reasons")).to_contain_text("Choose a base model.")
    expect(page.locator(".lt-btn-train")).to_be_disabled()


def test_a_model_put_into_the_folder_is_found_without_a_reload(program, open_page, frogs, drop, tiny_sd1):
    page = open_page(program[0])
    describe(page, frogs, drop)
    page.click("text=Look again")
    expect(page.locator(".lt-toast-error")).to_contain_text("still no base model")
    placed = shutil.copy(tiny_sd1, program[1] / "models" / "found.safetensors")
    try:
        page.click("text=Look again")
        expect(page.locator(MODEL)).to_have_value(str(placed))
        expect(page.locator(".lt-no-model")).to_have_count(0)
        expect_answers(page)
    finally:
        placed.unlink()


def test_own_pictures_are_trained_on_the_demo_model_only_after_a_question(program, open_page, frogs, drop):
    page = open_page(program[0])
    describe(page, frogs, drop)
    page.select_option(MODEL, label=DEMO_TITLE)
    expect(page.locator("#lt-pretrained_model_name_or_path-wrong")).to_contain_text("of use with no other model")
    expect(page.locator(".lt-btn-train")).to_be_enabled(timeout=300_000)
    page.click(".lt-btn-train")
    expect(page.get_by_role("dialog")).to_contain_text("Train on it all the same?")
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.locator(MODEL)).to_be_focused()
    page.click("#lt-tab-runs")
    expect(page.locator(".lt-runs")).to_contain_text("Nothing has been trained yet.")


def test_an_xl_model_brings_its_preset_and_takes_it_away_again(program, xl_first, open_page):
    page = open_page(program[0])
    expect(page.locator(PRESET)).to_have_value("character_sdxl")
    expect(page.locator("#lt-resolution")).to_have_value("1024")
    page.fill("#lt-network_dim", "24")
    page.select_option(MODEL, label="b.safetensors")
    expect(page.locator(PRESET)).to_have_value("character")
    expect(page.locator("#lt-network_dim")).to_have_value("24")  # what the person set stays
    expect(page.locator("#lt-resolution")).to_have_value("512")
    page.locator(".lt-preset", has_text="Style").click()
    page.select_option(MODEL, label="a.safetensors")
    expect(page.locator(PRESET)).to_have_value("character_sdxl")
    page.locator(".lt-preset", has_text="Style").click()  # the person's own choice, which a reload leaves alone
    expect(page.locator(".lt-plan")).to_be_visible()
    page.reload()
    expect(page.locator("#lt-pretrained_model_name_or_path")).to_have_value(str(xl_first[0]))
    with page.expect_response("**/api/check"):
        page.fill("#lt-network_dim", "32")
    expect(page.locator(PRESET)).to_have_value("style")


def test_the_form_answers_with_a_model_of_another_size_first_in_the_list(program, xl_first, open_page, frogs, drop):
    page = open_page(program[0])
    expect(page.locator("#lt-pretrained_model_name_or_path")).to_have_value(str(xl_first[0]))
    expect(page.locator("#lt-resolution")).to_have_value("1024")
    describe(page, frogs, drop)
    expect_answers(page)
    expect(page.locator(".lt-plan")).to_contain_text("a Stable Diffusion XL model")
    expect(page.locator(".lt-btn-train")).to_be_enabled(timeout=300_000)


def test_every_view_answers_after_it_was_left_and_entered_again(program, xl_first, open_page, frogs, drop):
    page = open_page(program[0])
    for tab in (*TABS, *TABS):
        page.click(f"#lt-tab-{tab}")
    expect(page.locator(".lt-tool-choice").first).to_be_visible()
    page.locator(".lt-tool-choice").nth(1).click()
    expect(page.locator(".lt-tools h2").first).to_have_text(page.locator(".lt-tool-choice strong").nth(1).inner_text())
    page.click("#lt-tab-runs")
    expect(page.locator(".lt-runs")).to_contain_text("Nothing has been trained yet.")
    page.click("#lt-tab-generate")
    page.select_option("#lt-g-checkpoint", label="b.safetensors")
    expect(page.locator("#lt-g-width")).to_have_value("512")
    page.click("#lt-tab-train")
    describe(page, frogs, drop)
    expect_answers(page)
    expect(page.locator(".lt-btn-train")).to_be_enabled(timeout=300_000)
    page.click("#lt-tab-tools")
    page.click("#lt-tab-train")
    page.fill("#lt-identifier", "ohwx")
    expect(page.locator("#lt-output_name")).to_have_value("ohwx_frog")
    expect(page.locator(".lt-table tbody tr")).to_have_text(re.compile("ohwx frog"))


def test_what_is_dropped_is_kept_or_refused_by_name(program, open_page, frogs, drop, tmp_path):
    def copied(name: str, of=None):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(of.read_bytes() if of else b"%PDF-1.4")
        return path

    page = open_page(program[0])
    drop(
        page,
        [
            copied("a.Png", frogs[0]),
            copied("b.pdf"),
            copied("c.gif"),
            copied("a.TXT", frogs[-1]),
            copied("lonely.txt", frogs[-1]),
        ],
    )
    expect(page.locator(".lt-tile")).to_have_count(1)
    expect(page.locator(".lt-tile")).to_contain_text("photo of sls frog")
    notes = page.locator(".lt-images .lt-note")
    expect(notes.first).to_contain_text(re.compile(r"Not taken: b\.pdf .*c\.gif"))
    expect(notes.last).to_contain_text("not used: lonely.txt")
    drop(page, [copied("other/a.png", frogs[1]), copied("other/a.txt", frogs[-2])])
    expect(page.locator(".lt-tile")).to_have_count(2)
    expect(notes.first).to_contain_text(re.compile(r"a\.png \(There is another picture called a: this is kept as a-2\.png\.\)"))
    drop(page, [copied("only.pdf")])
    expect(notes.first).to_contain_text("Not taken: only.pdf")
    page.get_by_text("Use a folder on this machine").first.click()
    expect(notes.filter(has_text="only.pdf")).to_have_count(0)  # it is said of the drop alone
    page.get_by_text("Upload instead").first.click()
    expect(page.locator(".lt-tile")).to_have_count(2)


def test_a_folder_with_one_name_in_two_places_keeps_both(program, open_page, frogs):
    page = open_page(program[0])
    page.evaluate(TWO_FOLDERS, [{"data": base64.b64encode(path.read_bytes()).decode()} for path in frogs[:2]])
    expect(page.locator(".lt-tile")).to_have_count(2)
    expect(page.locator("#lt-identifier")).to_have_value("sls")


TWO_FOLDERS = """([first, second]) => {
    const file = (one) => new File([Uint8Array.from(atob(one.data), (c) => c.charCodeAt(0))], "1.png", {type: "image/png"});
    const entry = (one) => ({isFile: true, name: "1.png", file: (done) => done(file(one))});
    const folder = (name, inside) => ({isDirectory: true, name, createReader: () => {
        const parts = [inside, []];
        return {readEntries: (done) => done(parts.shift())};
    }});
    const root = folder("10_sls frog", [folder("green", [entry(first)]), folder("red", [entry(second)])]);
    const event = new DragEvent("drop", {bubbles: true, cancelable: true});
    const value = {types: ["Files"], items: [{webkitGetAsEntry: () => root}], files: []};
    Object.defineProperty(event, "dataTransfer", {value});
    document.querySelector(".lt-drop").dispatchEvent(event);
}"""


def test_a_drop_goes_on_while_another_view_is_shown(program, open_page, frogs, drop):
    page = open_page(program[0])
    held, is_open = [], []
    page.route("**/api/uploads", lambda route: route.continue_() if is_open else held.append(route))
    drop(page, frogs)
    page.wait_for_function("async () => {" + MODULE + """return (await module("train/transfer.js")).transfer.isBusy(); }""")
    page.click("#lt-tab-runs")
    page.click("#lt-tab-train")
    expect(page.locator(".lt-reasons")).to_contain_text("Wait for the upload.")
    expect(page.locator(".lt-upload-progress")).to_be_visible()
    drop(page, [frogs[0]])  # a second drop waits for the first
    is_open.append(True)
    held[0].continue_()
    expect(page.locator(".lt-tile")).to_have_count(8)
    expect(page.locator(".lt-upload-progress")).to_be_hidden()
    expect(page.locator(".lt-reasons")).not_to_contain_text("Wait for the upload.")


def test_what_a_run_trains_from_is_left_as_it_is_by_every_button(program, open_page, frogs, drop):
    page = open_page(program[0])
    drop(page, frogs[:3])
    expect(page.locator(".lt-tile")).to_have_count(3)
    uploads = program[1] / "uploads"
    run = program[1] / "runs" / "kept"
    run.mkdir(parents=True)
    shown, seen = page.locator("#lt-image_dir"), []

    def expect_another(tiles: int) -> None:
        expect(page.locator(".lt-tile")).to_have_count(tiles)
        if seen:
            expect(shown).not_to_have_value(seen[-1])
        seen.append(shown.input_value())
        (run / "dataset.toml").write_text("".join(f"# {folder}\n" for folder in seen), encoding="utf-8")

    def contents():
        return [{path.name: path.read_bytes() for path in Path(one).glob("[!.]*")} for one in seen]

    try:
        expect_another(3)
        first = contents()
        drop(page, [frogs[3]])
        expect_another(4)
        page.locator(".lt-tile-remove").first.click()
        expect_another(3)
        page.locator(".lt-tile-text").first.click()
        page.get_by_role("dialog").get_by_role("textbox").fill("a frog on a leaf")
        page.get_by_role("dialog").get_by_role("button", name="Save").click()
        expect(page.locator(".lt-tile-text").first).to_have_text("a frog on a leaf")
        expect_another(3)
        before = contents()
        page.get_by_role("button", name="Remove all").click()
        page.get_by_role("dialog").get_by_role("button", name="Remove all").click()
        expect(page.locator(".lt-tile")).to_have_count(0)
        assert contents() == before and before[:1] == first and [len(one) for one in before] == [3, 4, 3, 4]
        drop(page, [frogs[4]])
        expect_another(1)
        assert len(list(uploads.glob("*/"))) >= 5
    finally:
        shutil.rmtree(run)


ENGLISH = re.compile(r"[A-Za-z]+(?: [a-z]+){3,}")  # four words of a sentence


def test_a_korean_page_says_everything_in_korean(program, open_page, frogs, drop, tmp_path):
    page = open_page(program[0], language="ko-KR")
    expect(page.locator("html")).to_have_attribute("lang", "ko")
    describe(page, frogs, drop)
    (tmp_path / "two.png").write_bytes(frogs[0].read_bytes())
    (tmp_path / "two.txt").write_text("a frog\non a leaf")
    (tmp_path / "alone.txt").write_text("a frog")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    drop(page, sorted(tmp_path.iterdir()))
    expect(page.locator(".lt-images .lt-note", has_text="broken.png")).to_be_visible()
    page.fill("#lt-resolution", "63")
    expect(page.locator("body")).to_contain_text("64에서 8192픽셀 사이여야 합니다", timeout=30_000)
    expect(page.locator("body")).to_contain_text("어느 이미지에도 맞지 않아 쓰이지 않습니다")
    text = page.locator(".lt-app").inner_text()
    assert [said for said in ENGLISH.findall(text) if not said.startswith("photo of")] == []  # what the frogs' captions say
    assert "--resolution" not in text
    page.locator("#lt-language").select_option("en")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.locator("body")).to_contain_text("have to be between 64 and 8192 pixels", timeout=30_000)


def test_a_lora_that_was_trained_fills_the_form_of_the_program(program, open_page, drop, tiny_sd1, tmp_path):
    from lora_trainer.training.train import train

    make_images(tmp_path / "data" / "3_sls frog", 2)
    chosen = {"network_dim": 3, "min_snr_gamma": 4.0, "output_name": "again"}
    path = train(short_training(tiny_sd1, tmp_path / "data", tmp_path / "out", **chosen), reporter=Recorder()).path
    model = shutil.copy(tiny_sd1, program[1] / "models" / tiny_sd1.name)
    page = open_page(program[0])
    drop(page, [path])
    panel = page.locator(".lt-recreated")
    expect(panel.locator("h3")).to_contain_text("again.safetensors LoRA Trainer")
    expect(panel.locator(".lt-note-warning")).to_have_count(1)
    expect(panel.locator(".lt-note-warning")).to_contain_text("The folder 3_sls frog, which had 2 pictures, is not here.")
    expect(page.locator(MODEL)).to_have_value(str(model))
    expect(page.locator("#lt-network_dim")).to_have_value("3")
    expect(page.locator("#lt-identifier")).to_have_value("sls")
    page.get_by_role("button", name="Keep these settings…").click()
    page.fill("#lt-preset-name", "small")
    page.keyboard.press("Enter")
    expect(page.locator(PRESET)).to_have_value("own:small")
    assert (program[1] / "presets" / "small.json").is_file()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.locator("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator(PRESET)).not_to_have_value("own:small")
    assert not (program[1] / "presets" / "small.json").exists()
    model.unlink()
