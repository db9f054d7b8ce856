"""File names and removal of older files, compared with the reference's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lora_trainer.options.cli import given_options
from lora_trainer.options.saving import SavingOptions
from lora_trainer.training.checkpoint import SavePlan
from tests.given import given

RECORDED = json.loads((Path(__file__).parents[1] / "golden" / "metadata.json").read_text())


def plan_of(argv: list[str]) -> SavePlan:
    wanted = given_options([word for word in argv if word.startswith(("--output_name", "--save_every", "--save_last"))])
    saving = given(output_dir="out", **{name: value for name, value in wanted.items() if not name.endswith("_state")}).saving
    return SavePlan.of(replace(saving, output_name=wanted.get("output_name")), 10)  # the name is needed here


@pytest.mark.parametrize("case", RECORDED["file_names"], ids=lambda case: str(case["argv"]))
def test_file_names(case):
    plan = plan_of(case["argv"])
    assert plan.at_epoch(3) == Path("out", case["epoch 3"])
    assert plan.at_step(250) == Path("out", case["step 250"])
    assert plan.last == Path("out", case["last"])


def test_what_lies_behind_a_training_that_goes_on_is_not_in_its_way():
    plan = SavePlan(folder=Path("out"), name="frog")
    behind = [plan.at_step(20), plan.at_epoch(2), plan.best, Path("out/frog.txt"), Path("out/frog-stepping.safetensors")]
    ahead = [plan.at_step(21), plan.at_step(21).with_suffix(".pt"), plan.at_epoch(3), plan.last, plan.unfinished, plan.live]
    assert [plan.is_ours(path, 20, 2) for path in behind + ahead] == [False] * 5 + [True] * 6
    assert all(plan.is_ours(path) for path in [*behind[:2], *ahead]), "where it begins anew all of them are"


@pytest.mark.parametrize("case", RECORDED["removal_of_old_files"], ids=lambda case: str(case["argv"]))
def test_which_older_file_goes(case):
    plan = plan_of(case["argv"])
    by_step = "after saving step -> removed step" in case
    for saved, removed in case["after saving step -> removed step" if by_step else "after saving epoch -> removed epoch"]:
        found = plan.outdated_by_step(saved) if by_step else plan.outdated_by_epoch(saved)
        name = plan.at_step if by_step else plan.at_epoch
        assert found == (name(removed) if removed else None)


@pytest.mark.effect("save_last_n_epochs", "save_last_n_steps")
@pytest.mark.parametrize("run", ["A", "B", "C", "D"])
def test_the_files_of_recorded_runs(run):
    """Saving and removing as the four recorded runs did leaves just their files."""
    recorded = RECORDED["runs"][run]
    plan = plan_of([word for word in recorded["argv"].split() if word.startswith("--") and word.count("=") == 1])
    epochs, per_epoch, steps = {"A": (2, 8, 10), "B": (3, 8, 24), "C": (4, 1, 4), "D": (7, 1, 7)}[run]
    files = set()
    for step in range(1, steps + 1):
        if plan.saves_step(step):
            files.add(plan.at_step(step))
            files.discard(plan.outdated_by_step(step))
        if step % per_epoch == 0 and plan.saves_epoch(step // per_epoch, epochs):
            files.add(plan.at_epoch(step // per_epoch))
            files.discard(plan.outdated_by_epoch(step // per_epoch))
    files.add(plan.last)
    assert sorted(file.name for file in files) == [name for name in recorded["output_dir"] if name.endswith(".safetensors")]


def test_without_the_options_only_the_last_file_is_saved():
    plan = SavePlan(folder=Path("out"))
    assert not plan.saves_step(10) and not plan.saves_epoch(1, 5)
    assert plan.outdated_by_step(10) is None and plan.outdated_by_epoch(3) is None


@pytest.mark.effect("save_n_epoch_ratio")
@pytest.mark.parametrize(
    ("epochs", "ratio", "saved"), [(10, 5, [2, 4, 6, 8]), (10, 3, [3, 6, 9]), (4, 9, [1, 2, 3]), (5, 1, [])]
)
def test_a_number_of_files_from_the_whole_training(epochs, ratio, saved):
    """The reference's rule: every floor(epochs / ratio) epochs, at least 1, whatever save_every_n_epochs says."""
    plan = SavePlan.of(SavingOptions(save_n_epoch_ratio=ratio, save_every_n_epochs=4), epochs)
    assert [epoch for epoch in range(1, epochs + 1) if plan.saves_epoch(epoch, epochs)] == saved
