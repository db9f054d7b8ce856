"""The train view, with canned answers behind it."""

from __future__ import annotations

import re

import pytest

expect = pytest.importorskip("playwright.sync_api").expect


def describe(page, frogs, drop) -> None:
    """The three decisions."""
    drop(page, frogs)
    page.fill("#lt-identifier", "sls")
    page.fill("#lt-class_name", "frog")


def test_three_decisions_and_one_click_start_a_run(open_page, address, api, frogs, drop):
    page = open_page(address)
    expect(page.locator(".lt-btn-train")).to_be_disabled()
    expect(page.locator(".lt-reasons")).to_contain_text("Add images first.")
    describe(page, frogs, drop)
    expect(page.locator("#lt-output_name")).to_have_value("sls_frog")  # suggested from the words
    expect(page.locator(".lt-btn-train")).to_be_enabled()
    page.click(".lt-btn-train")
    expect(page).to_have_url(re.compile("#lora-run=r1$"))
    expect(page.locator(".lt-run-page h1")).to_have_text("sls_frog")
    (sent,) = [body["values"] for path, body in api.posted if path == "runs"]
    assert sent["image_dir"] == "/uploads/up1" and sent["identifier"] == "sls" and sent["class_name"] == "frog"
    assert sent["pretrained_model_name_or_path"] == "/models/v1-5-pruned-emaonly.safetensors"
    assert sent["network_dim"] == 16 and sent["text_encoder_lr"] == 5e-5  # of the preset Character


def test_dropped_files_are_paired_with_captions_by_name(open_page, address, api, frogs, drop):
    page = open_page(address)
    images, captions = frogs[:8], frogs[8:]
    drop(page, [*images, *captions[:-1]])
    expect(page.locator(".lt-tile")).to_have_count(8)
    expect(page.locator(".lt-tile").first).to_contain_text("photo of sls frog on a leaf")
    expect(page.locator(".lt-missing")).to_have_count(1)
    expect(page.locator(".lt-images-head")).to_contain_text("1 without a caption")
    drop(page, [captions[-1]])
    expect(page.locator(".lt-images-head")).to_contain_text("all have a caption")
    assert len(api.files) == 8 and len(api.captions) == 8


def test_a_dropped_folder_is_walked_and_its_name_understood(open_page, address, api, frogs, drop):
    page = open_page(address)
    drop(page, frogs, folder="20_sls frog")
    expect(page.locator(".lt-tile")).to_have_count(8)
    expect(page.locator("#lt-identifier")).to_have_value("sls")
    expect(page.locator("#lt-class_name")).to_have_value("frog")
    expect(page.locator("#lt-output_name")).to_have_value("sls_frog")
    expect(page.locator(".lt-table tbody")).to_contain_text("20")  # repeats


def test_an_image_can_be_removed_and_its_caption_edited(open_page, address, api, frogs, drop):
    page = open_page(address)
    drop(page, frogs)
    page.get_by_label("Remove frog_01.png").click()
    expect(page.locator(".lt-tile")).to_have_count(7)
    page.get_by_label("Edit the caption of frog_02.png").click()
    dialog = page.get_by_role("dialog", name="Caption of frog_02.png")
    dialog.get_by_role("textbox").fill("sls frog asleep")
    refused = {"error": {"message": "The disk is full.", "problems": []}}
    page.route("**/caption", lambda route: route.fulfill(status=507, json=refused))
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_contain_text("The disk is full.")  # and what was written is still there
    page.unroute("**/caption")
    dialog.get_by_role("textbox").press("Control+Enter")
    expect(dialog).to_have_count(0)
    expect(page.locator(".lt-tile").first).to_contain_text("sls frog asleep")
    assert api.captions["frog_02"] == "sls frog asleep"


