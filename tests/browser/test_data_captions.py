"""The caption of a picture on the data set page: written, saved by itself, and never lost to what happens meanwhile."""

from __future__ import annotations

import re

import pytest

from .data_sets import folder_of_links
from .editing import caption, choose, expect_caption
from .test_data_view import opened

expect = pytest.importorskip("playwright.sync_api").expect


@pytest.fixture
def frogs(tmp_path):
    return folder_of_links(tmp_path / "frogs", 8)


def test_chips_are_added_moved_written_anew_and_taken_away_and_all_of_it_is_undone(open_page, place, frogs):
    page = opened(open_page, place, frogs)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("t")
    adder = page.get_by_role("combobox", name="Add a tag")
    expect(adder).to_be_focused()
    adder.press_sequentially("ond")  # any part of a tag that is known
    expect(page.locator(".lt-data-suggestions li").first).to_have_text(re.compile("^pond"))
    adder.press("ArrowDown")
    adder.press("Enter")
    expect_caption(page, frogs, 0, "sls frog, on a leaf, green, pond")
    chips = page.locator(".lt-data-chips [data-at]")
    chips.nth(3).focus()
    page.keyboard.press("Alt+ArrowLeft")
    expect_caption(page, frogs, 0, "sls frog, on a leaf, pond, green")
    expect(chips.nth(2)).to_be_focused()
    page.locator(".lt-data-chip").nth(3).drag_to(page.locator(".lt-data-chip").nth(1), target_position={"x": 4, "y": 8})
    expect_caption(page, frogs, 0, "sls frog, green, on a leaf, pond")
    chips.nth(1).focus()
    page.keyboard.press("Enter")
    page.keyboard.type("bright green")
    page.keyboard.press("Enter")
    expect_caption(page, frogs, 0, "sls frog, bright green, on a leaf, pond")
    page.keyboard.press("Delete")
    expect_caption(page, frogs, 0, "sls frog, on a leaf, pond")
    page.keyboard.press("Escape")
    said = page.locator(".lt-data-saved")
    expect(said).to_have_text(re.compile("^Saved · "))
    for _ in range(5):
        page.keyboard.press("Control+z")
    expect_caption(page, frogs, 0, "sls frog, on a leaf, green")
    expect(said).to_have_text(re.compile("^Undone · "))
    page.keyboard.press("Control+y")
    expect_caption(page, frogs, 0, "sls frog, on a leaf, green, pond")
    expect(said).to_have_text(re.compile("^Done again · "))


def test_a_tag_that_was_typed_and_not_entered_stays_with_the_pictures_it_was_typed_for(open_page, place, frogs):
    page = opened(open_page, place, frogs)
    before = [caption(frogs, index) for index in range(4)]
    page.keyboard.press("ArrowRight")
    page.keyboard.press("t")
    page.keyboard.type("cloud")
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowRight")
    adder = page.get_by_role("combobox", name="Add a tag")
    expect(adder).to_have_value("")
    expect_caption(page, frogs, 0, f"{before[0]}, cloud")
    adder.fill("rain")
    choose(page, 2)  # with the mouse
    expect(adder).to_have_value("")
    expect_caption(page, frogs, 1, f"{before[1]}, rain")
    choose(page, 3, modifiers=["Shift"])
    adder = page.locator(".lt-data-caption-panel").get_by_role("combobox", name="Add a tag")
    adder.fill("fog")  # for two of them
    choose(page, 0)
    expect_caption(page, frogs, 3, f"{before[3]}, fog")
    expect_caption(page, frogs, 2, f"{before[2]}, fog")
    assert caption(frogs, 0) == f"{before[0]}, cloud"
    expect(adder).to_have_value("")


