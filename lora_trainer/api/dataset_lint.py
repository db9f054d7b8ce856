"""The routes that tell what the lint finds in a data set, and mend it. Shapes: docs/api.md.

With the form's values it is what the plan of the train page tells; without them the folders are looked at by themselves.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ..data.plan import DataPlan, Finding, make_plan
from ..data.plan.lint import Lint, LintSettings, lint
from ..datasets import mending
from ..datasets.changing import Force
from ..datasets.dataset import DataSet
from ..errors import InputError, InputErrors
from ..options.data_spec import DatasetSpec, DataSpec, SubsetSpec
from ..options.dataset_folders import parse_folder_name
from ..options.simple import RunFiles
from . import drafts, folders, linting
from .answers import Refusal, answer, json_body, text_of
from .dataset_edits import changed
from .dataset_routes import dataset_of
from .drafts import Draft
from .service import Service

_SECONDS = 0.4  # that one question spends on pictures that were never looked at; the page asks again for the rest
_MENDING = 20.0  # that a mend spends on them: what is found meanwhile is mended, too
_RESOLUTION = (512, 512)  # of a data set that nobody has said yet how to train


async def _findings(service: Service, request: Request) -> Response:
    body = await json_body(request)

    def look() -> dict[str, Any]:
        dataset = dataset_of(service, request)
        draft, found = look_at(service, dataset, body, _SECONDS)
        mending.mark(dataset, found.findings)
        told = []
        for finding in found.findings:
            ids = mending.pictures_of(dataset, finding.files)
            if ids or _is_of(dataset, finding):
                told.append({**linting.problem(finding, draft), "ids": ids})
        return {"findings": told, "waiting": found.waiting, "unread": found.unread, "version": dataset.version}

    return answer(await service.look(look))


def _is_of(dataset: DataSet, finding: Finding) -> bool:
    """Whether a finding without pictures of the data set is of it all the same: the form may train other folders besides."""
    if finding.files:
        return False
    return not finding.where or any(Path(finding.where).is_relative_to(folder.path) for folder in dataset.folders)


async def _mend(service: Service, request: Request) -> Response:
    body = await json_body(request)
    code, where = text_of(body, "code"), text_of(body, "where", "")

    def change() -> dict[str, Any]:
        dataset = dataset_of(service, request)
        draft, found = look_at(service, dataset, body, _MENDING)
        asked = [one for one in found.findings if one.code == code and one.fix and where in ("", one.where)]
        if any(one.fix and one.fix.name not in mending.MENDS for one in asked):
            raise Refusal(409, "This is mended in the form.")
        edit, ids = _edit_for(dataset, asked)
        do = partial(service.datasets.edit, edit=edit, ids=ids, versions={}, force=Force())
        told = changed(service, dataset, do, files=True)
        dataset = service.datasets.get(told["dataset"])
        mending.mark(dataset, look_at(service, dataset, body, _SECONDS)[1].findings)
        return told

    return answer(await service.change(change))


def _edit_for(dataset: DataSet, asked: Sequence[Finding]) -> tuple[Any, list[int]]:
    """The one edit, and the pictures, that mend these findings; of different ones (other words) the first."""
    if not asked:
        raise Refusal(409, "There is nothing to mend of this kind any more.", advice="Look at the plan again.")
    edits = [mending.edit_of(one.fix) for one in asked if one.fix]
    alike = [one for one, edit in zip(asked, edits, strict=True) if edit == edits[0]]
    paths = [path for one in alike for path in (one.fix.values.get("files", one.files) if one.fix else ())]
    return edits[0], mending.pictures_of(dataset, paths)


def look_at(service: Service, dataset: DataSet, body: dict[str, Any], seconds: float) -> tuple[Draft, Lint]:
    """Everything that is found in a data set: as the form's `values` train it, else by itself."""
    until = time.monotonic() + seconds
    if isinstance(body.get("values"), dict):
        draft = drafts.read({"values": body["values"]}, service.datasets.left_out)
        files = _files(service, draft)
        if files is not None and set(_places(files.data)) & {str(folder.path) for folder in dataset.folders}:
            plan = make_plan(files.data, prior_loss_weight=files.options.training.prior_loss_weight, until=until)
            return draft, _all(plan, linting.look(draft, files, plan, None, until=until))
    plan = make_plan(_spec(dataset), until=until)
    return drafts.read({"options": {}}, service.datasets.left_out), _all(plan, lint(plan, LintSettings(), until=until))


def _all(plan: DataPlan, found: Lint) -> Lint:
    return Lint((*plan.findings, *found.findings), found.waiting, found.unread)


def _files(service: Service, draft: Draft) -> RunFiles | None:
    """What the form would train, as far as it can be made out; None for folders that may not be looked into."""
    if folders.of_draft(draft, service.host.access()):
        return None
    folder = service.paths.runs / "draft"
    try:
        return drafts.files(draft, folder, draft.name)
    except InputErrors as wrong:
        return drafts.files_in_spite(draft, folder, wrong)
    except InputError:
        return None


def _places(data: DataSpec) -> list[str]:
    return [str(subset.image_dir) for dataset in data.datasets for subset in dataset.subsets]


def _spec(dataset: DataSet) -> DataSpec:
    """The data set's folders as they would be trained by their names alone."""
    subsets = []
    for folder in dataset.folders:
        repeats, words = parse_folder_name(folder.name) or (1, "")
        subsets.append(
            SubsetSpec(
                image_dir=folder.path,
                num_repeats=repeats,
                class_tokens=words,
                caption_extension=dataset.ending,
                exclude=tuple(name for name, one in folder.pictures.items() if one.left_out),
            )
        )
    return DataSpec(datasets=(DatasetSpec(resolution=_RESOLUTION, subsets=tuple(subsets), enable_bucket=True),))


TABLE: list[tuple[str, str, Callable[[Service, Request], Awaitable[Response]]]] = [
    ("POST", "datasets/{id}/findings", _findings),
    ("POST", "datasets/{id}/mend", _mend),
]
