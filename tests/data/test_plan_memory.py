"""Looking at the same data again reads nothing again, and sees everything that has changed."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from PIL import Image

from lora_trainer.data.plan import folder as plan_folder
from lora_trainer.data.plan import make_plan
from lora_trainer.options.data_spec import DatasetSpec, DataSpec, SubsetSpec


@pytest.fixture
def spec(tmp_path):
    for number in range(3):
        Image.new("RGB", (64, 64), (number, 0, 0)).save(tmp_path / f"{number}.png")
        (tmp_path / f"{number}.txt").write_text(f"frog {number}")
    (tmp_path / "broken.png").write_bytes(b"x")
    subset = SubsetSpec(image_dir=tmp_path, caption_extension=".txt")
    return DataSpec(datasets=(DatasetSpec(resolution=(64, 64), subsets=(subset,)),))


@pytest.fixture
def reads(monkeypatch):
    """The caption files that were read."""
    names = []
    read = plan_folder.CaptionFiles.read

    def counted(self, name, *arguments, **named):
        names.append(name)
        return read(self, name, *arguments, **named)

    monkeypatch.setattr(plan_folder.CaptionFiles, "read", counted)
    return names


def test_other_settings_read_no_file_again_and_find_the_same(spec, reads):
    first = make_plan(spec)
    assert len(reads) == 3 and len(first.findings) == 1
    (dataset,) = spec.datasets
    larger = replace(dataset, resolution=(128, 128), subsets=tuple(replace(one, num_repeats=5) for one in dataset.subsets))
    second = make_plan(replace(spec, datasets=(larger,)))
    assert len(reads) == 3
    assert [image.caption for image in second.images] == [image.caption for image in first.images]
    assert {image.repeats for image in second.images} == {5} and first.findings[0] in second.findings


@pytest.mark.parametrize("change", ["caption", "new", "removed", "image", "renamed"])
def test_whatever_changes_in_the_folder_is_seen(spec, reads, tmp_path, change):
    before = make_plan(spec)
    if change == "caption":
        (tmp_path / "1.txt").write_text("another word")
    elif change == "new":
        Image.new("RGB", (32, 32)).save(tmp_path / "9.png")
    elif change == "removed":
        (tmp_path / "2.txt").unlink()
    elif change == "renamed":
        (tmp_path / "2.txt").rename(tmp_path / "2.caption")
    else:
        Image.new("RGB", (96, 48)).save(tmp_path / "1.png")
        os.utime(tmp_path / "1.png", ns=(1, 1))
    after = make_plan(spec)
    assert len(reads) > 3
    seen = [[(image.path, image.caption, image.size) for image in plan.images] for plan in (before, after)]
    assert seen[0] != seen[1]
