"""The page's Python half, and what its JavaScript takes for granted."""

from __future__ import annotations

import json
import re

import pytest

from lora_trainer.hosts.fake import FakeHost
from lora_trainer.ui import assets
from lora_trainer.ui.form import specification


def test_the_tab_is_one_element_that_the_web_ui_does_not_store(tmp_path):
    gradio = pytest.importorskip("gradio")
    from lora_trainer.ui.page import ROOT_ID, build

    blocks = build(FakeHost(tmp_path))
    (only,) = [block for block in blocks.blocks.values() if not isinstance(block, gradio.Blocks)]
    assert isinstance(only, gradio.HTML) and only.elem_id == ROOT_ID == "lora_trainer_root"
    assert only.do_not_save_to_config is True
    again = build(FakeHost(tmp_path))  # Reload UI
    assert len(again.blocks) == len(blocks.blocks)


def test_the_tab_that_says_what_is_missing_is_not_stored_either():
    gradio = pytest.importorskip("gradio")
    from lora_trainer.apps.webui import _missing

    inside = [block for block in _missing().blocks.values() if not isinstance(block, gradio.Blocks)]
    assert inside and all(block.do_not_save_to_config for block in inside)


def test_the_head_names_what_a_web_ui_loads_by_relative_addresses_with_the_version():
    addresses = re.findall(r'(?:src|href)="([^"]+)"', assets.head())
    base = f"lora-trainer/assets/{assets.assets().version}/"  # an absolute one would break --subpath
    assert addresses == [base + "style.css", base + "lora_trainer.mjs"]
    assert all(address.removeprefix(base) in assets.assets().files for address in addresses)


def test_the_version_follows_from_names_and_contents():
    versions = [assets.bundle(files).version for files in ({"a": b"1", "b": b""}, {"a": b"2", "b": b""}, {"a": b"", "b": b"1"})]
    assert len(set(versions)) == 3 and all(re.fullmatch("[0-9a-f]{16}", version) for version in versions)
    assert assets.bundle({"b": b"", "a": b"1"}).version == versions[0]


def test_modules_are_served_as_javascript_whatever_the_system_says(monkeypatch):
    import mimetypes

    monkeypatch.setattr(
        mimetypes, "guess_type", lambda *_, **__: ("text/plain", None)
    )  # a Windows registry that an editor changed
    assert {assets.kind_of(name) for name in ("page.js", "runs/chart.js", "lora_trainer.mjs")} == {"text/javascript"}
    assert assets.kind_of("style.css") == "text/css"


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


def style_rules() -> list[tuple[list[str], str]]:
    """[(what the rule stands in, from the outside, its own selector or at-rule)] of the style sheet."""
    text = re.sub(r"/\*.*?\*/", "", assets.STYLESHEET.read_text(encoding="utf-8"), flags=re.DOTALL)
    addresses = re.findall(r"url\(\s*[\"']?(.{5})", text)
    assert addresses and set(addresses) == {"data:"}
    found, around = [], []
    for head, end in re.findall(r"([^{};]*)([{};])", re.sub(r'"[^"]*"', '""', text)):
        if end == "{":
            found.append(([*around], head.strip()))
            around.append(head.strip())
        elif end == "}":
            around.pop()
    assert not around and len(found) > 400
    return found


def test_the_style_touches_nothing_outside_our_element():
    for around, selector in style_rules():
        is_ours = any(one == "#lora_trainer_root" for one in [*around, selector])
        is_moves = "@keyframes lt-" in "".join([*around[:1], selector])
        assert is_ours or is_moves or selector.startswith("@media") or "#lora_trainer_root" in selector, selector


def test_nested_rules_are_written_as_the_first_browsers_that_have_them_read_them():
    for around, selector in style_rules():
        for part in re.split(r",(?![^()]*\))", selector) if around and not around[0].startswith("@") else []:
            assert re.match(r"[&.#:\[>+~@]", part.strip()), f"{selector}: an element's name wants an '&' before it"
