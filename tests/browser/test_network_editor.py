"""The editor above network_args: what it writes into the field and sends, and what it reads from the field."""

from __future__ import annotations

import re

import pytest

from lora_trainer.options.block_arguments import PRESETS, preset_curve

expect = pytest.importorskip("playwright.sync_api").expect
ARGS = "#lt-network_args"


def opened(open_page, address, **how):
    """The page with the network's section and the panel of blocks open."""
    page = open_page(address, **how)
    page.click(".lt-advanced > summary")
    page.click("[data-section=lora_network] > summary")
    expect(page.locator(".lt-blocks")).not_to_have_attribute("open", re.compile(".*"))
    page.click(".lt-blocks > summary")
    return page


def sent(page, api) -> dict:
    """The values of the request of /check that has what the fields show now. It comes a moment after the last change."""
    names = ("network_module", "network_dim", "network_args")
    shown = {name: page.input_value(f"#lt-{name}") for name in names}
    values: dict = {}
    for _ in range(200):
        values = [body["values"] for path, body in api.posted if path == "check"][-1]
        texts = {**values, "network_args": "\n".join(values.get("network_args") or [])}
        if {name: str(texts[name]) for name in names} == shown:
            return values
        page.wait_for_timeout(50)
    raise AssertionError(f"{shown} was not sent; the last was {values}")


def sliders(page) -> dict[str, float]:
    """Name -> value, in the order of the keyboard."""
    return page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('.lt-block')].map("
        "(one) => [one.querySelector('label').textContent, Number(one.querySelector('input').value)]))"
    )


def test_a_preset_fills_the_sliders_and_a_slider_turns_it_into_numbers(open_page, address, api):
    page = opened(open_page, address)
    page.click("[data-preset=sine]")
    assert sent(page, api)["network_args"] == ["down_lr_weight=sine", "up_lr_weight=sine"]
    page.select_option("#lt-net-side", "up")
    page.fill("#lt-net-offset", ".25")
    page.click("[data-preset=cosine]")
    assert sent(page, api)["network_args"] == ["down_lr_weight=sine", "up_lr_weight=cosine+0.25"]
    shown = list(sliders(page).values())
    curves = [*preset_curve("sine", 12), 1.0, *preset_curve("cosine", 12, 0.25)]
    assert shown == pytest.approx(curves, abs=0.026), "each slider shows its weight to half a step"
    page.focus("#lt-block-mid")
    page.keyboard.press("ArrowLeft")
    assert sent(page, api)["network_args"][-1] == "mid_lr_weight=0.95"
    page.focus("#lt-block-in03")
    page.keyboard.press("Home")
    (down,) = [text for text in sent(page, api)["network_args"] if text.startswith("down")]
    numbers = [float(number) for number in down.removeprefix("down_lr_weight=").split(",")]
    expected = preset_curve("sine", 12)
    expected[3] = 0.0
    assert numbers == pytest.approx(expected, abs=5e-5), "only the slider that was moved changes its number"
    page.get_by_role("button", name="Reset", exact=True).click()
    expect(page.locator(ARGS)).to_have_value("")
    assert set(sliders(page).values()) == {1.0}


@pytest.mark.parametrize("preset", PRESETS)
def test_the_picture_and_the_sliders_have_the_curve_of_the_trainer(open_page, address, preset):
    page = opened(open_page, address)
    page.fill(ARGS, f"down_lr_weight={preset}+.5")
    curve = preset_curve(preset, 12, 0.5)
    assert list(sliders(page).values())[:12] == pytest.approx(curve, abs=0.026)
    heights = page.evaluate("[...document.querySelectorAll('.lt-curve circle')].map((one) => one.cy.baseVal.value)")
    assert len(heights) == 25
    top, one, zero = max(1.0, *curve), heights[12], page.evaluate("document.querySelector('.lt-curve-grid').y1.baseVal.value")
    assert [(zero - y) / (zero - one) for y in heights[:12]] == pytest.approx(curve, abs=0.01 * top)


