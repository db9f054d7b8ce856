"""What is changed on the data set page: captions and pictures, alone and by the thousand, and the way back."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from lora_trainer.data.plan import make_plan
from lora_trainer.options.data_spec import DatasetSpec, DataSpec, SubsetSpec

from . import real_api
from .data_sets import folder_of_links
from .test_data_view import opened

expect = pytest.importorskip("playwright.sync_api").expect
TrainDataset = pytest.importorskip("lora_trainer.data.dataset").TrainDataset


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    with real_api.running(tmp_path_factory.mktemp("data")) as served:
        yield served


@pytest.fixture
def frogs(tmp_path):
    return folder_of_links(tmp_path / "frogs", 8)


def caption(folder, index: int) -> str:
    return (folder / f"frog_{index:05}.txt").read_bytes().decode("utf-8")


def expect_caption(page, folder, index: int, text: str) -> None:
    """What the file holds, when the page says that it is saved."""
    expect(page.locator(".lt-data-saved")).to_contain_text(re.compile("Saved|Undone|Done again|저장됨"))
    for _ in range(100):
        if caption(folder, index) == text:
            return
        page.wait_for_timeout(50)
    assert caption(folder, index) == text


def choose(page, index: int, **more) -> None:
    page.locator(".lt-data-tile").nth(index).click(**more)


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
    page.locator(".lt-data-quick", has_text="rain").first.click()  # all have it: it goes
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
    board.press("i")
    board.press("Escape")  # left without a word: what was painted is kept, too
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
    page.get_by_role("button", name="Paint a mask").click()
    board.press("i")
    page.click("#lt-tab-runs")
    expect(page.locator(".lt-toast").first).to_be_visible()
    page.click("#lt-tab-data")
    note = page.locator(".lt-data-held")
    expect(note).to_contain_text("The disk is full.")
    page.reload()
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
