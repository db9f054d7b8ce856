"""The Tools page in front of the real routes and the real tools: only gradio is left out."""

from __future__ import annotations

import re
from importlib.util import find_spec

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route

from lora_trainer.api import routes
from lora_trainer.api.service import Service
from lora_trainer.hosts.standalone import StandaloneHost
from lora_trainer.ui import assets, page

from ..api.test_tools import make_lora, shape_of
from .conftest import served

expect = pytest.importorskip("playwright.sync_api").expect


@pytest.fixture
def host(tmp_path):
    host = StandaloneHost(data_dir=tmp_path / "data")
    host.make_folders()
    make_lora(host.paths().lora_dir / "frog.safetensors")
    make_lora(host.paths().lora_dir / "styles" / "ink.safetensors", rank=4, seed=1)
    return host


@pytest.fixture
def program(host):
    """The page over a service of its own; gives its address."""
    body = f'<body><div id="{page.ROOT_ID}">{page.mount_point(host)}</div></body>'
    text = f"<!doctype html><html><head><title>LoRA Trainer</title>{assets.head()}</head>{body}</html>"
    app = Starlette(routes=[Route("/", lambda request: HTMLResponse(text))])
    service = Service(host)
    routes.mount(app, service)
    with served(app) as address:
        yield address
    service.close()


def choose(page, title: str) -> None:
    page.locator(".lt-tool-choice", has_text=title).click()


def run(page) -> None:
    page.get_by_role("button", name="Run", exact=True).click()


@pytest.mark.skipif(find_spec("torch") is None, reason="the tools need torch")
def test_resizing_a_lora_from_the_choice_to_the_list(program, host, open_page):
    page = open_page(program + "#lora-tools")
    choose(page, "Change the rank")
    run(page)
    expect(page.locator("#lt-tool-model-wrong")).to_have_text(re.compile("Nothing is chosen"))
    expect(page.locator("#lt-tool-output-wrong")).to_be_visible()
    expect(page.locator(".lt-tools .lt-reasons")).to_have_text("2 things to mend first")
    page.select_option("#lt-tool-model", "frog.safetensors")
    expect(page.locator("#lt-tool-new_rank")).to_have_value("4")  # half of what the file has
    page.fill("#lt-tool-new_rank", "8")
    expect(page.get_by_text("The file has rank 8: only a lower one makes it smaller.")).to_be_visible()
    page.fill("#lt-tool-new_rank", "2")
    expect(page.get_by_text("The file has rank 8")).to_be_hidden()
    expect(page.locator("#lt-tool-output")).to_have_value("frog_rank2")  # a name is suggested
    page.fill("#lt-tool-output", "../small")
    run(page)
    expect(page.locator("#lt-tool-output-wrong")).to_have_text(re.compile("cannot have"))
    expect(page.locator("#lt-tool-model-wrong")).to_be_hidden()
    page.fill("#lt-tool-output", "small")
    run(page)
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    expect(page.locator(".lt-tools .lt-badge")).to_have_text("finished", timeout=300_000)
    expect(page.locator(".lt-tool-file")).to_contain_text("small.safetensors")
    expect(page.locator("#lt-tool-model option")).to_have_text(["Choose a LoRA", "frog", "styles/ink", "small"])
    assert shape_of(host.paths().lora_dir / "small.safetensors", "lora_down.weight") == [2, 320]
    expect(page.locator("#lt-tool-output")).to_have_value("small")  # what was typed is not replaced
    expect(page.locator("#lt-tool-overwrite")).to_be_visible()
    page.fill("#lt-tool-output", "smaller")
    expect(page.locator("#lt-tool-overwrite")).to_be_hidden()
    page.fill("#lt-tool-output", "Small")
    expect(page.locator("#lt-tool-overwrite")).to_be_visible()
    page.fill("#lt-tool-output", "small")
    run(page)
    expect(page.locator("#lt-tool-output-wrong")).to_have_text(re.compile("^There is a file small.safetensors already"))
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "small.safetensors"
    choose(page, "Check a file")
    expect(page.locator(".lt-results-empty")).to_be_visible()  # the other tool's result is not this one's
    choose(page, "Change the rank")
    page.get_by_role("button", name="Try it in Generate").click()
    expect(page.locator("#lt-g-prompt")).to_have_value("<lora:small:0.8>")
    page.click("#lt-tab-tools")
    expect(page.locator(".lt-tools .lt-badge")).to_have_text("finished")
    expect(page.locator("#lt-tool-new_rank")).to_have_value("2")


@pytest.mark.skipif(find_spec("torch") is None, reason="the tools need torch")
def test_a_check_shows_its_picture_and_report(program, open_page):
    page = open_page(program + "#lora-tools", width=390)
    choose(page, "Check a file")
    page.select_option("#lt-tool-model", "styles/ink.safetensors")
    run(page)
    picture = page.locator(".lt-norms img")
    expect(picture).to_be_visible(timeout=300_000)
    page.wait_for_function("document.querySelector('.lt-norms img').naturalWidth > 0")
    expect(page.locator(".lt-tools .lt-log")).to_contain_text("rank 4")
    expect(page.locator(".lt-tools .lt-note-info")).to_have_text("Nothing wrong was found.")
    assert picture.bounding_box()["width"] <= 390


def test_every_tool_is_drawn_and_the_rows_of_a_merge_come_and_go(program, open_page):
    page = open_page(program + "#lora-tools", width=390, language="ko-KR")
    for tool in page.locator(".lt-tool-choice").all():
        tool.click()
        assert page.locator(".lt-tool-fields .lt-field").count() >= 2
        for more in page.locator(".lt-tool-more").all():
            more.evaluate("fold => fold.open = true")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), tool.text_content()
    page.locator(".lt-tool-choice", has_text="디스크의 캐시").click()
    expect(page.locator(".lt-results-card")).to_contain_text("지운 것을 보여 줍니다")  # not: nothing is changed
    page.locator("#lt-tool-show").uncheck()
    page.locator(".lt-btn-train").click()
    question = page.locator("dialog.lt-ask")
    expect(question).to_contain_text("캐시를 지울까요?")
    question.get_by_role("button", name="취소").click()
    expect(page.locator(".lt-wrong:visible")).to_have_count(0)  # nothing was asked of the host

    page.locator(".lt-tool-choice").first.click()
    rows = page.locator(".lt-ratio")
    expect(rows).to_have_count(2)
    expect(rows.nth(0).get_by_role("button")).to_be_disabled()
    page.get_by_role("button", name="LoRA 추가").click()
    expect(rows).to_have_count(3)
    rows.nth(1).locator("select").select_option("styles/ink.safetensors")
    rows.nth(1).locator("input").fill("-0.5")
    rows.nth(0).get_by_role("button").click()
    expect(rows).to_have_count(2)
    expect(rows.nth(0).locator("select")).to_have_value("styles/ink.safetensors")
    expect(rows.nth(0).locator("input")).to_have_value("-0.5")
    rows.nth(1).locator("select").select_option("frog.safetensors")
    expect(page.locator("#lt-tool-output")).to_have_value("ink_frog")
    page.reload()  # as "Reload UI" of the Web UI does
    expect(rows.nth(0).locator("select")).to_have_value("styles/ink.safetensors")
    expect(rows.nth(0).locator("input")).to_have_value("-0.5")
    expect(page.locator("#lt-tool-output")).to_have_value("ink_frog")
    page.locator(".lt-tool-choice", has_text="디스크의 캐시").click()
    expect(page.locator("#lt-tool-show")).not_to_be_checked()