def test_counts_follow_each_change_and_the_form_counts_what_the_plan_counts(open_page, place, frogs):
    broken, whole = frogs / "frog_00007.png", (frogs / "frog_00007.png").read_bytes()
    broken.unlink()
    broken.write_bytes(whole[: len(whole) // 2])
    (frogs / "frog_00000.txt").unlink()
    page = opened(open_page, place, frogs)
    chip = page.locator(".lt-data-looks .lt-chip", has_text="no caption")
    expect(chip).to_have_text("no caption1")
    choose(page, 6)
    page.locator(".lt-data-grid").press("x")
    expect(page.locator(".lt-data-looks .lt-chip", has_text="left out")).to_have_text("left out1")
    choose(page, 0)
    page.keyboard.press("t")
    page.keyboard.type("sls frog,")
    expect(chip).to_have_count(0)
    page.get_by_role("button", name="Train with it").click()
    head = page.locator(".lt-images-head")
    expect(head).to_contain_text("6 images")
    expect(head).to_contain_text("1 cannot be read")
    expect(head).to_contain_text("1 left out")
    expect(page.locator(".lt-plan-cells dd").first).to_have_text("6")
    expect(page.locator(".lt-tile-out")).to_have_count(1)
    expect(page.locator(".lt-tile-bad")).to_have_count(1)
    expect(page.locator(".lt-tile-bad img")).to_have_count(0)


def test_what_is_changed_while_the_change_before_it_is_read_back_stays_as_it_is_under_the_hand(open_page, place, frogs):
    page = opened(open_page, place, frogs)
    page.keyboard.press("ArrowRight")
    chips = page.locator(".lt-data-chips [data-at]")
    expect(chips).to_have_text(["sls frog", "on a leaf", "green"])
    held = []
    page.route("**/rows", lambda route: held.append(route))
    chips.nth(2).focus()
    page.keyboard.press("Alt+ArrowLeft")
    expect_caption(page, frogs, 0, "sls frog, green, on a leaf")
    chips.nth(1).focus()
    page.keyboard.press("Enter")
    page.keyboard.type("bright green")
    page.keyboard.press("Enter")
    for _ in range(100):
        if held:
            break
        page.wait_for_timeout(50)
    with page.expect_response("**/rows"):
        held[0].continue_()  # how it was before the second change
    page.wait_for_timeout(100)
    expect(chips).to_have_text(["sls frog", "bright green", "on a leaf"])
    expect(chips.nth(1)).to_be_focused()
    page.keyboard.press("Delete")
    page.unroute("**/rows")  # and those that are held go on
    expect_caption(page, frogs, 0, "sls frog, on a leaf")
    expect(chips).to_have_text(["sls frog", "on a leaf"])
    expect(chips.nth(1)).to_be_focused()


def test_text_is_saved_by_itself_with_all_its_lines(open_page, place, frogs):
    page = opened(open_page, place, frogs, language="ko-KR")
    choose(page, 3)
    page.keyboard.press("Enter")
    area = page.locator(".lt-data-text")  # a sentence is no row of tags
    expect(area).to_be_focused()
    area.fill("초록 개구리가 앉아 있다. 비가 온다.\n\nsecond line, too")
    expect_caption(page, frogs, 3, "초록 개구리가 앉아 있다. 비가 온다.\n\nsecond line, too")
    area.press("End")
    area.press_sequentially("!")
    area.press("Escape")  # what was written last is not lost on the way to another picture
    page.keyboard.press("ArrowRight")
    expect_caption(page, frogs, 3, "초록 개구리가 앉아 있다. 비가 온다.\n\nsecond line, too!")
    choose(page, 3)
    page.locator(".lt-data-edit .lt-segment", has_text="태그").click()
    expect(page.locator(".lt-data-lines")).to_have_text("second line, too!")
    page.get_by_role("combobox", name="태그 추가").fill("연못,")
    expect_caption(page, frogs, 3, "초록 개구리가 앉아 있다. 비가 온다., 연못\n\nsecond line, too!")


def test_what_was_written_while_the_host_was_away_is_saved_when_it_is_back(open_page, place, frogs):
    page = opened(open_page, place, frogs)
    choose(page, 3)
    page.route("**/edit", lambda route: route.abort())
    page.locator(".lt-data-text").fill("Written meanwhile. Here.")
    choose(page, 4)
    expect(page.locator(".lt-data-saved")).to_contain_text("Not saved yet")
    assert caption(frogs, 3) == "a frog sits. It looks at the sky."
    page.unroute("**/edit")
    expect_caption(page, frogs, 3, "Written meanwhile. Here.")

    refused = {"error": {"message": "The disk is full.", "problems": []}}
    page.route("**/edit", lambda route: route.fulfill(status=507, json=refused))
    choose(page, 7)
    page.locator(".lt-data-text").fill("Not saved. At first.")
    choose(page, 4)
    note = page.locator(".lt-data-held")
    expect(note).to_contain_text("The disk is full.")
    expect(note.locator("q")).to_have_text("Not saved. At first.")
    page.unroute("**/edit")
    page.click("#lt-tab-runs")
    page.click("#lt-tab-data")
    note.get_by_role("button", name="Try again").click()
    expect_caption(page, frogs, 7, "Not saved. At first.")
    expect(note).to_have_count(0)


def test_what_was_written_just_before_the_page_is_loaded_anew_is_saved_after_it(open_page, place, frogs):
    page = opened(open_page, place, frogs)
    choose(page, 3)
    page.route("**/edit", lambda route: route.abort())  # the host is being loaded anew, too
    page.locator(".lt-data-text").fill("Written last. Here.")
    page.reload()
    expect(page.locator(".lt-data-tile").first).to_be_visible()
    page.unroute("**/edit")
    expect_caption(page, frogs, 3, "Written last. Here.")
    assert page.evaluate("localStorage.getItem('lora-trainer.data.unsaved')") == "[]"


def test_what_is_too_long_to_be_read_is_struck_through(open_page, place, tmp_path):
    long = ", ".join(f"very long detail number {number}" for number in range(20))
    page = opened(open_page, place, folder_of_links(tmp_path / "long", 1, (long,)))
    page.keyboard.press("ArrowRight")
    expect(page.locator(".lt-data-tokens")).to_have_text("129 of 75 tokens")
    expect(page.locator(".lt-data-cut")).to_have_count(8)
    expect(page.locator(".lt-data-lost s")).to_contain_text("detail number 19")


def test_what_changed_on_the_disk_meanwhile_is_not_overwritten_unasked(open_page, place, frogs):
    page = opened(open_page, place, frogs)
    choose(page, 3)
    area = page.locator(".lt-data-text")
    area.fill("mine. written here")
    (frogs / "frog_00003.txt").unlink()
    (frogs / "frog_00003.txt").write_text("theirs")
    area.press("Escape")
    note = page.locator(".lt-note", has_text="changed on the disk")
    expect(note).to_contain_text("theirs")
    expect(note).to_contain_text("mine. written here")
    assert caption(frogs, 3) == "theirs"
    expect(note.get_by_role("button", name="The others alone")).to_have_count(0)  # there are none
    choose(page, 5)
    page.locator(".lt-data-grid").press("4")  # what is done besides takes nothing away
    expect(page.locator(".lt-data-saved")).to_have_text(re.compile("^Saved · "))
    note.get_by_role("button", name="Take what the file holds").click()
    kept = page.locator(".lt-data-held", has_text="What you wrote is still here")
    expect(kept).to_contain_text("mine. written here")
    page.reload()
    expect(note).to_contain_text("mine. written here")  # it is asked again, and nothing is lost
    assert caption(frogs, 3) == "theirs"
    note.get_by_role("button", name="Take what the file holds").click()
    kept.get_by_role("button", name="Save mine after all").click()
    expect_caption(page, frogs, 3, "mine. written here")
    expect(page.locator(".lt-data-held")).to_have_count(0)


def test_what_a_run_trains_from_stays_and_the_form_goes_on_with_the_copy_that_was_changed(open_page, place, frogs, drop):
    page = open_page(place.address)
    drop(page, sorted(frogs.iterdir()))
    expect(page.locator(".lt-tile")).to_have_count(8)
    page.fill("#lt-identifier", "sls")
    page.click(".lt-btn-train:not([disabled])")
    expect(page.locator(".lt-run-page")).to_be_visible()  # it waits for ever: no worker is started
    page.click("#lt-tab-train")
    page.get_by_role("button", name="Edit captions").click()
    page.locator(".lt-data-side").get_by_text("Findings", exact=True).click()
    choose(page, 1)
    page.keyboard.press("t")
    page.keyboard.type("new one,")
    expect(page.locator(".lt-toast", has_text="you work on a copy")).to_be_visible()
    expect(page.locator(".lt-data-tile").nth(1)).to_contain_text("new one")
    adder = page.get_by_role("combobox", name="Add a tag")
    expect(adder).to_be_focused()  # over the copy that is shown from here on
    expect(page.locator(".lt-data-side").get_by_role("radio", name="Findings")).to_be_checked()
    page.locator(".lt-data-edit").get_by_text("Many at once", exact=True).click()
    page.click("#lt-tab-train")
    page.click("#lt-tab-data")
    expect(page.locator(".lt-data-edit").get_by_role("radio", name="Many at once")).to_be_checked()
    page.click("#lt-tab-train")
    expect(page.locator(".lt-tile-text", has_text="new one")).to_have_count(1)
    uploads = [folder for folder in place.service.paths.uploads.iterdir() if (folder / "frog_00001.txt").is_file()]
    assert sorted(caption(folder, 1) for folder in uploads) == ["sls frog, pond, green", "sls frog, pond, green, new one"]
