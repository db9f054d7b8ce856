"""The host answers late, or tells news while one is writing: what was typed, chosen or painted meanwhile stays."""

from __future__ import annotations

import re

import pytest

from .conftest import MODULE
from .data_sets import folder_of_links
from .editing import choose
from .real_api import running
from .test_data_view import opened

expect = pytest.importorskip("playwright.sync_api").expect


class Held:
    """Requests that wait until they are let go."""

    def __init__(self, page, pattern):
        self.page, self.pattern, self.routes, self.is_open = page, pattern, [], False
        page.route(pattern, self._hold)

    def _hold(self, route):
        if self.is_open:
            route.fallback()
        else:
            self.routes.append(route)

    def come(self):
        """Wait until there is one."""
        for _ in range(2000):
            if self.routes:
                return self
            self.page.wait_for_timeout(20)
        raise AssertionError(f"nothing asked for {self.pattern}")

    def go(self):
        self.is_open = True
        for route in self.routes:
            route.continue_()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("late")
    with running(folder) as here:
        folder_of_links(folder / "frogs", 8)
        yield here


def test_what_is_typed_while_the_growing_file_is_renewed_stays(open_page, address, api):
    live = {"name": "frog-live", "step": 40, "prompt": "frog <lora:frog-live:0.8>", "generate": {}, "every": 10, "keep": False}
    run = api.add_run("r1", step=41, live=live)
    page = open_page(address + "#lora-run=r1")
    card, every = page.locator(".lt-live"), page.get_by_label("Renew every … steps")
    expect(every).to_have_value("10")
    every.press("Control+a")
    page.keyboard.type("2")
    run["live"] = {**live, "step": 50}
    expect(card).to_contain_text("As it was at step 50.")
    page.keyboard.type("5")
    expect(every).to_be_focused()
    expect(every).to_have_value("25")
    every.press("Enter")
    expect(every).to_have_value("25")
    for _ in range(200):
        if any(path.endswith("/live") for path, _ in api.posted):
            break
        page.wait_for_timeout(20)
    assert [body for path, body in api.posted if path.endswith("/live")] == [{"every": 25}]


def test_a_list_that_comes_late_and_a_tool_that_ends_leave_the_forms_alone(open_page, address, api):
    api.loras = [{"name": "frog", "path": "/l", "bytes": 1, "modified": 2, "activation": "", "weight": 0.8}]
    page = open_page(address)
    loras = Held(page, "**/api/loras")
    page.click("#lt-tab-generate")
    loras.come()
    weight = page.get_by_label("Weight")
    weight.fill("0.5")
    loras.go()
    expect(page.get_by_label("Add a LoRA").locator("select")).to_have_value("frog")
    expect(weight).to_have_value("0.5")

    page.click("#lt-tab-tools")
    page.locator(".lt-tool-choice", has_text="Change the rank").click()
    page.locator("#lt-tool-model").select_option("frog.safetensors")
    output = page.locator("#lt-tool-output")
    output.fill("first")
    job = Held(page, "**/api/tools/t1")
    page.get_by_role("button", name="Run", exact=True).click()
    job.come()
    output.fill("second one")
    output.evaluate("(input) => { input.setSelectionRange(6, 6); input.mine = true; }")
    job.go()
    expect(page.locator(".lt-tool-file")).to_contain_text("first.safetensors")
    expect(page.locator("#lt-tool-model option")).to_have_count(3)  # the new file can be chosen
    expect(page.locator("#lt-tool-model")).to_have_value("frog.safetensors")
    page.keyboard.type(" good")
    expect(output).to_have_value("second good one")
    assert output.evaluate("(input) => input.mine"), "it is the field that one was writing in"


def test_the_form_keeps_the_preset_and_the_folder_that_were_chosen_and_the_caption_that_was_written(
    open_page, place, frogs, drop
):
    page = open_page(place.address)
    held = Held(page, "**/api/presets/default")
    page.get_by_role("button", name="Start with this one").click()
    held.come()
    page.locator(".lt-preset").nth(1).click()
    chosen = page.locator(".lt-preset input:checked").get_attribute("value")
    held.go()
    expect(page.locator(".lt-preset").nth(0)).to_contain_text("default")
    expect(page.locator(".lt-preset input:checked")).to_have_value(chosen)

    drop(page, frogs[:3])
    expect(page.locator(".lt-tile")).to_have_count(3)
    page.locator("button.lt-tile-text").first.click()
    dialog = page.locator(".lt-caption-dialog")
    dialog.get_by_role("textbox").fill("one")
    held = Held(page, "**/caption")
    dialog.get_by_role("button", name="Save").click()
    held.come()
    dialog.get_by_role("textbox").fill("one, two")
    held.go()
    expect(page.locator(".lt-tile-text").first).to_have_text("one")
    expect(dialog.get_by_role("textbox")).to_have_value("one, two")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0)
    expect(page.locator(".lt-tile-text").first).to_have_text("one, two")

    held = Held(page, "**/delete")
    page.locator(".lt-tile-remove").first.click()
    held.come()
    page.get_by_text("Use a folder on this machine").click()
    page.fill("#lt-image_dir", str(place.images))
    held.go()
    expect(page.locator(".lt-tile")).to_have_count(4)
    page.wait_for_timeout(300)
    expect(page.locator("#lt-image_dir")).to_have_value(str(place.images))
    script = f'async () => {{ {MODULE} return (await module("train/values.js")).values.get("image_dir"); }}'
    assert page.evaluate(script) == str(place.images)


