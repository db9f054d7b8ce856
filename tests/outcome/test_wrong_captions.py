"""Wrong captions cost what they cost, and are found: before the training by the lint, after it by the loss of each picture."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lora_trainer.data.plan import make_plan
from lora_trainer.data.plan.lint import LintSettings, lint
from lora_trainer.demo import trial, world
from lora_trainer.options.data_spec import DatasetSpec, DataSpec, SubsetSpec
from tests.outcome.board import reads
from tests.outcome.lab import FEW, SUBJECT, bare

pytestmark = [pytest.mark.outcome, pytest.mark.long, pytest.mark.timeout(1800)]
WRONG = range(1, len(SUBJECT), 3)  # every third picture


def _other(place: int) -> str:
    """The caption of a picture that keeps its own, and has another colour and another ground."""
    own = world.parse(bare(SUBJECT[place][1]))
    right = [caption for other, (_, caption) in enumerate(SUBJECT) if other not in WRONG]
    for caption in [*right[place % len(right) :], *right]:
        other = world.parse(bare(caption))
        if own["colour"] != other["colour"] and own["background"] != other["background"]:
            return caption
    raise AssertionError("all pictures are alike")


SPOILT = [(picture, _other(place) if place in WRONG else caption) for place, (picture, caption) in enumerate(SUBJECT)]


def _found(told: list[dict]) -> float:
    """The share of the pairs of a wrong and a right caption in which the wrong one has the larger value; 0.5 is chance."""
    paths = sorted(row["path"] for row in told)
    wrong = {paths[place] for place in WRONG}
    bad = [row["relative"] for row in told if row["path"] in wrong]
    good = [row["relative"] for row in told if row["path"] not in wrong]
    return sum(one > other for one in bad for other in good) / (len(bad) * len(good))


def test_wrong_captions(lab, board):
    """Wrong captions spoil a training, and are found.

    A third of the captions are those of other pictures. Colours and grounds are then drawn less often as they are asked for
    than with the right ones. The loss of each picture, compared at its noise levels, has the wrong ones on top.
    """
    spoilt = lab.train(SPOILT)
    rows = {"right captions": lab.draw(FEW, lab.subject()), "a third is wrong": lab.draw(FEW, spoilt)}
    scores = board(rows, colour=reads("colour"), background=reads("background"))
    right, wrong = (sum(scores[row].values()) / 2 for row in rows)
    assert wrong <= right - 0.1
    told = json.loads(lab.losses(spoilt).read_text(encoding="utf-8"))["pictures"]
    assert _found(told) >= 0.75


def test_the_lint_finds_captions_that_were_copied(tmp_path):
    """Before the training: a caption that stands beside two pictures, word for word."""
    trial.write(SPOILT, tmp_path)
    subset = SubsetSpec(image_dir=tmp_path, caption_extension=".txt", class_tokens="sks heart")
    plan = make_plan(DataSpec(datasets=(DatasetSpec(resolution=(64, 64), subsets=(subset,)),)))
    found = {one.code: one for one in lint(plan, LintSettings()).findings}
    named = {Path(path).name for path in found["repeated_caption"].files}
    paths = sorted(path.name for path in tmp_path.glob("*.png"))
    assert {paths[place] for place in WRONG} <= named
