"""Which noise levels a training spends itself on."""

from __future__ import annotations

import pytest

from lora_trainer.demo import trial
from tests.outcome.held_out import HeldOut, error_left, surely
from tests.outcome.lab import FEW

pytestmark = [pytest.mark.outcome, pytest.mark.long, pytest.mark.timeout(1800)]
NOISY = (550, 750, 900)
CLEAR = (40, 150)


@pytest.mark.effect("min_snr_gamma")
def test_min_snr(lab, board):
    """Min-SNR weights let a short training learn what pictures are made of first.

    A few steps at all noise levels. Where there is little noise the error is large, and most of the training goes there, into
    details. Held to a gamma of 1 (min_snr_gamma) these levels count less: what is found in much noise, where shapes are
    settled, is learned better in the same steps, and what is left to find in little noise less well.
    """
    short = {"max_train_steps": 24, "min_timestep": None}
    paths = {"without": lab.subject(**short), "gamma 1": lab.subject(min_snr_gamma=1.0, **short)}
    held_out = HeldOut(lab, trial.subject_pictures(20, seed=9))
    errors = {
        levels: {"before": held_out.errors(timesteps=levels)}
        | {name: held_out.errors(path, timesteps=levels) for name, path in paths.items()}
        for levels in (NOISY, CLEAR)
    }
    rows = {"before": lab.draw(FEW), **{name: lab.draw(FEW, path) for name, path in paths.items()}}
    measures = {"error in much noise": NOISY, "error in little noise": CLEAR}
    left = {name: error_left(rows, errors[levels]) for name, levels in measures.items()}
    scores = board(rows, **left)
    assert surely(errors[NOISY]["gamma 1"], errors[NOISY]["without"]), scores
    assert surely(errors[CLEAR]["without"], errors[CLEAR]["gamma 1"]), scores
    assert surely(errors[CLEAR]["gamma 1"], errors[CLEAR]["before"]), scores
