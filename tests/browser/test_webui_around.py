"""The page inside the Web UI: what it does with the pages around it, and that it asks for nothing while nobody looks."""

from __future__ import annotations

import pytest

expect = pytest.importorskip("playwright.sync_api").expect

# As gradio 3 (1.10.1) and gradio 4 (Forge) draw the Web UI's tabs: the buttons, and one panel for each in the same order.
AROUND = """(version) => {
    const ours = document.getElementById("lora_trainer_root");
    const names = ["lora_trainer", "img2img", "txt2img"];          // the order is a setting
    const titles = ["LoRA Trainer", "Bild zu Bild", "Text zu Bild"]; // and the words may be translated
    const tabs = document.createElement("div");
    const bar = document.createElement("div");
    tabs.id = "tabs";
    bar.className = version === 3 ? "tab-nav" : "tab-wrapper";
    tabs.append(bar);
    names.forEach((name, number) => {
        const button = document.createElement("button");
        const panel = document.createElement("div");
        button.textContent = titles[number];
        if (version === 4) {
            button.setAttribute("role", "tab");
            button.setAttribute("aria-controls", `tab_${name}`);
        }
        panel.id = `tab_${name}`;
        panel.className = "tabitem";
        panel.hidden = number > 0;
        button.onclick = () => names.forEach((other) => (document.getElementById(`tab_${other}`).hidden = other !== name));
        bar.append(button);
        tabs.append(panel);
    });
    document.body.append(tabs);
    document.getElementById("tab_lora_trainer").append(ours);
    const prompt = document.createElement("textarea");
    const box = document.createElement("div");
    box.id = "txt2img_prompt";
    box.append(prompt);
    document.getElementById("tab_txt2img").append(box);
    prompt.value = "an old prompt";
    window.heard = [];
    prompt.addEventListener("input", () => window.heard.push(prompt.value));
    window.refreshed = 0;
    window.pressed = [];
    const lists = ["txt2img_lora_extra_refresh_internal", "txt2img_checkpoints_extra_refresh_internal"];
    for (const id of [...lists, "refresh_sd_model_checkpoint"]) {
        const refresh = document.createElement("button");
        refresh.id = id;
        refresh.hidden = true;
        refresh.addEventListener("click", () => window.pressed.push(id) && id.includes("_lora_") && (window.refreshed += 1));
        document.body.append(refresh);
    }
}"""


def leave(page, to="txt2img"):
    page.locator("#tabs > div > button").nth(["lora_trainer", "img2img", "txt2img"].index(to)).click()


def asked_within(page, milliseconds):
    """How many requests for our routes the page sends in that time."""
    sent = []
    page.on("request", lambda request: sent.append(request.url) if "/lora-trainer/api/" in request.url else None)
    page.wait_for_timeout(milliseconds)
    return len(sent)


@pytest.mark.parametrize("version", [3, 4])
def test_a_finished_run_sends_its_prompt_to_txt2img_and_goes_there(open_page, address, api, version):
    api.host = "webui"
    api.add_run("r1", total=20)
    api.advance("r1", 20)
    page = open_page(address + "#lora-run=r1")
    page.evaluate(AROUND, version)
    api.finish("r1")
    page.get_by_role("button", name="Send to txt2img").click()
    assert page.evaluate("window.heard") == ["sls frog <lora:sls_frog:0.8>"], "gradio takes a value from the event alone"
    expect(page.locator("#tab_txt2img")).to_be_visible()
    expect(page.locator("#lora_trainer_root")).to_be_hidden()


