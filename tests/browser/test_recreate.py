"""A file fills the form, presets are kept, variants are queued, runs stand side by side: the page over the real routes."""

from __future__ import annotations

import json
import re

import pytest
import toml

from lora_trainer import __version__
from lora_trainer.networks.files import file_hashes
from lora_trainer.runs.events import RunReporter

from .frogs import frog, png
from .real_api import lora, running

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect


@pytest.fixture
def place(tmp_path):
    with running(tmp_path) as found:
        yield found


def kohya_lora(place, **more):
    short, whole = file_hashes(place.model)
    metadata = {
        "ss_network_module": "networks.lora", "ss_network_dim": "24", "ss_network_alpha": "12.0", "ss_learning_rate": "0.0003",
        "ss_sd_model_name": "elsewhere.safetensors", "ss_sd_model_hash": short, "ss_new_sd_model_hash": whole,
        "ss_dataset_dirs": json.dumps({"7_sls toad": {"n_repeats": 7, "img_count": 12}}),
        "ss_network_args": '{"algo": "nothing"}',
        "ss_min_snr_gamma": "5.0", "ss_noise_offset": "very loud", **more,
    }  # fmt: skip
    return lora(place.folder / "toad.safetensors", metadata)


def choose_file(page, path) -> None:
    page.set_input_files(".lt-recreate input[type=file]", path)


def test_a_dropped_lora_fills_the_form_and_what_is_missing_is_told(open_page, place, drop):
    page = open_page(place.address)
    page.fill("#lt-identifier", "before")
    drop(page, [kohya_lora(place)])  # over the place of the images, as people do
    panel = page.locator(".lt-recreated")
    expect(panel.locator("h3")).to_contain_text("Settings of toad.safetensors kohya-ss")
    expect(panel.locator("h3")).to_be_focused()
    expect(page.locator("#lt-identifier")).to_have_value("sls")
    expect(page.locator("#lt-class_name")).to_have_value("toad")
    expect(page.locator("#lt-pretrained_model_name_or_path")).to_have_value(str(place.model))  # by its hash
    expect(page.locator("#lt-network_dim")).to_have_value("24")
    expect(panel.locator(".lt-note-warning")).to_contain_text("7_sls toad, which had 12 pictures, is not here")
    panel.locator("summary", has_text="left out").click()
    expect(panel.locator("tr", has_text="ss_noise_offset")).to_contain_text("very loud")
    panel.locator("summary", has_text="command line").click()
    panel.locator("summary", has_text="config.toml").click()
    expect(panel.locator("pre").first).to_contain_text("network_dim = 24")
    panel.get_by_role("button", name="Go to").first.click()  # to the images
    expect(page.locator(".lt-drop button").first).to_be_focused()
    panel.get_by_role("button", name="Take it back").click()
    expect(page.locator("#lt-identifier")).to_have_value("before")
    expect(panel).to_be_hidden()


def test_pictures_come_with_a_lora_and_stay_when_its_settings_are_taken_back(open_page, place, drop):
    page = open_page(place.address)
    page.fill("#lt-identifier", "before")
    pictures = sorted(place.images.iterdir())
    drop(page, [kohya_lora(place), *pictures[:2]], place=".lt-plan")  # not at the place of the images
    expect(page.locator(".lt-recreated h3")).to_contain_text("toad.safetensors")
    expect(page.locator(".lt-tile")).to_have_count(len({one.stem for one in pictures[:2]}))
    page.locator(".lt-recreated").get_by_role("button", name="Take it back").click()
    expect(page.locator("#lt-identifier")).to_have_value("before")
    expect(page.locator(".lt-drop")).to_contain_text("Drop more here")
    expect(page.locator(".lt-tile")).to_have_count(len({one.stem for one in pictures[:2]}))