def test_what_is_typed_into_the_field_moves_the_sliders(open_page, address):
    page = opened(open_page, address)
    numbers = "0,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1.5,3"
    page.fill(ARGS, f"rank_dropout=0.1\nup_lr_weight = {numbers}\nmid_lr_weight=0.5\nblock_lr_zero_threshold=0.1")
    shown = sliders(page)
    assert list(shown) == [*(f"IN{i:02}" for i in range(12)), "MID", *(f"OUT{i:02}" for i in range(12))]
    assert [shown[f"OUT{i:02}"] for i in range(12)] == [*(float(n) for n in numbers.split(",")[:-1]), 2]
    assert shown["MID"] == 0.5 and shown["IN05"] == 1
    expect(page.locator(".lt-block-number").last).to_have_value("3")  # beyond the slider's end
    expect(page.locator(".lt-block-off label")).to_have_text(["OUT00", "OUT01"])  # up to the threshold
    expect(page.locator(".lt-curve-off")).to_have_count(2)
    expect(page.locator(".lt-blocks > summary")).to_contain_text("13 changed")
    low, high = (page.locator(f"#lt-block-out{i}").bounding_box()["y"] for i in ("00", "11"))
    assert low > high and page.locator("#lt-block-mid").bounding_box()["y"] > low, "down the left side, up the right one"
    page.focus("#lt-block-out05")
    page.keyboard.press("ArrowRight")
    args = page.input_value(ARGS).splitlines()
    assert args[0] == "rank_dropout=0.1" and args[1].endswith(",0.4,0.55,0.6,0.7,0.8,0.9,1.5,3"), "the rest stays as it was"


def test_convolutions_and_the_unit_of_dylora(open_page, address, api):
    page = opened(open_page, address)
    expect(page.locator(".lt-block-empty label")).to_have_text(
        ["IN00", "IN03", "IN06", "IN09", "IN10", "IN11", "OUT00", "OUT01", "OUT02"]
    )
    page.fill(ARGS, "rank_dropout=0.1")
    page.check("#lt-net-conv")
    page.fill("#lt-net-conv_alpha", "2")
    page.fill("#lt-net-conv_dim", "8")
    assert sent(page, api)["network_args"] == ["rank_dropout=0.1", "conv_dim=8", "conv_alpha=2"]
    expect(page.locator(".lt-block-empty label")).to_have_text(["IN00"])
    page.select_option("#lt-network_module", "networks.dylora")
    assert page.locator("#lt-net-unit option").all_text_contents() == ["1", "2", "4", "8", "16"]
    page.select_option("#lt-net-unit", "4")
    values = sent(page, api)
    assert values["network_module"] == "networks.dylora"
    assert values["network_args"] == ["rank_dropout=0.1", "conv_dim=16", "conv_alpha=2", "unit=4"]  # one rank for all
    page.fill("#lt-network_dim", "12")
    values = sent(page, api)
    assert values["network_dim"] == 12 and "conv_dim=12" in values["network_args"]
    page.fill("#lt-network_dim", "10")
    expect(page.locator("#lt-network_args-wrong")).to_contain_text("unit is 4, which does not divide network_dim 10.")
    page.select_option("#lt-network_module", "networks.lora")
    assert sent(page, api)["network_args"] == ["rank_dropout=0.1", "conv_dim=10", "conv_alpha=2"]
    expect(page.locator("#lt-network_args-wrong")).to_be_hidden()
    page.uncheck("#lt-net-conv")
    expect(page.locator(ARGS)).to_have_value("rank_dropout=0.1")
    page.select_option("#lt-network_module", "lycoris.kohya")
    expect(page.locator(".lt-network-panel")).to_be_hidden()  # its settings are others


def test_what_cannot_be_read_is_said_and_never_changed(open_page, address):
    page = opened(open_page, address)
    page.fill(ARGS, "down_lr_weight=sinus\nup_lr_weight=linear\nconv_dum=4")
    expect(page.locator(".lt-blocks .lt-wrong")).to_have_text("down_lr_weight cannot be read; see below.")
    wrong = page.locator("#lt-network_args-wrong")
    expect(wrong).to_contain_text("down_lr_weight is 'sinus'")
    expect(wrong).to_contain_text("Did you mean conv_dim?")
    page.select_option("#lt-net-side", "up")
    page.click("[data-preset=zeros]")
    expect(page.locator(ARGS)).to_have_value("down_lr_weight=sinus\nup_lr_weight=zeros\nconv_dum=4")


