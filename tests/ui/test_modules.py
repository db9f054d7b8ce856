"""The modules of the page: how they hang together, how large they are, and what they say in two languages."""

from __future__ import annotations

import json
import posixpath
import re

import pytest

from lora_trainer.ui import assets
from lora_trainer.ui.form import specification

from ..test_architecture import circles

SOURCES = {
    name: content.decode("utf-8") for name, content in assets.assets().files.items() if name.endswith(".js")
}  # address -> text
ENTRY = assets.ENTRY.read_text(encoding="utf-8")
FIRST = "page.js"  # what the entry imports
IMPORT = re.compile(r'^import (?:(\w+)|\* as (\w+)|\{ ([^}]*) \}) from "(\.[^"]+)";$', re.MULTILINE)


def imports_of(name: str) -> list[tuple[str, list[str]]]:
    """[(module, names taken from it)]; "*" is the whole module."""
    found = []
    for default, whole, names, address in IMPORT.findall(SOURCES[name]):
        module = posixpath.normpath(posixpath.join(posixpath.dirname(name), address))
        found.append((module, ["default"] if default else ["*"] if whole else names.split(", ")))
    return found


def exports_of(name: str) -> set[str]:
    pattern = r"^export (?:(default) |(?:async )?(?:const|let|function|class) (\w+))"
    return {one or other for one, other in re.findall(pattern, SOURCES[name], re.MULTILINE)}


def without_comments(source: str) -> str:
    return re.sub(r"(^|\s)//.*", "", source)


@pytest.mark.parametrize("name", SOURCES)
def test_a_module_is_small_and_changes_nothing_that_belongs_to_all(name):
    source = without_comments(SOURCES[name])
    assert len(SOURCES[name].splitlines()) <= 300, "a module this long is two modules"
    assert SOURCES[name].startswith("// "), "what it is for stands on top"
    assert not re.search(r"\b(?:window|globalThis)\.\w+\s*(?:[|?&]{2})?=(?!=)", source), "there are no globals"
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", source), "nothing is loaded from elsewhere"
    assert "innerHTML" not in source, "text of files and prompts is never taken for HTML"
    assert "import(" not in source, "all modules are here before the page starts, so that none can come from a later version"


@pytest.mark.parametrize("name", SOURCES)
def test_what_a_module_imports_is_exported_there_and_used_here(name):
    body = re.sub(r'"[^"\n]*"', "", without_comments(IMPORT.sub("", SOURCES[name])))
    assert len(IMPORT.findall(SOURCES[name])) == len(re.findall(r"^import\b", SOURCES[name], re.MULTILINE))
    for module, names in imports_of(name):
        assert module in SOURCES, f"there is no {module}"
        assert set(names) <= exports_of(module) | {"*"}, module
        for used in set(names) - {"*", "default"}:
            assert re.search(rf"(?<![\w-])(?<!\w\.){used}(?![\w-]|: )", body), f"{used} is not used"


def test_no_modules_import_each_other_in_a_circle():
    assert circles({name: {module for module, _ in imports_of(name)} for name in SOURCES}) == []


def test_every_module_is_reached_from_the_entry():
    assert re.findall(r"lora-trainer/assets/\$\{version\}/([\w/]+\.js)", ENTRY) == [FIRST]
    reached, left = set(), [FIRST]
    while left:
        name = left.pop()
        if name not in reached:
            reached.add(name)
            left += [module for module, _ in imports_of(name)]
    assert reached == set(SOURCES)


def test_a_view_is_known_to_the_table_of_views_alone():
    rooms = {name.split("/")[0] for name in SOURCES if name.endswith("/view.js")}
    assert len(rooms) >= 4
    for name in SOURCES:
        views = [module for module, _ in imports_of(name) if module.endswith("/view.js")]
        assert not views or name == "views.js", f"{name} imports {views}"
    assert {module.split("/")[0] for module, _ in imports_of("views.js")} == rooms


