"""One walk over folders in folders, for all that read more than one: sorted, without what is hidden, links not followed."""

from __future__ import annotations

import os

import pytest

from lora_trainer.captioning import pictures
from lora_trainer.data.plan.cache_folders import image_folders
from lora_trainer.data.plan.files import list_tree
from lora_trainer.errors import InputError


@pytest.fixture
def tree(tmp_path):
    for name in ("b/2.png", "b/inner/3.png", "a/1.png", "closed/4.png", ".hidden/5.png"):
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (tmp_path / "root" / "link").symlink_to(tmp_path / "root" / "b")
    return tmp_path / "root"


@pytest.fixture
def closed(tree, monkeypatch):
    """A function that lets nobody list these folders."""
    scandir = os.scandir

    def close(*folders):
        def refuse(path):
            if path in folders:
                raise PermissionError(13, "Permission denied", str(path))
            return scandir(path)

        monkeypatch.setattr(os, "scandir", refuse)

    return close


def names(root, folders):
    return [folder.relative_to(root).as_posix() for folder in folders]


def test_every_walk_gives_the_same_folders_in_the_same_order(tree):
    expected = [".", "a", "b", "b/inner", "closed"]
    assert names(tree, (folder for folder, _ in list_tree(tree))) == expected
    assert names(tree, image_folders(tree)) == expected
    found = pictures.find(tree, recursive=True)
    assert names(tree, found.listings) == expected
    assert [one.name for one in found.pictures] == ["a/1.png", "b/2.png", "b/inner/3.png", "closed/4.png"]


def test_a_folder_that_cannot_be_read_is_passed_over_where_that_was_asked_for(tree, closed, caplog):
    closed(tree / "closed", tree / "b" / "inner")
    with pytest.raises(PermissionError):
        list(list_tree(tree))
    assert [one.name for one in pictures.find(tree, recursive=True).pictures] == ["a/1.png", "b/2.png"]
    assert names(tree, image_folders(tree)) == [".", "a", "b"]
    closed(tree)
    with pytest.raises(InputError, match="Permission denied"):
        pictures.find(tree, recursive=True)