def test_what_is_wrong_is_shown_at_its_field(open_page, address, frogs, drop):
    page = open_page(address)
    describe(page, frogs, drop)
    expect(page.locator("#lt-resolution-wrong")).to_be_hidden()
    page.fill("#lt-resolution", "500")
    expect(page.locator("#lt-resolution-wrong")).to_contain_text("not divisible by 64")
    expect(page.locator("#lt-resolution")).to_have_attribute("aria-invalid", "true")
    expect(page.locator(".lt-btn-train")).to_be_disabled()
    page.fill("#lt-network_dim", "many")  # not even a number: said without asking the host
    expect(page.locator("#lt-network_dim-wrong")).to_have_text("A whole number is expected here.")
    page.fill("#lt-network_dim", "0")
    expect(page.locator("#lt-network_dim-wrong")).to_have_text("The smallest value is 1.")
    page.locator(".lt-reasons button", has_text="Rank").click()
    expect(page.locator("#lt-network_dim")).to_be_focused()
    page.fill("#lt-network_dim", "8")
    page.fill("#lt-resolution", "768")
    expect(page.locator(".lt-btn-train")).to_be_enabled()
    page.fill("#lt-output_name", "../evil")
    expect(page.locator("#lt-output_name-wrong")).to_contain_text("a character that a file name cannot have")
    expect(page.locator(".lt-btn-train")).to_be_disabled()


def test_a_folder_of_this_machine_that_is_missing_is_refused(open_page, address):
    page = open_page(address)
    page.click("text=Use a folder on this machine")
    page.fill("#lt-image_dir", "/no/such/folder")
    expect(page.locator("#lt-image_dir-wrong")).to_contain_text("does not exist")


def test_search_finds_options_by_name_and_by_help(open_page, address):
    page = open_page(address)
    page.click(".lt-advanced > summary")
    search = page.locator("#lt-search")
    search.fill("min_snr")
    expect(page.locator(".lt-section .lt-field:visible")).to_have_count(1)
    expect(page.locator("#lt-min_snr_gamma")).to_have_value("5")
    search.fill("left to right")  # words of flip_aug's help
    expect(page.locator(".lt-section .lt-field:visible")).to_have_count(1)
    expect(page.locator("#lt-flip_aug")).to_be_visible()
    search.fill("zzz")
    expect(page.locator(".lt-search-found")).to_have_text("No option matches “zzz”.")
    search.press("Escape")
    expect(search).to_have_value("")
    expect(page.locator(".lt-section:visible")).not_to_have_count(0)
    expect(page.locator(".lt-section .lt-field:visible")).to_have_count(1)  # what is trained, which stands open from the start
    expect(page.locator("#lt-trains")).to_be_visible()


def test_a_changed_value_is_marked_and_can_be_reset(open_page, address, api, frogs, drop):
    page = open_page(address)
    describe(page, frogs, drop)
    page.fill("#lt-learning_rate", "2e-4")
    field = page.locator('.lt-field[data-name="learning_rate"]')
    expect(field).to_have_class(re.compile("lt-changed"))
    page.get_by_label("Reset Learning rate to 1e-4").click()
    expect(page.locator("#lt-learning_rate")).to_have_value("1e-4")
    expect(field).not_to_have_class(re.compile("lt-changed"))
    page.locator(".lt-preset", has_text="Style").click()
    expect(page.locator("#lt-network_dim")).to_have_value("32")
    expect(page.locator("#lt-max_train_steps")).to_have_value("2000")
    expect(page.locator("#lt-identifier")).to_have_value("sls")  # a preset leaves the person's own words alone
    expect(page.locator(".lt-plan-total")).to_have_text("2,000 total steps")


def test_a_path_can_be_typed_in_place_of_a_listed_model_and_a_file_that_is_none_is_not_chosen_by_itself(
    open_page, address, api
):
    api.checkpoints = [{**one, "problem": "no model"} for one in api.checkpoints[:1]] + api.checkpoints[1:]
    page = open_page(address, width=800, height=600)
    reasons = page.locator(".lt-reasons")
    expect(reasons.locator("li")).to_have_count(2)
    assert reasons.evaluate("(one) => one.scrollHeight <= one.clientHeight"), "no line of it is cut"
    name = "#lt-pretrained_model_name_or_path"
    expect(page.locator(name)).to_have_value(api.checkpoints[1]["path"])
    page.locator(name).select_option(label="Type a path…")
    typed = page.get_by_role("textbox", name="Base model: Type a path…")
    expect(typed).to_be_focused()
    page.locator("#lt-class_name").fill("frog")  # looked elsewhere meanwhile: it is still there
    typed.fill("/elsewhere/own.safetensors")
    page.locator("#lt-class_name").fill("toad")
    expect(typed).to_have_value("/elsewhere/own.safetensors")
    page.locator(name).select_option(index=1)
    expect(typed).to_be_hidden()