def test_what_stands_where_pictures_are_uploaded_is_what_is_there(open_page, place, drop):
    page = open_page(place.address)
    fill_form(page, place)
    expect(page.locator(".lt-tile")).to_have_count(4)
    page.get_by_role("button", name="Upload instead").click()
    expect(page.locator(".lt-tile")).to_have_count(0)
    expect(page.locator(".lt-drop")).to_contain_text("Drop images or a folder here")
    page.get_by_role("button", name="Use a folder on this machine").click()
    expect(page.locator(".lt-tile")).to_have_count(4)
    expect(page.locator("#lt-image_dir")).to_have_value(str(place.images))
    drop(page, [place.images / "frog_01.png"], place=".lt-header")
    expect(page.locator(".lt-tile")).to_have_count(1)
    expect(page.locator(".lt-drop")).to_contain_text("Drop more here")


def test_a_name_that_is_taken_is_written_as_the_file_will_be_called(open_page, place):
    folder = place.service.paths.lora_dir
    folder.mkdir(exist_ok=True)
    lora(folder / "ring one.safetensors", {})
    page = open_page(place.address)
    fill_form(page, place)
    page.fill("#lt-output_name", "ring one")
    expect(page.locator(".lt-example code")).to_have_text("sls frog <lora:ring one-2:0.8>")
    page.get_by_label("Overwrite it").check()
    expect(page.locator(".lt-example code")).to_have_text("sls frog <lora:ring one:0.8>")
    expect(page.get_by_label("Overwrite it")).to_be_checked()


def test_a_configuration_is_read_in_korean_too_and_a_file_that_is_none_is_said(open_page, place):
    (place.folder / "gui.json").write_text(
        json.dumps({"LoRA_type": "LyCORIS/iA3", "max_resolution": "256,256", "optimizer": "AdamW", "lr_warmup": 0, "epoch": 3})
    )
    page = open_page(place.address, language="ko-KR")
    choose_file(page, place.folder / "gui.json")
    panel = page.locator(".lt-recreated")
    expect(panel.locator(".lt-note-warning")).to_contain_text("여기서 학습하지 않습니다")
    assert not re.search(r"[A-Za-z]{3,} [a-z]{2,} [a-z]{2,}", panel.locator(".lt-note-warning").first.inner_text())
    (place.folder / "bad.json").write_text('{"a": 1}')
    choose_file(page, place.folder / "bad.json")
    expect(page.locator(".lt-toast-error")).to_contain_text("bad.json")


def test_whether_it_is_the_same_run_again_is_told(open_page, place):
    from lora_trainer.api import drafts
    from lora_trainer.data.plan import make_plan
    from lora_trainer.data.plan.digest import data_record
    from lora_trainer.networks import recipe
    from lora_trainer.options import flat

    values = {
        "pretrained_model_name_or_path": str(place.model), "image_dir": str(place.images), "identifier": "sls",
        "class_name": "frog", "output_name": "frog", "resolution": "64", "max_train_steps": 20,
    }  # fmt: skip
    made = drafts.files(drafts.read({"values": values}), place.folder, "frog")
    told = recipe.texts(
        made.options,
        seed=42,
        data=data_record(make_plan(made.data), flat(made.options)),
        versions={"lora_trainer": __version__},
    )
    uploads = place.folder / "user" / "uploads" / "20260101-000000-abcdef"
    uploads.parent.mkdir(parents=True, exist_ok=True)
    place.images.rename(uploads)  # what was dropped once is found again, by its content
    page = open_page(place.address)
    choose_file(page, lora(place.folder / "frog.safetensors", told))
    panel = page.locator(".lt-recreated")
    expect(panel.locator("h3")).to_contain_text("LoRA Trainer")
    expect(page.locator(".lt-tile")).to_have_count(4)
    panel.get_by_role("button", name="Is it the same run again?").click()
    expect(panel.locator(".lt-sameness .lt-note")).to_contain_text("The same data and the same settings")
    page.fill("#lt-network_dim", "4")
    (uploads / "frog_01.png").write_bytes(png(frog(99, 64, 64)))
    panel.get_by_role("button", name="Is it the same run again?").click()
    expect(panel.locator(".lt-sameness .lt-note")).to_contain_text("Not the same run")
    expect(panel.locator(".lt-sameness")).to_contain_text("The pictures or captions are others.")
    expect(panel.locator(".lt-sameness li")).to_contain_text("16 → 4")