def choose(page, mode: str) -> None:
    page.locator(".lt-segment", has_text=re.compile(f"^{re.escape(mode)}$")).click()


def test_what_belongs_to_a_network_is_not_shown_for_an_embedding(open_page, address, api):
    page = opened(open_page, address)
    word, rate = page.locator("#lt-token_string"), page.locator("#lt-embedding_lr")
    expect(word).to_be_hidden()
    kinds = page.locator("#lt-trains .lt-kind")
    expect(kinds.nth(0)).to_contain_text("on the disk")
    page.check("#lt-trains input[value=pivotal]")
    for shown in (word, rate, page.locator("#lt-network_dim")):
        expect(shown).to_be_visible()
    page.check("#lt-trains input[value=embedding]")
    expect(word).to_be_visible()
    expect(rate).to_be_hidden()
    for name in ("network_dim", "network_module"):
        expect(page.locator(f"#lt-{name}")).to_be_hidden()
    expect(page.locator(".lt-blocks")).to_be_hidden()
    expect(page.locator(".lt-example code")).not_to_contain_text("<lora:")
    page.fill("#lt-search", "network_dim")
    expect(page.locator(".lt-search-found")).to_contain_text("network_dim")
    expect(page.locator("#lt-network_dim")).to_be_hidden()


def test_ranks_and_alphas_per_block(open_page, address, api):
    page = opened(open_page, address)
    page.fill(ARGS, "rank_dropout=0.1")
    choose(page, "Rank")
    assert set(sliders(page).values()) == {16.0}, "the rank of the preset, until a block is changed"
    page.focus("#lt-block-in04")
    page.keyboard.press("ArrowRight")
    page.locator(".lt-block-mid .lt-block-number").fill("32")  # beyond the sliders' end so far
    page.focus("#lt-block-out08")
    page.keyboard.press("Home")
    ranks = [16] * 25
    ranks[4], ranks[12], ranks[21] = 17, 32, 0
    dims = "block_dims=" + ",".join(map(str, ranks))
    assert sent(page, api)["network_args"] == ["rank_dropout=0.1", dims]
    expect(page.locator(".lt-block-off label")).to_have_text(["OUT08"])
    expect(page.locator(".lt-blocks > summary")).to_contain_text("3 changed")
    page.locator(".lt-block-mid .lt-block-number").fill("1.5")
    expect(page.locator(".lt-block-mid .lt-block-number")).to_have_attribute("aria-invalid", "true")  # and not written
    choose(page, "Alpha")
    page.click("text=Half of each rank")
    alphas = "block_alphas=" + ",".join(f"{rank / 2:g}" for rank in ranks)
    assert sent(page, api)["network_args"] == ["rank_dropout=0.1", dims, alphas]
    choose(page, "Conv. rank")
    expect(page.locator(".lt-blocks .lt-wrong")).to_contain_text("First turn on the 3×3 convolutions")
    page.check("#lt-net-conv")
    page.click("text=Same as the ranks")
    assert sent(page, api)["network_args"][-1] == "conv_" + dims
    page.get_by_role("button", name="Reset", exact=True).click()
    assert sent(page, api)["network_args"] == ["rank_dropout=0.1", dims, alphas, "conv_dim=4"]