def test_the_base_knows_no_view():
    for name in SOURCES:
        if name.startswith("base/"):
            assert all(module.startswith("base/") for module, _ in imports_of(name)), name


def test_the_fields_of_the_main_path_are_declared():
    block = re.search(r"export const F = \{(.*?)\};", SOURCES["train/fields.js"])
    names = set(re.findall(r': "(\w+)"', block[1]))
    sections = specification(cuda=False)["en"]["sections"]
    declared = {control["name"] for section in sections for control in section["controls"]}
    assert len(names) == 8 and names <= declared


# -- texts ------------------------------------------------------------------------------------------------------------

PAIR = re.compile(r'^ {4}(\w+): (\["(?:[^"\\]|\\.)*", "(?:[^"\\]|\\.)*"\]),$|texts\(\{ (\w+): (\[.*?\]) \}\)', re.MULTILINE)
SHARED = "base/texts.js"


def texts_of(name: str) -> dict[str, list[str]]:
    """{name: [English, Korean]} of a module."""
    return {one or other: json.loads(pair or single) for one, pair, other, single in PAIR.findall(SOURCES[name])}


def home_of(name: str) -> str:
    """The module whose function t this one calls."""
    (home,) = [module for module, names in imports_of(name) if "t" in names] or [name]
    return home


def said_in(name: str) -> set[str]:
    """The names of texts in the calls of t(...) of a module."""
    found = set()
    source = without_comments(SOURCES[name])
    for call in re.finditer(r"(?<![\w.])t\(", source):
        depth, at = 1, call.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(source[at], 0)
            at += 1
        found |= set(re.findall(r'^"(\w+)"(?! \+)|[?:] "(\w+)"(?=[ ,)])', source[call.end() : at]))
    return {one or other for one, other in found}


def test_every_text_that_is_used_is_there():
    used = {name: said_in(name) for name in SOURCES}
    assert sum(map(len, used.values())) > 200
    for name, names in used.items():
        lacking = names - set(texts_of(home_of(name))) - set(texts_of(SHARED))
        assert not lacking, f"{name} says {lacking}"


@pytest.mark.parametrize("name", [name for name in SOURCES if texts_of(name)])
def test_no_text_is_given_twice(name):
    names = [one or other for one, _, other, _ in PAIR.findall(SOURCES[name])]
    assert [one for one in names if names.count(one) > 1] == [], "the first of them would never be said"


def test_the_loss_chart_calls_different_things_by_different_words():
    said = texts_of("runs/texts.js")
    for language in (0, 1):
        shown = [said[name][language] for name in ("raw", "smoothed", "smoothing", "validation_key", "learning_rate", "loss")]
        assert len(set(shown)) == len(shown)


@pytest.mark.parametrize("name", [name for name in SOURCES if texts_of(name)])
def test_a_text_is_there_in_both_languages_with_the_same_places_and_is_said(name):
    speakers = "".join(SOURCES[one] for one in SOURCES if name == SHARED or home_of(one) == name)
    prefixes = tuple(re.findall(r'(?<![\w.])t\((?:`|")(\w+_)(?:\$\{|" \+)|`(\w+_)\$\{[^`]*`', speakers))
    begun = tuple(one or other for one, other in prefixes)
    for text, (english, korean) in texts_of(name).items():
        assert english and korean
        assert not re.search(r"\} 중 \{", korean), f"{text}: a number of another one has a noun, or a stroke between them"
        assert set(re.findall(r"\{(\w+)\}", english)) == set(re.findall(r"\{(\w+)\}", korean)), text
        assert f'"{text}"' in speakers or text.startswith(begun), f"{text} is not said by anybody"


def test_no_view_says_anew_what_all_share():
    shared = texts_of(SHARED)
    again = [(name, text) for name in SOURCES if name != SHARED for text in set(texts_of(name)) & set(shared)]
    assert not again