def test_the_resolution_follows_the_model_until_the_person_chooses(open_page, address, api):
    small, large = ({"title": f"{n}.safetensors", "path": f"/models/{n}.safetensors", "side": n} for n in (768, 1024))
    api.checkpoints += [small, large]
    page = open_page(address)
    resolution, model = page.locator("#lt-resolution"), page.locator("#lt-pretrained_model_name_or_path")
    for path, expected in ((large["path"], "1024"), (small["path"], "768"), (api.checkpoints[1]["path"], "512")):
        model.select_option(path)
        expect(resolution).to_have_value(expected)
    resolution.fill("640")
    model.select_option(large["path"])
    expect(model).to_have_value(large["path"])
    expect(resolution).to_have_value("640")


def test_the_plan_says_what_will_be_trained(open_page, address, frogs, drop):
    page = open_page(address)
    describe(page, frogs, drop)
    plan = page.locator(".lt-plan")
    expect(plan).to_contain_text("1,500 total steps")
    expect(plan.locator(".lt-table tbody tr")).to_have_text(re.compile("sls frog.*8.*10.*8"))
    expect(plan.locator(".lt-buckets")).to_contain_text("384×576")
    plan.get_by_text("Show as command line and TOML").click()
    expect(plan.locator(".lt-recipe pre").first).to_contain_text("train_network --config_file")


def test_a_draft_survives_a_reload(open_page, address, frogs, drop):
    page = open_page(address)
    describe(page, frogs, drop)
    page.fill("#lt-network_dim", "24")
    expect(page.locator(".lt-btn-train")).to_be_enabled()
    page.reload()
    expect(page.locator("#lt-identifier")).to_have_value("sls")
    expect(page.locator("#lt-network_dim")).to_have_value("24")
    expect(page.locator(".lt-tile")).to_have_count(8)
    expect(page.locator(".lt-btn-train")).to_be_enabled()


def test_a_key_is_sent_and_neither_shown_nor_kept(open_page, address, api, frogs, drop):
    page = open_page(address)
    describe(page, frogs, drop)
    page.click(".lt-advanced > summary")
    field = page.locator("#lt-huggingface_token")
    if not field.is_visible():
        page.get_by_text("Hugging Face upload", exact=True).click()
    field.fill("hf_THEKEY")
    assert field.get_attribute("type") == "password"
    assert "hf_THEKEY" not in page.evaluate("JSON.stringify(localStorage)") + page.locator("#lora_trainer_root").inner_text()
    page.click(".lt-btn-train")
    expect(page).to_have_url(re.compile("#lora-run=r1$"))
    (sent,) = [body["values"] for path, body in api.posted if path == "runs"]
    assert sent["huggingface_token"] == "hf_THEKEY"
    page.reload()
    assert "hf_THEKEY" not in page.evaluate("JSON.stringify(localStorage)")


def test_the_keyboard_alone_is_enough(open_page, address, api, frogs, drop):
    page = open_page(address)
    drop(page, frogs)
    expect(page.locator(".lt-tile")).to_have_count(8)
    page.locator("#lt-tab-train").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#lt-tab-data")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#lt-tab-runs")).to_be_focused()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        now = page.evaluate("document.activeElement.id")
        if now == "lt-identifier":
            page.keyboard.type("sls")
        if now == "lt-class_name":
            page.keyboard.type("frog")
            page.keyboard.press("Enter")  # Enter in a line of text starts nothing
        if now and now not in reached:
            reached.append(now)
        if now == "lt-learning_rate":
            break
    own = [name for name in reached if name.startswith("lt-") and "tab" not in name and name != "lt-language"]
    assert own[:3] == ["lt-identifier", "lt-class_name", "lt-output_name"], "the focus follows the order on the page"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid", "the focus can be seen"
    assert not [path for path, _ in api.posted if path == "runs"]
    expect(page.locator(".lt-btn-train")).to_be_enabled()
    page.keyboard.press("Control+Enter")
    expect(page.locator(".lt-run-page h1")).to_have_text("sls_frog")


