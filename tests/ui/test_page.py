"""The page's Python half, and what its JavaScript takes for granted."""

from __future__ import annotations

import json
import re

import pytest

from lora_trainer.hosts.fake import FakeHost
from lora_trainer.ui import assets
from lora_trainer.ui.form import specification

SOURCES = {path.name: path.read_text(encoding="utf-8") for path in assets.scripts()}


def test_the_tab_is_one_element_that_the_web_ui_does_not_store(tmp_path):
    gradio = pytest.importorskip("gradio")
    from lora_trainer.ui.page import ROOT_ID, build

    blocks = build(FakeHost(tmp_path))
    (only,) = [block for block in blocks.blocks.values() if not isinstance(block, gradio.Blocks)]
    assert isinstance(only, gradio.HTML) and only.elem_id == ROOT_ID == "lora_trainer_root"
    assert only.do_not_save_to_config is True
    again = build(FakeHost(tmp_path))  # Reload UI
    assert len(again.blocks) == len(blocks.blocks)


def test_the_head_names_every_file_by_a_relative_address():
    head = assets.head()
    addresses = re.findall(r'(?:src|href)="([^"]+)"', head)
    assert [address.split("?")[0].rsplit("/", 1)[1] for address in addresses] == ["style.css", *SOURCES]
    assert all(address.startswith("lora-trainer/assets/") for address in addresses), "an absolute one would break --subpath"
    assert all(path.is_file() for path in assets.files().values())


def test_the_specification_is_json_with_the_same_controls_in_both_languages():
    form = specification(cuda=False)
    assert json.loads(json.dumps(form)) == form
    names = [
        [control["name"] for section in form[language]["sections"] for control in section["controls"]] for language in form
    ]
    assert names[0] == names[1] and len(set(names[0])) == len(names[0])
    assert list(form) == ["en", "ko"]


def test_a_card_decides_about_the_optimizer_that_the_form_starts_with():
    with_card, without = (specification(cuda=cuda)["en"]["presets"][0]["values"] for cuda in (True, False))
    assert (with_card["optimizer_type"], without["optimizer_type"]) == ("AdamW8bit", "AdamW")


def test_the_fields_of_the_main_path_are_declared():
    block = re.search(r"const F = \{(.*?)\};", SOURCES["lora_trainer_train.js"])
    names = set(re.findall(r': "(\w+)"', block[1]))
    sections = specification(cuda=False)["en"]["sections"]
    declared = {control["name"] for section in sections for control in section["controls"]}
    assert len(names) == 8 and names <= declared


def test_every_text_that_is_used_is_there_in_both_languages_with_the_same_places():
    texts = dict(
        re.findall(r'^ {8}(\w+): (\["(?:[^"\\]|\\.)*", "(?:[^"\\]|\\.)*"\]),$', SOURCES["lora_trainer_texts.js"], re.MULTILINE)
    )
    used = {name for source in SOURCES.values() for name in re.findall(r'LT\.t\("(\w+)"[,)]', source)}
    assert len(used) > 80
    assert not used - set(texts)
    for name, pair in texts.items():
        english, korean = json.loads(pair)
        assert english and korean
        assert set(re.findall(r"\{(\w+)\}", english)) == set(re.findall(r"\{(\w+)\}", korean)), name


@pytest.mark.parametrize("name", SOURCES)
def test_a_file_may_be_loaded_in_any_order_and_brings_one_name(name):
    source = SOURCES[name]
    body = "\n".join(line for line in source.splitlines() if not line.startswith("//"))
    assert body.startswith("(function () {") and body.rstrip().endswith("})();")
    assert "const LT = (window.loraTrainer = window.loraTrainer || {});" in source
    assert len(source.splitlines()) < (400 if name.endswith("_texts.js") else 300)  # the table of texts is one table
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", source), "nothing is loaded from elsewhere"
    assert "innerHTML" not in source, "text of files and prompts is never taken for HTML"


def test_the_page_waits_for_every_file_before_it_starts():
    waited_for = set(re.findall(r'"(\w+)"', re.search(r"const PARTS = \[(.*?)\];", SOURCES["lora_trainer_core.js"])[1]))
    for name in set(SOURCES) - {"lora_trainer_core.js"}:
        brought = set(re.findall(r"^    LT\.(\w+) = ", SOURCES[name], re.MULTILINE))
        assert brought & waited_for, name
        waited_for -= brought
    assert not waited_for


def test_the_style_touches_nothing_outside_our_element():
    text = re.sub(r"/\*.*?\*/", "", assets.stylesheet().read_text(encoding="utf-8"), flags=re.DOTALL)
    selectors = re.findall(r"(?:^|[{};])\s*([^{};@]+)\{", text)
    strangers = [
        part.strip()
        for selector in selectors
        for part in re.split(r",(?![^()]*\))", selector)
        if "#lora_trainer_root" not in part and not re.fullmatch(r"\s*(to|from)\s*", part)
    ]
    assert not strangers
    addresses = re.findall(r"url\(\s*[\"']?(.{5})", text)
    assert addresses and set(addresses) == {"data:"}
