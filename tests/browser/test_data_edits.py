"""What is done to pictures on the data set page, alone and by the thousand, and the way back."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from lora_trainer.data.plan import make_plan
from lora_trainer.datasets.dataset import Progress
from lora_trainer.options.data_spec import DatasetSpec, DataSpec, SubsetSpec

from . import real_api
from .data_sets import folder_of_links
from .editing import caption, choose, expect_caption
from .test_data_view import opened

expect = pytest.importorskip("playwright.sync_api").expect
TrainDataset = pytest.importorskip("lora_trainer.data.dataset").TrainDataset


@pytest.fixture
def frogs(tmp_path):
    return folder_of_links(tmp_path / "frogs", 8)


def test_many_are_changed_after_a_look_and_back_again_after_a_restart(open_page, tmp_path, frogs):
    before = [caption(frogs, index) for index in range(8)]
    with real_api.running(tmp_path / "host") as place:
        page = opened(open_page, place, frogs)
        page.keyboard.press("Control+a")
        page.locator(".lt-segment", has_text="Many at once").click()
        page.select_option("#lt-data-kind", "rename")
        page.fill("#lt-data-edit-tag", "pond")
        page.fill("#lt-data-edit-to", "still water")
        expect(page.locator(".lt-data-bulk")).to_contain_text("4 of 8 would change")
        expect(page.locator(".lt-data-preview del").first).to_have_text("pond")
        assert [caption(frogs, index) for index in range(8)] == before
        page.get_by_role("button", name="Change 4 captions").click()
        expect_caption(page, frogs, 1, "sls frog, still water, green")
        page.select_option("#lt-data-kind", "regex")
        page.fill("#lt-data-edit-pattern", "(")
        expect(page.locator(".lt-data-bulk .lt-wrong")).to_be_visible()
        page.select_option("#lt-data-kind", "sort")
        page.fill("#lt-data-edit-keep_tokens", "abc")
        expect(page.locator(".lt-data-bulk .lt-wrong")).to_have_text("A whole number is expected: Tags kept in front.")
        page.fill("#lt-data-edit-keep_tokens", "0")
        page.get_by_role("button", name="Change 6 captions").click()
        expect_caption(page, frogs, 2, "close-up, rain, sls frog, still water")
    with real_api.running(tmp_path / "host") as place:
        page = opened(open_page, place, frogs)
        page.locator(".lt-segment", has_text="History").click()
        steps = page.locator(".lt-data-step")
        expect(steps).to_have_count(2)
        steps.nth(1).hover()
        steps.nth(1).get_by_role("button").click()
        expect(page.locator(".lt-data-step-undone")).to_have_count(2)
        assert [caption(frogs, index) for index in range(8)] == before


def test_several_pictures_get_tags_stars_and_are_left_out_or_thrown_away_together(open_page, place, frogs):
    page = opened(open_page, place, frogs)
    choose(page, 1)
    choose(page, 2, modifiers=["Shift"])
    common = page.locator(".lt-data-edit .lt-data-chip-editor [data-at]")
    expect(common).to_have_text(["sls frog", "pond"])
    page.locator(".lt-data-edit .lt-data-chip", has_text="rain").locator("button").click()  # which one of them has
    expect_caption(page, frogs, 1, "sls frog, pond, green, rain")
    page.locator(".lt-segment", has_text="At hand").click()
    rain = page.locator(".lt-data-quick", has_text="rain").first
    expect(rain).to_have_attribute("aria-pressed", "true")  # the page has heard of what was written
    rain.click()  # all have it: it goes
    expect_caption(page, frogs, 1, "sls frog, pond, green")
    page.locator(".lt-data-grid").focus()
    page.keyboard.press("4")
    page.keyboard.press("x")
    expect(page.locator(".lt-data-out .lt-data-stars")).to_have_count(2)
    page.fill("#lt-data-filter", "left_out stars>=4")
    expect(page.locator(".lt-data-count")).to_have_text("2 of 8")
    page.locator(".lt-data-tile").first.click()
    page.keyboard.press("Delete")
    expect(page.locator(".lt-data-count")).to_have_text("1 of 7")
    assert not (frogs / "frog_00001.png").exists()
    page.locator(".lt-data-grid").focus()
    page.keyboard.press("Control+z")
    expect(page.locator(".lt-data-count")).to_have_text("2 of 8")
    assert (frogs / "frog_00001.png").exists()


def test_own_groups_whose_tags_exclude_each_other(open_page, place, frogs):
    page = opened(open_page, place, frogs)
    choose(page, 0)
    page.locator(".lt-segment", has_text="At hand").click()
    page.locator("summary", has_text="Own groups").click()
    page.fill("#lt-data-groups", "place: pond | on a leaf | stone")
    page.locator("section", has=page.locator("h3", has_text="place")).locator(".lt-data-quick", has_text="stone").click()
    expect_caption(page, frogs, 0, "sls frog, stone, green")


def test_a_picture_is_cropped_in_the_shape_of_its_bucket_and_turned_and_comes_back(open_page, place, frogs):
    page = opened(open_page, place, frogs)
    choose(page, 1)  # 48 by 72
    page.get_by_role("button", name="Crop and turn").click()
    board = page.locator(".lt-data-board")
    expect(board).to_be_focused()
    red = page.get_by_text("What is red is cut off")
    expect(red).to_be_hidden()  # in the shape of the bucket nothing is
    page.locator(".lt-data-crop select").select_option(label="1 : 1")
    expect(red).to_be_visible()
    expect(page.locator(".lt-data-crop [role=status]")).to_have_text("48 × 48")
    board.press("ArrowUp")
    page.get_by_role("button", name="Crop", exact=True).click()
    expect(page.locator(".lt-data-crop")).to_have_count(0)
    expect(page.locator(".lt-data-facts")).to_contain_text("48 × 48")
    assert Image.open(frogs / "frog_00001.png").size == (48, 48)
    page.locator(".lt-data-grid").focus()
    page.keyboard.press("Control+z")
    expect(page.locator(".lt-data-facts")).to_contain_text("48 × 72")
    page.get_by_role("button", name="Crop and turn").click()
    page.get_by_role("button", name="Turn to the right").click()
    expect(page.locator(".lt-data-facts")).to_contain_text("72 × 48")
    page.keyboard.press("Escape")
    expect(page.locator(".lt-data-crop")).to_have_count(0)


def test_a_mask_is_painted_saved_and_trained_with(open_page, place, frogs):
    page = opened(open_page, place, frogs)
    choose(page, 0)  # 48 by 48
    page.get_by_role("button", name="Paint a mask").click()
    board, share = page.locator("canvas.lt-data-mask"), page.locator(".lt-data-crop [role=status]")
    expect(share).to_have_text("0 % is learned")
    expect(page.get_by_role("button", name="Save the mask")).to_be_disabled()
    board.press("Space")  # a dab in the middle
    expect(share).not_to_have_text("0 % is learned")
    page.get_by_role("button", name="Undo", exact=True).last.click()
    expect(share).to_have_text("0 % is learned")
    page.locator(".lt-data-crop input[type=range]").fill("40")
    box = board.bounding_box()
    side = min(box["width"], box["height"])
    left, middle = box["x"] + (box["width"] - side) / 2, box["y"] + box["height"] / 2
    page.mouse.move(left, middle - side / 2)
    page.mouse.down()
    page.mouse.move(left, middle + side / 2, steps=4)  # a stroke down the left edge: 20 % of the picture
    page.mouse.up()
    expect(share).to_have_text(re.compile(r"^(1[89]|2[012]) % is learned"))
    board.press("i")
    board.press("i")
    page.get_by_role("button", name="Save the mask").click()
    expect(page.locator(".lt-data-crop")).to_have_count(0)
    saved = frogs / "frog_00000-masklabel.png"
    mask = Image.open(saved)
    assert (mask.mode, mask.size) == ("L", (48, 48))
    assert (mask.getpixel((2, 24)), mask.getpixel((40, 24))) == (255, 0)

    page.get_by_role("button", name="Paint a mask").click()  # what is there is gone on with
    expect(share).to_have_text(re.compile(r"^(1[89]|2[012]) % is learned"))
    page.get_by_role("button", name="Hide all").click()
    board.press("Enter")
    expect(page.locator(".lt-data-crop")).to_have_count(0)
    assert not any(Image.open(saved).getdata())
    page.locator(".lt-data-grid").focus()
    page.keyboard.press("Control+z")
    expect(page.locator(".lt-data-saved")).to_have_text(re.compile("^Undone · "))
    for _ in range(100):
        if any(Image.open(saved).getdata()):
            break
        page.wait_for_timeout(50)
    page.get_by_role("button", name="Paint a mask").click()
    expect(share).to_have_text(re.compile(r"^(1[89]|2[012]) % is learned"))
    before = saved.read_bytes()
    board.press("i")
    for way in ("Cancel", "Throw it away"):  # whoever leaves is asked: nothing is written before
        board.press("Escape")
        page.locator("dialog.lt-ask").get_by_role("button", name=way).click()
    expect(page.locator(".lt-data-crop")).to_have_count(0)
    page.get_by_role("button", name="Paint a mask").click()
    expect(share).to_have_text(re.compile(r"^(1[89]|2[012]) % is learned"))
    assert saved.read_bytes() == before
    board.press("i")
    page.locator(".lt-data-crop").get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Save it").click()
    expect(page.locator(".lt-data-crop")).to_have_count(0)
    for _ in range(100):
        if Image.open(saved).getpixel((40, 24)) == 255:
            break
        page.wait_for_timeout(50)
    assert (Image.open(saved).getpixel((2, 24)), Image.open(saved).getpixel((40, 24))) == (0, 255)
    page.locator(".lt-data-grid").focus()
    page.keyboard.press("Control+z")
    for _ in range(100):
        if Image.open(saved).getpixel((40, 24)) == 0:
            break
        page.wait_for_timeout(50)

    page.route("**/edit", lambda route: route.fulfill(status=507, json={"error": {"message": "The disk is full."}}))
    with page.expect_request("**/mask/*"):
        page.get_by_role("button", name="Paint a mask").click()
    board.press("i")  # what is there may be here by now or not
    page.click("#lt-tab-runs")  # nobody can be asked here: it is held, also over a reload
    expect(page.locator(".lt-toast").first).to_be_visible()
    page.reload()
    page.click("#lt-tab-data")
    note = page.locator(".lt-data-held")
    expect(note).to_contain_text("The mask that you painted for ")
    assert not re.search("painted for +is", note.inner_text()), "it says of which picture"
    assert Image.open(saved).getpixel((40, 24)) == 0
    note.get_by_role("button", name="Save the mask").click()
    expect(note).to_contain_text("The disk is full.")
    page.unroute("**/edit")
    with page.expect_response("**/edit"):
        note.get_by_role("button", name="Try again").click()
    expect(note).to_have_count(0)
    assert Image.open(saved).getpixel((40, 24)) == 255
    page.reload()
    expect(page.locator(".lt-data-tile").first).to_be_visible()
    expect(note).to_have_count(0)
    page.locator(".lt-data-grid").focus()
    page.keyboard.press("Control+z")
    expect(page.locator(".lt-data-saved")).to_have_text(re.compile("^Undone · "))

    subset = SubsetSpec(image_dir=frogs, caption_extension=".txt")
    plan = make_plan(DataSpec(datasets=(DatasetSpec(resolution=(64, 64), subsets=(subset,)),), masked_loss=True))
    assert [Path(image.mask).name for image in plan.images if image.mask] == [saved.name]
    batches = [TrainDataset(plan)[(0, number)] for number in range(plan.batches_per_epoch)]
    [weights] = [batch["masks"][0] for batch in batches if int(batch["image_ids"][0]) == 0]
    assert weights[:, :1].min() > 0.9 and weights[:, 3:].max() < 0.1
    assert all(float(batch["masks"].min()) == 1.0 for batch in batches if int(batch["image_ids"][0]) != 0)


def test_what_the_lint_finds_is_shown_with_its_pictures_and_mended_by_a_button(open_page, place, tmp_path):
    long = ", ".join(f"very long detail number {number}" for number in range(20))
    folder = folder_of_links(tmp_path / "long", 4, ("sls frog, green", long))
    page = opened(open_page, place, folder)
    page.locator("#lt-data-filter").fill("finding:long_caption")  # before anybody has looked
    expect(page.locator(".lt-data-count")).to_have_text("2 of 4")
    page.locator("#lt-data-filter").fill("")
    expect(page.locator(".lt-data-count")).to_have_text("4 pictures")
    page.locator(".lt-segment", has_text="Findings").click()
    finding = page.locator(".lt-data-finding", has_text="75 tokens")
    finding.locator("button.lt-chip").click()
    expect(page.locator(".lt-data-count")).to_have_text("2 of 4")
    expect(page.locator(".lt-data-tile .lt-data-mark-warn")).to_have_count(2)
    finding.locator("summary").click()
    expect(finding.locator("details p")).to_be_visible()
    finding.locator(".lt-btn").click()
    expect(finding).to_have_count(0)
    assert caption(folder, 1).startswith("very long detail number 0, ") and "number 15" not in caption(folder, 1)
    page.get_by_role("button", name="Undo").click()
    expect(finding).to_have_count(1)
    assert caption(folder, 1) == long
    page.locator(".lt-segment", has_text="Tags").first.click()  # their list is not seen any more
    page.locator("#lt-data-filter").fill("")
    expect(page.locator(".lt-data-count")).to_have_text("4 pictures")
    mark = page.locator(".lt-data-tile").nth(1).locator(".lt-data-mark-warn")
    expect(mark).to_have_text("3")  # too long, as another one, and enlarged
    choose(page, 1)
    page.locator(".lt-segment", has_text="Text").click()
    page.locator(".lt-data-text").fill("sls frog, short")
    page.locator(".lt-data-text").press("Escape")
    expect(mark).to_have_text("1")

    def as_of_many(route):  # a data set of which not everything is looked at again after each change
        told = route.fetch()
        route.fulfill(response=told, json={**told.json(), "total": 5000})

    page.route("**/query", as_of_many)
    page.locator("#lt-data-filter").fill("frog")
    page.locator("#lt-data-filter").fill("")
    expect(page.locator(".lt-data-count")).to_have_text("4 pictures")
    grid, said = page.locator(".lt-data-grid"), page.get_by_text("Found before the last change.")
    expect(grid).not_to_have_class(re.compile("lt-data-found-before"))
    page.locator(".lt-data-text").fill(long)
    page.locator(".lt-data-text").press("Escape")
    expect(grid).to_have_class(re.compile("lt-data-found-before"))
    expect(said).to_be_visible()
    expect(mark).to_have_text("1")
    page.locator(".lt-data-one").get_by_role("button", name="Look again").click()
    expect(mark).to_have_text("3")
    expect(said).to_have_count(0)


def test_a_change_waits_for_the_reading_of_the_pictures_says_so_and_is_done_then(open_page, place, frogs, monkeypatch):
    monkeypatch.setattr("lora_trainer.datasets.library._PATIENCE", 0.05)
    page = opened(open_page, place, frogs)
    choose(page, 0)
    saved = page.locator(".lt-data-saved")
    [known] = [one for one in place.service.datasets._open.values() if one.folders[0].path == frogs]
    with known.disk:  # as while new pictures are read
        known.progress = Progress(5, 20)
        page.locator(".lt-data-grid").press("3")
        expect(saved).to_have_text("Reading 5 of 20, then saving")
        known.progress = Progress(15, 20)
        expect(saved).to_have_text("Reading 15 of 20, then saving")
        known.progress = None
    expect(saved).to_contain_text("Saved")
    assert known.pictures[min(known.pictures)].stars == 3
    expect(page.locator(".lt-toast-error")).to_have_count(0)


def test_a_mask_that_was_painted_before_the_one_that_is_there_had_come_is_held_with_it(open_page, place, frogs):
    there = Image.new("L", (48, 48))
    there.paste(255, (0, 0, 4, 48))
    there.save(frogs / "frog_00000-masklabel.png")
    page = opened(open_page, place, frogs)
    choose(page, 0)
    waiting = []
    page.route("**/mask/*", lambda route: waiting.append(route))
    with page.expect_request("**/mask/*"):
        page.get_by_role("button", name="Paint a mask").click()
    board = page.locator("canvas.lt-data-mask")
    board.press("Space")
    expect(page.get_by_role("button", name="Save the mask")).to_be_disabled()  # what is there would be lost
    page.click("#lt-tab-runs")
    with page.expect_response("**/mask/*"):
        waiting[0].continue_()
    page.wait_for_timeout(1000)  # until it is painted on, which nothing shows
    page.click("#lt-tab-data")
    with page.expect_response("**/edit"):
        page.locator(".lt-data-held").get_by_role("button", name="Save the mask").click()
    mask = Image.open(frogs / "frog_00000-masklabel.png")
    assert [mask.getpixel((x, 24)) for x in (1, 24, 44)] == [255, 255, 0]