def test_a_folder_that_is_named_while_dropped_pictures_are_on_their_way_stays(open_page, place, frogs, drop):
    page = open_page(place.address)
    held = Held(page, "**/api/uploads")
    drop(page, frogs[:1])
    held.come()
    page.get_by_text("Use a folder on this machine").click()
    page.fill("#lt-image_dir", str(place.images))
    held.go()
    expect(page.locator(".lt-toast")).to_contain_text("A folder was named meanwhile")
    expect(page.locator(".lt-tile")).to_have_count(4)
    expect(page.locator("#lt-image_dir")).to_have_value(str(place.images))


def test_in_a_data_set_nothing_is_done_unseen_and_the_filter_and_the_mask_go_on(open_page, place):
    page = opened(open_page, place, place.folder / "frogs")
    page.keyboard.press("Control+a")
    page.locator(".lt-segment", has_text="Many at once").click()
    tags = page.locator("#lt-data-edit-tags")
    tags.fill("pond")
    expect(page.get_by_role("button", name=re.compile("^Change . captions"))).to_be_enabled()
    edits = Held(page, "**/edit")
    tags.evaluate("""(input) => {  // faster than it is looked at
        input.value = "pond, frog";
        input.dispatchEvent(new Event("input", {bubbles: true}));
        input.form.requestSubmit();
    }""")
    expect(page.locator(".lt-data-preview ins").first).to_contain_text("frog")
    assert edits.routes == []
    edits.go()

    queries = Held(page, "**/query")
    page.get_by_label("Order", exact=True).select_option("tokens")
    queries.come()
    page.locator("#lt-data-filter").evaluate("""(input) => {
        input.focus();
        input.value = "rain";
        input.dispatchEvent(new Event("input", {bubbles: true}));
        input.blur();
    }""")
    queries.go()
    expect(page.locator(".lt-data-count")).to_have_text("2 of 8")
    expect(page.locator("#lt-data-filter")).to_have_value("rain")
    page.locator("#lt-data-filter").fill("")
    expect(page.locator(".lt-data-count")).to_have_text("8 pictures")

    choose(page, 0)
    page.locator(".lt-segment", has_text="Caption").click()
    page.get_by_role("button", name="Paint a mask").click()
    board = page.locator("canvas.lt-data-mask")
    expect(page.locator(".lt-data-crop [role=status]")).to_contain_text("%")
    board.press("Space")
    edits = Held(page, "**/edit")
    page.get_by_role("button", name="Save the mask").click()
    edits.come()
    board.press("i")
    with page.expect_response("**/edit"):
        edits.go()
    save = page.get_by_role("button", name="Save the mask")
    expect(save).to_be_enabled()
    expect(save).not_to_have_attribute("aria-busy", "true")  # one save after the other
    with page.expect_response("**/edit"):
        board.press("Enter")
    expect(page.locator(".lt-data-crop")).to_have_count(0)


def test_a_chosen_model_whose_file_is_gone_is_told_at_its_field_before_the_host_has_checked(open_page, address, api):
    page = open_page(address)
    name = "pretrained_model_name_or_path"
    page.locator(f"#lt-{name}").select_option(index=2)
    page.locator("#lt-class_name").fill("frog")
    gone = api.checkpoints.pop()
    held = Held(page, "**/api/check")
    page.reload()
    held.come()
    wrong = page.locator(f"#lt-{name}-wrong")
    expect(wrong).to_contain_text("not in the folder of base models any more")
    assert page.get_by_role("textbox", name="Base model: Type a path…").input_value() == gone["path"], "it can be put back"
    page.locator(f"#lt-{name}").select_option(index=1)
    held.go()
    expect(wrong).to_be_hidden()
