"""What is kept of a training that jumps about: its average."""

from __future__ import annotations

import pytest

from lora_trainer.demo import trial
from tests.outcome.board import reads
from tests.outcome.held_out import HeldOut, error_left, surely
from tests.outcome.lab import FEW

pytestmark = [pytest.mark.outcome, pytest.mark.timeout(1800)]
UNSEEN = trial.subject_pictures(30, seed=9)


@pytest.mark.long
@pytest.mark.effect("ema_decay")
def test_ema(lab, board):
    """The average of a training that jumps about.

    At a high, constant rate every step overshoots. The average of the steps (ema_decay) has learned the same, and denoises
    other pictures of the subject better than the last step does.
    """
    jumpy = {"max_train_steps": 50, "learning_rate": 1e-2, "lr_scheduler": "constant", "train_batch_size": 4}
    last, average = lab.subject(**jumpy), lab.subject(ema_decay=0.9, **jumpy)
    rows = {"before": lab.draw(FEW), "last step": lab.draw(FEW, last), "average": lab.draw(FEW, average)}
    held_out = HeldOut(lab, UNSEEN)
    errors = {"before": held_out.errors(), "last step": held_out.errors(last), "average": held_out.errors(average)}
    scores = board(rows, heart=reads("shape", "heart"), error=error_left(rows, errors))
    assert surely(errors["average"], errors["last step"]) and surely(errors["average"], errors["before"]), scores
