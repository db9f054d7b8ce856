"""The whole model is trained: a style is learnt and can be taken out as a LoRA, and DreamBooth keeps the class."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lora_trainer.demo import world
from tests.outcome.board import reads
from tests.outcome.lab import FEW, OTHERS, REGULARISATION, SUBJECT
from tests.outcome.test_subject import dusky, evenings
from tests.outcome.test_tools import tool

pytestmark = [pytest.mark.outcome, pytest.mark.timeout(1800), pytest.mark.long]
WHOLE = {**dict.fromkeys(["network_module", "network_dim", "network_alpha"]), "trains": "model", "learning_rate": 2e-4}


@pytest.mark.effect("trains")
def test_fine_tuning(lab, board, tmp_path):
    """Fine-tuning learns a style, and a LoRA is what it changed.

    All weights of the UNet are trained on shapes "at dusk", against a violet sky. The checkpoint draws them so by itself. What
    extract_lora_from_models finds between the two checkpoints, as a LoRA, brings the style to the base model.
    """
    tuned = lab.train(evenings(24), **WHOLE, max_train_steps=45)
    lora = tmp_path / "style.safetensors"
    ranks = ["--dim", 32, "--conv_dim", 32]
    tool("extract_lora_from_models", "--model_org", lab.model_file, "--model_tuned", tuned, *ranks, "--save_to", lora)
    captions = [f"a large {colour} {shape} at dusk" for colour in world.COLOURS for shape in list(world.SHAPES)[:2]]
    rows = {
        "before": lab.draw(captions),
        "fine-tuned": replace(lab, model_file=tuned).draw(captions),
        "extracted LoRA": lab.draw(captions, lora),
    }
    scores = board(rows, dusk=dusky, shape=reads("shape"), colour=reads("colour"))
    assert scores["before"]["dusk"] <= 0.05 and scores["fine-tuned"]["dusk"] >= 0.8
    assert scores["extracted LoRA"]["dusk"] >= scores["fine-tuned"]["dusk"] - 0.15
    assert scores["fine-tuned"]["shape"] >= scores["before"]["shape"] - 0.2


@pytest.mark.effect("train_text_encoder", "reg_data_dir")
def test_dreambooth(lab, board):
    """DreamBooth with regularisation images keeps the class.

    UNet and text encoder are trained on "sks hearts". Without pictures of the class the base world's own shapes drift towards
    the subject; with them they stay, and the subject is learnt all the same.
    """
    rates = {"learning_rate": 1e-3, "learning_rate_te": 1e-4}
    both = {**WHOLE, **rates, "train_text_encoder": True, "max_train_steps": 50, "train_batch_size": 16}
    models = {
        "regularisation": lab.train(SUBJECT, REGULARISATION, **both),
        "none": lab.train(SUBJECT, **{**both, "train_batch_size": 8}),
    }
    labs = {name: replace(lab, model_file=path) for name, path in models.items()}
    rows = {"before": lab.draw(OTHERS), **{name: one.draw(OTHERS) for name, one in labs.items()}}
    scores = board(rows, shape=reads("shape"), heart=reads("shape", "heart"))
    shape = {row: values["shape"] for row, values in scores.items()}
    learnt = {name: one.draw(FEW).share("shape", "heart") for name, one in labs.items()}
    assert min(learnt.values()) >= 0.6, learnt
    assert shape["regularisation"] >= shape["before"] - 0.15 and shape["none"] <= shape["regularisation"] - 0.2, learnt