def test_an_alpha_brings_the_ranks_it_needs_and_one_number_fills_a_stretch(open_page, address, api):
    page = opened(open_page, address)
    page.check("#lt-net-conv")
    choose(page, "Conv. alpha")
    page.select_option("#lt-net-where", "up")
    page.fill("#lt-net-value", "2.5")
    page.keyboard.press("Enter")
    alphas = ["1"] * 13 + ["2.5"] * 12
    args = ["conv_dim=4", "conv_block_alphas=" + ",".join(alphas), "conv_block_dims=" + ",".join(["4"] * 25)]
    assert sent(page, api)["network_args"] == args
    choose(page, "Alpha")
    page.click("text=Same as each rank")
    assert sent(page, api)["network_args"] == [*args, "block_alphas=" + ",".join(["16"] * 25)]  # the ranks above count, too
    expect(page.locator("#lt-network_args-wrong")).to_be_hidden()
    page.select_option("#lt-network_module", "networks.dylora")
    expect(page.locator(".lt-blocks .lt-wrong")).to_contain_text("A DyLoRA has one rank")
    expect(page.locator("#lt-network_args-wrong")).to_contain_text("block_alphas: all modules of a DyLoRA have one rank")


def test_the_blocks_are_those_of_the_chosen_base_model(open_page, address, api):
    api.family = "sdxl"
    page = opened(open_page, address)
    expect(page.locator(".lt-blocks-family")).to_have_text("SDXL, 23 blocks")
    assert list(sliders(page)) == [*(f"IN{i:02}" for i in range(9)), "MID0", "MID1", "MID2", *(f"OUT{i:02}" for i in range(9))]
    page.click("[data-preset=linear]")
    shown = list(sliders(page).values())
    assert shown == pytest.approx([*preset_curve("linear", 9), 1, 1, 1, *preset_curve("linear", 9)], abs=0.026)
    expect(page.locator(".lt-block-empty label").first).to_have_text("IN00")
    page.focus("#lt-block-mid1")
    page.keyboard.press("Home")
    assert "mid_lr_weight=1,0,1" in sent(page, api)["network_args"]
    choose(page, "Rank")
    assert len(sliders(page)) == 23 and list(sliders(page))[0] == "EMB" and list(sliders(page))[-1] == "END"
    page.fill(ARGS, "block_dims=" + ",".join(["4"] * 25))
    expect(page.locator(".lt-blocks .lt-wrong")).to_have_text(re.compile("25 numbers, this model has 23 blocks"))
    expect(page.locator("#lt-block-in00")).to_be_disabled()
    expect(page.locator("#lt-network_args-wrong")).to_contain_text("expected 23, one for each block of this model")


def test_without_a_known_base_model_the_person_chooses_the_blocks(open_page, address, api):
    api.family = ""
    page = opened(open_page, address)
    choice = page.locator(".lt-blocks-family select")
    expect(choice).to_have_value("sd")
    choose(page, "Rank")
    page.fill(ARGS, "block_dims=" + ",".join(["4"] * 23))
    expect(choice).to_have_value("sdxl")  # what the numbers were written for
    assert len(sliders(page)) == 23
    choice.select_option("sd")
    assert len(sliders(page)) == 25
    expect(page.locator(".lt-blocks .lt-wrong")).to_have_text(re.compile("23 numbers, this model has 25 blocks"))


def test_search_a_reload_and_a_change_elsewhere_leave_the_editor_alive(open_page, address):
    page = opened(open_page, address)
    page.fill("#lt-search", "learning_rate")
    page.fill("#lt-learning_rate", "3e-4")  # announced while the editor is not on the page
    page.fill("#lt-search", "unit dylora")
    page.click("[data-preset=linear]")
    assert sliders(page)["IN11"] == 1.0 and sliders(page)["IN00"] == 0.0
    page.reload()
    page.locator(".lt-section > summary", has_text="LoRA network").click()
    page.click(".lt-blocks > summary")
    assert sliders(page)["OUT00"] == 0.0


def test_the_panel_fits_a_phone_in_korean(open_page, address):
    page = opened(open_page, address, width=390, height=844, language="ko-KR")
    expect(page.locator(".lt-blocks > summary")).to_contain_text("블록")
    page.click("[data-preset=sine]")
    for mode in page.locator(".lt-segment").all():
        mode.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator(".lt-segment").first.click()
    widths = page.evaluate("[...document.querySelectorAll('.lt-slider')].map((one) => one.getBoundingClientRect().width)")
    assert min(widths) >= 90, "wide enough for a thumb"
