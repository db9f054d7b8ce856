"""All that the lint looks for, in the order in which it is shown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from ....options.data_spec import SubsetSpec
from ..files import FACTS
from ..model import DataPlan, Finding, PlannedImage
from . import balance, captions, pictures, tags, words
from .behind import Behind
from .looks import Looks
from .marks import Marks
from .words import Words, words_of

_LOOKS, _MARKS = Looks(), Marks()
BEHIND, _MARKS_BEHIND = Behind(FACTS.look_at, _LOOKS.at), Behind(_MARKS.at)
_ORDER = {"error": 0, "warning": 1, "info": 2}


@dataclass(frozen=True, kw_only=True)
class LintSettings:
    """What the lint has to know besides the plan.

    `max_tokens` is how many tokens of a caption are read; `total_steps` is the length of the training (None: not known), in
    steps of `accumulation` batches. `words` are those of folders of training images, by their paths, where they are known
    better than from class_tokens ("sks frog": identifier, then class). `weighted` says that brackets weigh words.
    """

    max_tokens: int = 75
    total_steps: int | None = None
    accumulation: int = 1
    weighted: bool = False
    words: Mapping[str, Words] = field(default_factory=dict)


@dataclass(frozen=True)
class Lint:
    """What was found, how many pictures have not been looked at yet, and how many of these were not read to their ends."""

    findings: tuple[Finding, ...]
    waiting: int = 0
    unread: int = 0


def lint(
    plan: DataPlan, settings: LintSettings, *, looks: Looks = _LOOKS, marks: Marks = _MARKS, until: float | None = None
) -> Lint:
    """Look for what spoils trainings. The first look at a picture decodes it; after `until` (of time.monotonic) none is begun,
    and none before all of the plan's were read to their ends, which tells more. What is left is looked at behind that, for who
    asks again."""
    by_subset: dict[int, list[PlannedImage]] = {index: [] for index in range(len(plan.subsets))}
    for image in plan.images:
        by_subset[image.subset].append(image)
    said = {one: settings.words.get(str(spec.place)) or words_of(spec) for one, spec in _training(plan)}
    found: list[Finding] = []
    for index, images in by_subset.items():
        spec = plan.subsets[index].spec
        if spec.is_reg:
            own = [*words.in_regularisation(spec, images, [one.identifier for one in said.values()])]
        else:
            own = [*words.findings(spec, images, said[index])]
        own += [*captions.findings(spec, images, settings.max_tokens, settings.weighted), *tags.findings(spec, images)]
        # What mends captions writes caption files, which change nothing where a metadata file has the captions.
        found += [replace(finding, fix=None) for finding in own] if spec.metadata_file else own
    found += balance.findings(plan, settings.total_steps, settings.accumulation)
    paths = [image.path for image in plan.images]
    seen, waiting = looks.at(paths, until=-math.inf if plan.unread else until)
    found += pictures.findings(plan, seen)
    if waiting and until is not None:
        BEHIND.want(paths)
    elif not waiting:
        told, left = pictures.marked(plan, marks, until)
        found, waiting = [*found, *told], len(left)
        if left:
            _MARKS_BEHIND.want(left)
    return Lint(tuple(sorted(found, key=lambda finding: _ORDER[finding.level])), waiting, plan.unread)


def _training(plan: DataPlan) -> Iterator[tuple[int, SubsetSpec]]:
    return ((index, subset.spec) for index, subset in enumerate(plan.subsets) if not subset.spec.is_reg)
