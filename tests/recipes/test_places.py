"""Where the folders are that a recipe names."""

from __future__ import annotations

from PIL import Image

from lora_trainer.data.plan import make_plan
from lora_trainer.data.plan.digest import digests
from lora_trainer.options.data_spec import DatasetSpec, DataSpec, SubsetSpec
from lora_trainer.recipes.places import Surroundings, settle
from lora_trainer.recipes.recipe import Folder, Recipe, Table


def upload(folder, *, masked: bool) -> Folder:
    """A folder with two pictures, one of which has a mask, as a file of the run would tell of it."""
    folder.mkdir()
    for number in range(2):
        Image.new("RGB", (64, 64), (number * 90, 20, 20)).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"a frog, {number}")
    Image.new("L", (64, 64), 255).save(folder / "0-masklabel.png")
    subset = SubsetSpec(image_dir=folder, caption_extension=".txt")
    plan = make_plan(DataSpec(datasets=(DatasetSpec(resolution=(512, 512), subsets=(subset,)),), masked_loss=masked))
    return Folder(folder.name, {"caption_extension": ".txt"}, 2, digests(plan)[1][0])


def settled(told: Folder, folder, **options) -> Recipe:
    recipe = Recipe("frog.safetensors", "ours", options=options, tables=[Table(folders=[told])])
    settle(recipe, Surroundings(folders=[folder]))
    return recipe


def test_a_folder_that_was_trained_with_masks_is_found_again(tmp_path):
    folder = tmp_path / "20261127-044457-1e7f1d"
    told = upload(folder, masked=True)
    recipe = settled(told, folder, masked_loss=True)
    assert recipe.folders[0].path == folder and not recipe.missing and not recipe.notes


def test_a_folder_whose_captions_have_changed_is_here_and_that_is_told(tmp_path):
    folder = tmp_path / "20261127-044457-1e7f1d"
    told = upload(folder, masked=False)
    assert settled(told, folder).notes == []
    (folder / "1.txt").write_text("a toad")
    told.path = None
    recipe = settled(told, folder)
    assert recipe.folders[0].path == folder and not recipe.missing
    assert [note.message for note in recipe.notes] == [
        "The pictures or captions of the folder 20261127-044457-1e7f1d have changed since."
    ]
