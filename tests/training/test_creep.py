"""A training that saves and draws holds as much at its end as after its first save."""

from __future__ import annotations

import gc
from collections import Counter
from pathlib import Path

import pytest
import torch

from lora_trainer.runs.control import Control
from lora_trainer.training.train import train

EVERY, FIRST, LAST = 8, 16, 32  # steps between two saves, and those after which is counted


class Holding:
    """A reporter that keeps nothing of what it hears, and counts what the process holds a step after two saves."""

    def __init__(self) -> None:
        self.tensors: dict[int, tuple[int, int]] = {}
        self.objects: dict[int, Counter[type]] = {}

    def control(self) -> Control:
        return Control()

    def emit(self, event) -> None:
        if event["type"] == "step" and event["step"] in (EVERY + 1, FIRST + 1, LAST + 1):
            gc.collect()
            # Not the stand-ins without memory that a compiled model of an earlier test may have left behind.
            found = [one for one in gc.get_objects() if type(one) in (torch.Tensor, torch.nn.Parameter) and not one.is_meta]
            storages = {one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in found}
            self.tensors[event["step"]] = len(found), sum(storages.values())
            self.objects[event["step"]] = Counter(map(type, gc.get_objects()))


@pytest.mark.long  # benchmarks/creep.py has its numbers, over 2,000 steps
def test_a_training_that_saves_and_draws_holds_no_more_as_it_goes_on(options_for, tmp_path: Path):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("sls frog --w 64 --h 64 --s 2\n", encoding="utf-8")
    holding = Holding()
    options = options_for(
        max_train_steps=LAST + 2,
        save_every_n_steps=EVERY,
        save_state=True,
        save_last_n_steps=EVERY,
        sample_every_n_steps=EVERY,
        sample_prompts=str(prompts),
        ema_decay=0.9,
        train_batch_size=2,
    )
    train(options, reporter=holding)
    # What was counted first was for the counting's own sake: it makes objects itself when it is done for the first time.
    (_, first, then), (_, before, after) = holding.tensors.values(), holding.objects.values()
    assert first == then, "tensors, and bytes of theirs"
    # One more for each of the two saves may be there: the path of a file that is this training's own.
    grown = {kind.__name__: count - before[kind] for kind, count in after.items() if count - before[kind] > 2}
    assert grown == {}