@pytest.mark.parametrize("view", ["train", "runs", "generate", "run"])
def test_a_phone_needs_no_sideways_scrolling(open_page, address, api, frogs, drop, view):
    api.add_run("r9", step=0, name="a_name_that_is_rather_long_for_a_phone_but_allowed_all_the_same")
    api.advance("r9", 300)
    api.add_sample("r9", 300)
    page = open_page(address + ("#lora-run=r9" if view == "run" else f"#lora-{view}"), width=390, height=844)
    if view == "train":
        describe(page, frogs, drop)
        expect(page.locator(".lt-btn-train")).to_be_enabled()
        page.click(".lt-advanced > summary")
        page.locator(".lt-section > summary").first.click()
        assert page.locator(".lt-btn-train").is_visible()
        box = page.locator(".lt-btn-train").bounding_box()
        assert box["y"] + box["height"] <= 844, "the button stays in view"
    else:
        page.wait_for_selector({"runs": ".lt-run", "generate": "#lt-g-prompt", "run": ".lt-chart-canvas"}[view])
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    wide = page.evaluate(
        "[...document.querySelectorAll('.lt-app *')].filter((e) => e.getBoundingClientRect().right > 391"
        " && !e.closest('.lt-offscreen, .lt-table, pre')).map((e) => e.className)"
    )
    assert not wide


def test_korean_by_the_browsers_language_and_by_choice(open_page, address):
    page = open_page(address, language="ko-KR")
    expect(page.locator(".lt-card h2").first).to_have_text("학습할 이미지")
    expect(page.locator('label[for="lt-identifier"]')).to_have_text("식별자")
    page.select_option(".lt-language", "en")
    expect(page.locator(".lt-card h2").first).to_have_text("Your images")
    page.reload()
    expect(page.locator(".lt-card h2").first).to_have_text("Your images")


def test_what_the_host_is_missing_stands_on_top(open_page, address, api):
    api.problems = [
        {"field": "", "level": "error", "message": "diffusers is missing.", "advice": "Run install.py.", "where": ""}
    ]
    page = open_page(address)
    expect(page.locator(".lt-problems")).to_contain_text("diffusers is missing.")
    expect(page.locator(".lt-problems")).to_contain_text("Run install.py.")


def test_the_page_waits_for_a_host_that_is_just_starting(open_page, address, api):
    api.slow_start = 3
    page = open_page(address, wait=False)
    expect(page.locator(".lt-tabs")).to_be_visible()


def test_a_lost_connection_is_said_and_mended(open_page, address, api):
    page = open_page(address + "#lora-runs")
    api.add_run("r1")
    expect(page.locator(".lt-run")).to_have_count(1)
    api.is_gone = True
    expect(page.locator(".lt-banner")).to_be_visible()
    expect(page.locator(".lt-banner")).to_contain_text("Connection lost")
    api.is_gone = False
    api.add_run("r2")
    expect(page.locator(".lt-run")).to_have_count(2)
    expect(page.locator(".lt-banner")).to_be_hidden()


def test_the_images_that_are_not_shown_are_counted_and_said(open_page, address, api, frogs, drop):
    api.shown = 3
    page = open_page(address)
    drop(page, frogs)
    expect(page.locator(".lt-images-head strong")).to_have_text("8 images")
    expect(page.locator(".lt-tile")).to_have_count(3)
    expect(page.locator(".lt-tiles-rest")).to_contain_text("5 more images of this folder are not shown here")
    expect(page.locator(".lt-images-head .lt-chip")).to_have_count(0)  # nobody looked at all captions


