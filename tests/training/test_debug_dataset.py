"""--debug_dataset: the batches of the training, told and drawn, without a base model."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from PIL import Image

from lora_trainer.data.dataset import TrainDataset
from lora_trainer.data.plan import make_plan
from lora_trainer.errors import InputError
from lora_trainer.options.dataset_config import data_spec
from lora_trainer.training import command
from lora_trainer.training.train import train
from tests.given import given

from .conftest import Recorder, make_images

DRAWN = {"shuffle_caption": True, "flip_aug": True, "random_crop": True}
SETTINGS = {**DRAWN, "resolution": "64,80", "seed": 4, "train_batch_size": 2}


@pytest.mark.effect("debug_dataset")
def test_the_batches_are_shown_as_the_training_gets_them(tmp_path, capsys):
    folder = make_images(tmp_path / "train" / "3_sls <frog>", 3, size=(96, 112))
    mask = Image.new("L", (96, 112), 255)
    mask.paste(0, (0, 0, 96, 48))
    mask.save(folder / "1-masklabel.png")
    make_images(tmp_path / "reg" / "1_frog", 2, size=(96, 112))
    words = {"train_data_dir": str(tmp_path / "train"), "reg_data_dir": str(tmp_path / "reg"), "masked_loss": True}
    words |= {**SETTINGS, "caption_extension": ".txt", "output_dir": str(tmp_path / "out"), "output_name": "x"}
    line = [f"--{name}" if value is True else f"--{name}={value}" for name, value in words.items()]
    assert command.main([*line, "--debug_dataset"], "train_network") == 0
    made = tmp_path / "out" / "x-batches"
    told = json.loads((made / "batches.json").read_text(encoding="utf-8"))

    plan = make_plan(data_spec(given(**words)), seed=4)
    dataset = TrainDataset(plan)
    assert told["of"] == len(told["batches"]) == plan.batches_per_epoch == 9
    for number, shown in enumerate(told["batches"]):
        batch = dataset[(0, number)]
        assert [one["caption"] for one in shown["samples"]] == batch["captions"]
        for row, one in enumerate(shown["samples"]):
            image = plan.images[int(batch["image_ids"][row])]
            assert (one["image"], one["is_reg"], one["repeats"]) == (image.path.rpartition("/")[2], image.is_reg, image.repeats)
            trained = np.rint((batch["images"][row].permute(1, 2, 0).numpy() / 2 + 0.5) * 255)
            pixels = np.asarray(Image.open(made / one["file"])).astype(float)
            learned = np.ones((80, 64), bool)
            if one["mask"]:
                assert one["image"] == "1.png"
                learned[: 48 - one["top"]] = False  # cut at its own scale; the upper 48 rows of 112 are hidden
            assert np.array_equal(pixels[learned], trained[learned])
            assert learned.all() or (np.abs(pixels[~learned] - trained[~learned]).max(-1) > 20).all()
    samples = [one for batch in told["batches"] for one in batch["samples"]]
    assert {one["flipped"] for one in samples} == {True, False} and {one["is_reg"] for one in samples} == {True, False}
    said = capsys.readouterr().err
    assert "batch 9 of 9" in said and str(made / "index.html") in said
    page = (made / "index.html").read_text(encoding="utf-8")
    assert "3_sls &lt;frog&gt;/1.png" in page and set(re.findall(r"src='(.*?)'", page)) == {one["file"] for one in samples}


def test_a_training_is_not_made_of_it():
    with pytest.raises(InputError, match="trains nothing"):
        train(given(debug_dataset=True), reporter=Recorder())
