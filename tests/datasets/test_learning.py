"""How well pictures were learned stands beside them, until their captions are others."""

import json
import os
import shutil

from lora_trainer.datasets import learning
from lora_trainer.datasets.edits import read_edit
from lora_trainer.datasets.library import Library
from lora_trainer.datasets.queries import matching, ordered


def trained(runs, name, rows, at):
    folder = runs / name
    folder.mkdir(parents=True, exist_ok=True)
    told = [{"path": str(path), "caption": caption, "loss": 0.1, "relative": loss, "seen": 3} for path, caption, loss in rows]
    (folder / "losses.json").write_text(json.dumps({"version": 1, "step": 9, "pictures": told}))
    os.utime(folder / "losses.json", (at, at))


def look(dataset, runs):
    dataset.learning_checked = float("-inf")
    learning.look(dataset, runs)


def test_the_newest_run_of_these_pictures_tells_how_well_they_were_learned(library, folder, tmp_path):
    runs = tmp_path / "runs"
    link = tmp_path / "named otherwise"
    link.symlink_to(folder)
    dataset = library.open([folder])
    look(dataset, runs)
    assert dataset.training is None
    trained(runs, "old", [(folder / "0.png", "frog, number 0", 9.0)], at=100)
    trained(runs, "mine", [(link / "0.png", "frog, number 0", 0.8), (link / "1.png", "frog, number 1", 2.5)], at=200)
    trained(runs, "of others", [(tmp_path / "0.png", "x", 7.0)], at=300)
    (runs / "cut short").mkdir()
    (runs / "cut short" / "losses.json").write_text('{"pictures": [{"path"')
    look(dataset, runs)
    assert dataset.training.run == "mine"
    assert [one.loss for one in dataset.in_order()] == [0.8, 2.5, None, None, None, None]
    assert [one.name for one in matching(dataset, "loss>2")] == ["1.png"]
    assert [one.name for one in ordered(dataset.in_order(), "loss", descending=True)][:2] == ["1.png", "0.png"]
    assert [one.name for one in matching(dataset, "untrained")] == ["2.png", "3.png", "4.png", "5.png"]
    library.edit(dataset, read_edit({"kind": "add", "tags": ["x"]}), [one.id for one in dataset.in_order()[:1]])
    library.edit(dataset, read_edit({"kind": "leave_out"}), [one.id for one in dataset.in_order()[2:3]])
    assert [one.name for one in matching(dataset, "untrained")] == ["0.png", "3.png", "4.png", "5.png"]


def test_a_copy_tells_what_the_run_of_the_original_says_now_and_after_a_restart(library, folder, tmp_path):
    runs, copy = tmp_path / "runs", tmp_path / "copy"
    shutil.copytree(folder, copy)
    trained(runs, "mine", [(folder / "0.png", "frog, number 0", 0.8)], at=100)
    dataset = library.open([folder])
    look(dataset, runs)
    moved = library.moved(dataset, [copy])
    trained(runs, "mine", [(folder / "0.png", "frog, number 0", 1.5)], at=200)  # the run went on meanwhile
    for one in (moved, library.open([copy])):
        one.learning_checked = float("-inf")
        learning.look(one, runs, lambda path: [folder] if path == copy else [])
        assert [picture.loss for picture in one.in_order()][:2] == [1.5, None]
    fresh = Library(tmp_path / "another program")
    again = fresh.open([copy])
    learning.look(again, runs, lambda path: [tmp_path / "gone", folder])
    assert again.training.run == "mine"
    assert again.in_order()[0].loss == 1.5
    fresh.close()
