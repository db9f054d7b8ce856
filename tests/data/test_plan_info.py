"""cache_info: the second look at a folder opens what has changed, and nothing else; what is found is the same."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from dataset_files import make_images, one_dataset, picture

from lora_trainer.data.plan import cache_folders, caption_files, files, info, make_plan
from lora_trainer.data.plan.files import FactsCache
from lora_trainer.options.dataset_config import data_spec
from lora_trainer.options.resolve import train_options

SIZES = {"a.png": (64, 64), "b.jpg": (128, 40), "c.png": (70, 66)}


@pytest.fixture
def folder(tmp_path):
    """Pictures and captions that were made a while ago."""
    make_images(tmp_path, SIZES, captions="a frog\nof two lines")
    for path in tmp_path.iterdir():
        os.utime(path, (time.time() - 100,) * 2)
    return tmp_path


@pytest.fixture
def opened(monkeypatch):
    """Names of the files that are opened: pictures and captions."""
    seen = []
    for module, name in ((files, "read_facts"), (info, "read_lines"), (caption_files, "read_lines")):
        real = getattr(module, name)
        spy = lambda path, *args, real=real, **how: seen.append(Path(path).name) or real(path, *args, **how)  # noqa: E731
        monkeypatch.setattr(module, name, spy)
    return seen


def plan_of(folder, *, trusting=False, **subset):
    """As in a new process."""
    subset = {"image_dir": folder, "caption_extension": ".txt", "cache_info": True, **subset}
    return make_plan(replace(one_dataset(subset), skip_cache_check=trusting), facts=FactsCache())


def described(plan):
    return [(image.path, image.size, image.caption) for image in plan.images], [finding.message for finding in plan.findings]


def test_a_second_look_opens_nothing_and_finds_the_same(folder, opened):
    plain = described(plan_of(folder, cache_info=False))
    first = described(plan_of(folder))
    opened.clear()
    assert described(plan_of(folder)) == first == plain and opened == []
    assert described(plan_of(folder, enable_wildcard=True))[0][0][2] == "a frog\nof two lines" and opened == []


@pytest.mark.parametrize("set_back", [False, True], ids=["newer", "time set back"])
def test_what_changed_is_opened_again_unless_it_is_trusted(folder, opened, set_back):
    plan_of(folder)
    old = {name: (folder / name).stat() for name in ("a.png", "c.txt")}
    picture(80, 48, seed=9).save(folder / "a.png")
    (folder / "c.txt").write_text("a toad that is longer")
    for name, stat in old.items() if set_back else ():
        os.utime(folder / name, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    opened.clear()
    trusted = plan_of(folder, trusting=True)
    assert opened == [] and [image.size for image in trusted.images] == list(SIZES.values())
    plan = plan_of(folder)
    assert (
        opened == ["a.png", "c.txt"] and plan.images[0].size == (80, 48) and plan.images[2].caption == "a toad that is longer"
    )


def test_files_come_go_and_are_damaged(folder, opened):
    plan_of(folder)
    make_images(folder, {"d.png": (64, 64)})
    (folder / "a.png").unlink()
    (folder / "c.png").write_bytes((folder / "c.png").read_bytes()[:60])
    for _ in range(2):
        opened.clear()
        plan = plan_of(folder)
        assert [Path(image.path).name for image in plan.images] == ["b.jpg", "d.png"]
        assert any("c.png" in finding.where for finding in plan.findings if finding.level == "error")
        assert {"c.png", "d.png"} == set(opened), "one that is damaged, and one that changed just now"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": 1, "images": {"a.png": "[[1,2,3],[0],3]"}, "captions": {"a.txt": "7"}}']
)
def test_a_damaged_file_is_as_none(folder, text):
    plain = described(plan_of(folder, cache_info=False))
    (folder / cache_folders.FOLDER).mkdir()
    (folder / cache_folders.FOLDER / cache_folders.INFO).write_text(text)
    assert described(plan_of(folder)) == described(plan_of(folder, trusting=True)) == plain


@pytest.mark.effect("cache_info")
def test_the_option_writes_the_file_beside_the_images(folder, tiny_sd1, tmp_path_factory):
    data = folder.rename(folder.parent / "1_x").parent
    given = {"train_data_dir": str(data), "pretrained_model_name_or_path": str(tiny_sd1), "output_name": "x"}
    given |= {"output_dir": str(tmp_path_factory.mktemp("out")), "resolution": "64", "max_train_steps": 1}
    given["network_module"] = "networks.lora"
    path = data / "1_x" / cache_folders.FOLDER / cache_folders.INFO
    for chosen, there in ({}, False), ({"cache_info": True}, True):
        make_plan(data_spec(train_options({**given, **chosen})), facts=FactsCache())
        assert path.exists() is there
    assert cache_folders.clear([data / "1_x"]).files == 1 and not path.parent.exists()