def test_a_problem_of_one_file_names_it_at_the_field_and_at_the_button(open_page, address, api, frogs, drop):
    said = {"level": "error", "field": "caption_source", "message": "the caption is empty.", "advice": "Write one."}
    api.found = [{**said, "where": where} for where in ("/uploads/up1/강아지 2.txt", "C:\\cats\\b.txt", "/uploads/up1")]
    api.found.append({**said, "message": "/a/c.txt: the caption is long.", "where": "/a/c.txt"})
    page = open_page(address)
    describe(page, frogs, drop)
    lines = ["강아지 2.txt: the caption", "b.txt: the caption", "The caption", "c.txt: the caption"]
    told = [f"{line} is empty. Write one." for line in lines[:3]] + [f"{lines[3]} is long. Write one."]
    expect(page.locator("#lt-caption_source-wrong")).to_have_text(" ".join(told))
    expect(page.locator(".lt-reasons")).to_contain_text(": 강아지 2.txt: the caption is empty.")


@pytest.mark.parametrize("size", ["1024", "512"])
def test_a_size_that_the_person_chose_survives_a_tab_a_reload_and_being_taken_from_a_run(
    open_page, address, api, frogs, drop, size
):
    """Also one that another model in the list has as its own, and the one that the preset says."""
    others = [{"title": f"{n}.safetensors", "path": f"/models/{n}.safetensors", "side": n} for n in (768, 1024)]
    api.checkpoints += others
    page = open_page(address)
    describe(page, frogs, drop)
    resolution, model = page.locator("#lt-resolution"), page.locator("#lt-pretrained_model_name_or_path")
    model.select_option(others[0]["path"])
    expect(resolution).to_have_value("768")
    resolution.fill(size)
    for leave in (lambda: page.click("#lt-tab-runs"), lambda: page.reload()):
        leave()
        page.click("#lt-tab-train")
        expect(model).to_have_value(others[0]["path"])
        expect(resolution).to_have_value(size)
    page.click(".lt-btn-train")
    expect(page).to_have_url(re.compile("#lora-run=r1$"))
    (sent,) = [body["values"] for path, body in api.posted if path == "runs"]
    assert sent["resolution"] == size
    page.click("#lt-tab-train")
    resolution.fill("640")
    api.runs["r1"]["values"] = sent
    page.goto(f"{address}#lora-run=r1")
    page.click("text=Use these settings again")
    expect(resolution).to_have_value(size)
    page.click("#lt-tab-runs")
    page.click("#lt-tab-train")
    expect(resolution).to_have_value(size)


def test_a_package_that_the_optimizer_lacks_is_fetched_when_the_person_agrees(open_page, address, api):
    api.package = {"name": "prodigyopt", "version": "1.1.2", "bytes": 11000, "purpose": "x", "optimizers": ["Prodigy"]}
    page = open_page(address)
    offer = page.locator(".lt-package")
    expect(offer).to_contain_text("prodigyopt 1.1.2")
    asked = lambda: [path for path, _ in api.posted if path.startswith("packages")]  # noqa: E731
    offer.get_by_role("button", name="Install prodigyopt").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert asked() == [], "nothing is fetched without consent"
    offer.get_by_role("button", name="Install prodigyopt").click()
    expect(page.get_by_role("dialog")).to_contain_text("no other package is changed")
    page.get_by_role("dialog").get_by_role("button", name="Install").click()
    expect(offer.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "50")
    offer.get_by_role("button", name="Cancel").click()
    expect(offer.get_by_role("button", name="Install prodigyopt")).to_be_visible()
    offer.get_by_role("button", name="Install prodigyopt").click()
    page.get_by_role("dialog").get_by_role("button", name="Install").click()
    expect(offer.get_by_role("progressbar")).to_be_visible()
    api.package, api.fetching["state"] = None, "finished"
    expect(offer).to_be_hidden()
    assert asked() == ["packages", "packages/p1/stop", "packages"]
