"""Batches on their way to the training: who reads the images."""

from __future__ import annotations

import multiprocessing
import os

import pytest

from lora_trainer.data.plan import make_plan
from lora_trainer.options.dataset_config import data_spec
from lora_trainer.training import prepare
from lora_trainer.training.distributed import Processes
from lora_trainer.training.loading import batches
from tests.given import given

from . import left_behind
from .test_kill import until


def readers(pictures, **options) -> list[set[int]]:
    """The processes that read images, at each batch of a training of three epochs."""
    chosen = given(train_data_dir=str(pictures), max_train_epochs=3, train_batch_size=2, **options)
    plan = make_plan(data_spec(chosen))
    counts = prepare.step_counts(chosen.training, plan)
    seen = []
    for _ in batches(chosen.training, plan, counts, None, Processes("cpu")):
        seen.append({process.pid for process in multiprocessing.active_children()})
    assert len(seen) == 6
    return seen


@pytest.mark.effect("max_data_loader_n_workers")
@pytest.mark.parametrize(("asked", "processors", "expected"), [(2, 4, 2), (0, 4, 0), (8, 3, 2), (1, 1, 0)])
def test_so_many_processes_read_images_and_one_processor_is_left_to_the_training(
    pictures, monkeypatch, asked, processors, expected
):
    monkeypatch.setattr(os, "cpu_count", lambda: processors)
    assert len(readers(pictures, max_data_loader_n_workers=asked)[0]) == expected


@pytest.mark.effect("persistent_data_loader_workers")
def test_the_processes_stay_from_one_epoch_to_the_next(pictures, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    seen = readers(pictures, max_data_loader_n_workers=1, persistent_data_loader_workers=True)
    assert len(set.union(*seen)) == 1


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL, and a fork server")
def test_what_reads_the_data_ends_with_a_training_that_is_killed(tmp_path):
    """Started by a fork server, which lives on, as Python does it from 3.14 on."""
    told = tmp_path / "pid"
    training = multiprocessing.get_context("forkserver").Process(target=left_behind.train_and_wait, args=(str(told),))
    training.start()
    until(told.exists)
    training.kill()
    training.join()
    until(lambda: not _lives(int(told.read_text())))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
