"""What is chosen out of a training that goes too far: its best moment."""

from __future__ import annotations

import pytest

from lora_trainer.demo import trial
from tests.outcome.board import reads
from tests.outcome.held_out import HeldOut, error_left, surely
from tests.outcome.lab import FEW, SUBJECT

pytestmark = [pytest.mark.outcome, pytest.mark.timeout(1800)]
UNSEEN = trial.subject_pictures(30, seed=9)


@pytest.mark.long
@pytest.mark.effect("validation_split", "save_best")
def test_validation(lab, board):
    """The best moment of a training that goes on too long.

    Nine pictures for far too many steps at a high rate. Three more are kept aside, and the loss on them says when it was enough
    (validation_split, save_best): the LoRA of that moment denoises other pictures of the subject better than the last one.
    """
    long = {"max_train_steps": 90, "learning_rate": 2e-2, "lr_scheduler": "constant"}
    last = lab.train(SUBJECT[:12], validation_split=0.25, validate_every_n_steps=5, save_best=True, **long)
    best = lab.best(last)
    rows = {"before": lab.draw(FEW), "best": lab.draw(FEW, best), "last": lab.draw(FEW, last)}
    held_out = HeldOut(lab, UNSEEN)
    errors = {"before": held_out.errors(), "best": held_out.errors(best), "last": held_out.errors(last)}
    scores = board(rows, heart=reads("shape", "heart"), error=error_left(rows, errors))
    assert surely(errors["best"], errors["last"]) and surely(errors["best"], errors["before"]), scores
