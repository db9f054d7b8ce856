"""Trained weights in bf16, and a base model in 8 bits: what they cost."""

from __future__ import annotations

import pytest

from lora_trainer.demo import trial
from tests.outcome.board import reads
from tests.outcome.held_out import HeldOut, error_left, surely
from tests.outcome.lab import FEW, SUBJECT

pytestmark = [pytest.mark.outcome, pytest.mark.timeout(1800)]
HEART = reads("shape", "heart")
HALF = {"max_train_steps": 18}
# Going on from what is half learned, in steps that are small beside the weights: less than half of what bf16 can tell.
SLOWLY = {"max_train_steps": 12, "lr_scheduler": "constant", "learning_rate": 4e-5}


@pytest.mark.long
def test_bf16_weights(lab, board):
    """Trained weights in bf16 learn small steps with random rounding only.

    A LoRA that is half trained goes on in small steps. Rounded to the nearest value, as the reference does, most of the
    changes are lost; rounded at random, in proportion (stochastic_rounding), they add up to what float32 learns.
    """
    first = lab.subject(**HALF)
    bf16 = {"mixed_precision": "bf16", "full_bf16": True}
    kinds = {"float32": {}, "random": bf16, "nearest": {**bf16, "stochastic_rounding": False}}
    going_on = {"network_weights": str(first), **SLOWLY}
    paths = {"before": first, **{name: lab.train(SUBJECT, **going_on, **more) for name, more in kinds.items()}}
    held_out = HeldOut(lab, trial.subject_pictures(20, seed=9))
    errors = {name: held_out.errors(path) for name, path in paths.items()}
    rows = {name: lab.draw(FEW, path) for name, path in paths.items()}
    board(rows, heart=HEART, error=error_left(rows, errors))
    learned = {name: float((errors["before"] - error).mean()) for name, error in errors.items()}
    assert surely(errors["random"], errors["nearest"]) and surely(errors["random"], errors["before"])
    assert learned["random"] == pytest.approx(learned["float32"], rel=0.2), learned
    assert learned["nearest"] <= 0.6 * learned["float32"], learned


@pytest.mark.long
def test_fp8_base(lab, board):
    """A base model in 8 bits teaches as the whole one does.

    The LoRA is trained on the base model in 8 bits a number (fp8_base), and draws with the whole one.
    """
    paths = {"float32": lab.subject(**HALF), "8 bits": lab.subject(fp8_base=True, **HALF)}
    held_out = HeldOut(lab, trial.subject_pictures(20, seed=9))
    errors = {"before": held_out.errors(), **{name: held_out.errors(path) for name, path in paths.items()}}
    rows = {"before": lab.draw(FEW), **{name: lab.draw(FEW, path) for name, path in paths.items()}}
    scores = board(rows, heart=HEART, colour=reads("colour"), error=error_left(rows, errors))
    learned = {name: float((errors["before"] - error).mean()) for name, error in errors.items()}
    assert learned["8 bits"] >= 0.9 * learned["float32"] > 0, learned
    assert scores["8 bits"]["heart"] >= scores["float32"]["heart"] - 0.25
    assert scores["8 bits"]["colour"] >= 0.8