def test_presets_are_kept_renamed_made_the_default_exported_and_deleted(open_page, place):
    page = open_page(place.address)
    page.fill("#lt-network_dim", "24")
    expect(page.locator(".lt-preset-changes summary")).to_contain_text("Settings that differ from “Character”: 1")
    page.get_by_role("button", name="Keep these settings…").click()
    page.locator("#lt-preset-name").fill("a/b")
    page.keyboard.press("Enter")
    expect(page.locator("#lt-preset-problem")).to_contain_text("a character that a file name cannot have")
    page.locator("#lt-preset-name").fill("night")
    page.keyboard.press("Enter")
    mine = page.locator(".lt-preset", has_text="night")
    expect(mine.locator("input")).to_be_checked()
    expect(page.locator("#lt-network_dim")).to_have_value("24")
    expect(page.locator(".lt-preset-changes")).to_be_hidden()  # nothing differs from it
    page.get_by_role("button", name="Rename…").click()
    page.locator("#lt-preset-name").fill("late night")
    page.keyboard.press("Enter")
    expect(page.locator(".lt-preset", has_text="late night").locator("input")).to_be_checked()
    page.get_by_role("button", name="Start with this one", exact=True).click()
    expect(page.locator(".lt-preset", has_text="late night")).to_contain_text("default")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export").click()
    exported = place.folder / "export.json"
    download.value.save_as(exported)
    assert json.loads(exported.read_text())["values"]["network_dim"] == 24
    page.evaluate("localStorage.clear()")
    page.reload()  # a new visitor starts from the default
    expect(page.locator("#lt-network_dim")).to_have_value("24")
    page.get_by_role("button", name="Delete", exact=True).click()
    page.locator("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator(".lt-preset", has_text="late night")).to_have_count(0)
    expect(page.locator("#lt-network_dim")).to_have_value("24")  # what the form holds stays
    choose_file(page, exported)
    expect(page.locator(".lt-recreated h3")).to_contain_text("late night")
    expect(page.locator(".lt-preset", has_text="late night").locator("input")).to_be_checked()


def fill_form(page, place) -> None:
    page.get_by_role("button", name="Use a folder on this machine").click()
    page.fill("#lt-image_dir", str(place.images))
    page.fill("#lt-identifier", "sls")
    page.fill("#lt-class_name", "frog")
    page.fill("#lt-resolution", "64")


def test_variants_are_named_and_queued_with_one_click(open_page, place):
    page = open_page(place.address)
    fill_form(page, place)
    page.locator(".lt-variants summary").click()
    page.fill("#lt-variants-values", "1e-4\n3e-4\nmuch")
    expect(page.locator(".lt-variants-list")).to_contain_text("is not a number")
    expect(page.get_by_role("button", name="Queue 3 trainings")).to_be_disabled()
    page.fill("#lt-variants-values", "1e-4\n3e-4\n1e-3")
    expect(page.locator(".lt-variants-list code")).to_have_text(["sls_frog-lr-1e-4", "sls_frog-lr-3e-4", "sls_frog-lr-0.001"])
    page.fill("#lt-variants-values", "1e-4, 3e-4,1e-3")  # on one line as well
    expect(page.locator(".lt-variants-list code")).to_have_text(["sls_frog-lr-1e-4", "sls_frog-lr-3e-4", "sls_frog-lr-0.001"])
    page.fill("#lt-variants-values", "0,5")  # a decimal comma
    expect(page.get_by_role("button", name="Queue the trainings")).to_be_disabled()
    page.fill("#lt-variants-values", "1e-4, 3e-4,1e-3")
    page.locator("#lt-variants-option").select_option("lr_scheduler")
    page.locator(".lt-variants-values").get_by_label("cosine", exact=True).check()
    page.locator(".lt-variants-values").get_by_label("constant", exact=True).check()
    expect(page.locator(".lt-variants-list code")).to_have_count(2)
    page.locator("#lt-variants-option").select_option("learning_rate")
    page.get_by_role("button", name="Queue 3 trainings").click()
    expect(page).to_have_url(re.compile("#lora-runs$"))
    expect(page.locator(".lt-run-title strong")).to_have_text(["sls_frog-lr-1e-4", "sls_frog-lr-3e-4", "sls_frog-lr-0.001"])


def test_runs_stand_side_by_side(open_page, place):
    page = open_page(place.address)
    fill_form(page, place)
    page.locator(".lt-variants summary").click()
    page.fill("#lt-variants-values", "1e-4\n3e-4")
    page.get_by_role("button", name="Queue 2 trainings").click()
    expect(page.locator(".lt-run-title")).to_have_count(2)
    for number, run in enumerate(place.service.store.queue(), 1):
        reporter = RunReporter(place.service.supervisor.folder(run.id).path)
        config = toml.load(reporter.folder.config)
        config.setdefault("training", {})["deterministic"] = number == 2
        reporter.folder.config.write_text(toml.dumps(config))
        for step in range(1, 301):
            loss = 0.08 + 0.1 * number / (1 + step / 40)
            reporter.emit({"type": "step", "step": step, "epoch": 1, "loss": loss, "lr": {"unet": number * 1e-4}})
            if step % 100 == 0:
                reporter.emit({"type": "validation", "step": step, "loss": 0.1 + abs(200 - step) * number / 1e4})
                path = reporter.folder.samples / f"s{step}.png"
                path.write_bytes(png(frog(number * 7 + step, 64, 64)))
                reporter.emit({"type": "sample", "path": str(path), "step": step, "prompt": "a sls frog", "seed": 1})
    button = page.get_by_role("button", name=re.compile("Compare( .)? runs"))
    expect(button).to_have_text("Compare runs")
    expect(button).to_be_disabled()
    for box in page.locator(".lt-run-box").all():
        box.check()
    button.click()
    view = page.locator(".lt-compare")
    expect(view.locator(".lt-chart-keys li")).to_have_count(2)
    rows = view.locator("section", has_text="Settings that differ").locator("tbody tr")
    expect(rows.filter(has_text="Learning rate").first).to_contain_text("0.0001")
    expect(rows.filter(has_text="Learning rate").first).to_contain_text("0.0003")
    switched = rows.filter(has=page.locator("th[title=deterministic]")).locator("td")
    assert sorted(switched.all_inner_texts()) == ["no", "yes"]
    heights = view.locator(".lt-scroll").evaluate_all("(boxes) => boxes.map((one) => one.scrollHeight - one.clientHeight)")
    assert heights == [0] * len(heights), "a box within the page is scrolled"
    expect(view.locator(".lt-compare-samples img")).to_have_count(2)
    expect(view.locator("section").first.locator("tbody tr").first).to_contain_text("0.1 at step 200")  # its best validation
    canvas = view.locator(".lt-chart-canvas")
    canvas.focus()
    page.keyboard.press("End")
    expect(view.locator(".lt-chart-tip strong")).to_have_text("Step 300")
    expect(view.locator(".lt-chart-tip tbody tr")).to_have_count(2)
    assert "sls_frog-lr-1e-4" in canvas.get_attribute("aria-label")
    slider = view.locator("input[aria-labelledby=lt-compare-step]")
    slider.focus()
    page.keyboard.press("Home")
    expect(view.locator("#lt-compare-step")).to_have_text("Samples at step 100")
    page.reload()  # the address names them
    expect(page.locator(".lt-compare .lt-chart-keys li")).to_have_count(2)
    page.get_by_role("button", name="All runs").click()
    expect(page.locator(".lt-run-title")).to_have_count(2)


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_page(open_page, place, width):
    page = open_page(place.address, width=width)
    choose_file(page, kohya_lora(place))
    page.locator(".lt-recreated summary").first.click()
    page.locator(".lt-variants summary").click()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