def test_a_whole_model_is_a_checkpoint_for_the_page_and_for_the_web_ui(open_page, address, api):
    """It is in the lists without a refresh by hand, chosen by a button, and no word on the page is that of a LoRA."""
    api.host = "webui"
    api.add_run("r1", total=20, trains="model")
    api.advance("r1", 10)
    api.add_file("r1")
    page = open_page(address + "#lora-run=r1")
    page.evaluate(AROUND, 3)
    page.evaluate("window.selectCheckpoint = (name) => (window.chosen = name)")
    expect(page.locator(".lt-files li")).to_have_count(1)
    api.finish("r1")
    page.wait_for_function("window.pressed.length === 2")
    assert set(page.evaluate("window.pressed")) == {"txt2img_checkpoints_extra_refresh_internal", "refresh_sd_model_checkpoint"}
    page.get_by_role("button", name="Draw with it in the Web UI").click()
    assert page.evaluate("window.chosen") == "sls_frog.safetensors"
    page.locator(".lt-files").get_by_role("button", name="Use this one").click()
    expect(page.locator(".lt-toasts")).to_contain_text("In use now as sls_frog: Step 10")
    page.wait_for_function("window.pressed.length === 4")
    said = page.locator(".lt-run-page").inner_text().replace("LoRA Trainer", "the program")
    assert "The one in use is the checkpoint sls_frog" in said
    assert not [line for line in said.splitlines() for word in ("LoRA", "<lora:", "prompts call", "rank") if word in line]


def test_standing_alone_nothing_is_sent_to_a_page_that_is_not_there(open_page, address, api):
    api.add_run("r1", total=20)
    api.finish("r1")
    page = open_page(address + "#lora-run=r1")
    expect(page.locator(".lt-use")).to_be_visible()
    expect(page.get_by_role("button", name="Send to txt2img")).to_have_count(0)


@pytest.mark.parametrize("view", ["", "#lora-run=r1"])
def test_nothing_is_asked_while_another_tab_is_open_and_no_run_is_active(open_page, address, api, view):
    api.host = "webui"
    api.add_run("r1", total=20)
    api.finish("r1")
    page = open_page(address + view)
    page.evaluate(AROUND, 3)
    leave(page)
    page.wait_for_timeout(1000)  # what was on its way
    assert asked_within(page, 5000) == 0
    with page.expect_request("**/lora-trainer/api/state*", timeout=300_000):
        leave(page, "lora_trainer")


def test_the_end_of_a_run_is_noticed_in_another_tab_and_its_card_appears_there(open_page, address, api):
    api.host = "webui"
    api.add_run("r1", total=20)
    page = open_page(address)
    page.evaluate(AROUND, 3)
    expect(page.locator("#lt-tab-runs .lt-dot")).to_be_visible()
    leave(page)
    api.finish("r1")
    page.wait_for_function("window.refreshed === 1")


def test_a_run_that_began_and_ended_unseen_is_told_when_the_page_is_looked_at(open_page, address, api):
    api.host = "webui"
    page = open_page(address)
    page.evaluate(AROUND, 3)
    leave(page)
    page.wait_for_timeout(1000)
    api.add_run("r1", total=20)
    api.finish("r1")
    page.wait_for_timeout(1000)
    assert page.evaluate("window.refreshed") == 0
    leave(page, "lora_trainer")
    page.wait_for_function("window.refreshed === 1")


def test_a_reload_opens_the_tab_where_it_was_open_and_not_where_it_was_left(open_page, address, api):
    api.host = "webui"
    api.add_run("r1", total=20)
    page = open_page(address + "#lora-run=r1")
    ours, theirs = page.locator("#lora_trainer_root"), page.locator("#tab_txt2img")
    begin = f"({AROUND})(3); document.querySelectorAll('#tabs > div > button')[2].click();"  # the Web UI begins with txt2img
    page.add_init_script(f"document.addEventListener('DOMContentLoaded', () => {{ {begin} }});")
    page.reload()
    expect(theirs).to_be_visible()
    leave(page, "lora_trainer")
    expect(ours).to_be_visible()
    page.evaluate("document.body.innerHTML = 'Reloading...'")  # as Reload UI does
    page.reload()
    expect(ours).to_be_visible()
    leave(page)
    expect(theirs).to_be_visible()
    page.wait_for_timeout(300)
    page.reload()
    page.wait_for_selector(".lt-tabs", state="attached")
    expect(theirs).to_be_visible()
    assert page.url.endswith("#lora-run=r1")
