"""What a draft will need, measured (`runs.rehearsals`): asked for, followed, and shown with the check. Routes of routes.py."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError, InputErrors
from . import checks, drafts, jobs
from .digests import has_card
from .service import Service


def forecast(service: Service, checked: checks.Checked) -> dict[str, Any] | None:
    """A Forecast of docs/api.md; None while something is wrong with the draft."""
    if not checked.ok or not checked.digest:
        return None
    found = service.rehearsals.known(checked.digest)
    hindrance = service.who_has_the_card()
    report = None if found is None else view(service, found)
    return {"report": report, "hindrance": hindrance, "automatic": not hindrance and has_card()}


def start(service: Service, body: Mapping[str, Any]) -> str:
    """Begin to measure a draft; returns the job's id. Raises InputErrors for what keeps it from being trained, HostError while
    something else has the card."""
    checked = checks.check(service, body)
    if not checked.ok or not checked.digest:
        wrong = [one for one in checked.problems if one["level"] == "error"]
        raise InputErrors(
            InputError(one["message"], field=one["field"], where=one["where"], advice=one["advice"]) for one in wrong
        )

    def files(folder: Path) -> dict[str, str]:
        made = drafts.files(checked.draft, folder, checked.saved_as)
        return {"config.toml": made.config_toml, "dataset.toml": made.dataset_toml, "prompts.txt": made.prompts}

    return service.rehearsals.start(files, checked.digest)


def status(service: Service, job_id: str) -> dict[str, Any]:
    """A Rehearsal of docs/api.md."""
    found = service.rehearsals.status(job_id)
    return {**found, "report": view(service, found["report"]) if found["report"] else None}


def view(service: Service, report: Mapping[str, Any]) -> dict[str, Any]:
    """A Report of docs/api.md: as it was measured, with a word on whose processes held memory."""
    memory = report["memory"]
    known = names_of(service)
    others = [{**one, "who": known.get(one["pid"], "")} for one in memory["others"]]
    return {**report, "memory": {**memory, "others": others}}


def names_of(service: Service) -> dict[int, str]:
    """What the processes of this program are, by their ids."""
    found = {os.getpid(): "the Web UI itself" if service.host.name == "webui" else "this program"}
    server = service.generation.process()
    if server:
        found[server] = "what makes pictures on the Generate page"
    for run in service.store.runs():
        worker = service.supervisor.folder(run.id).worker() if run.is_active else None
        if worker:
            found[worker.pid] = f"the training of {run.name}"
    return found


TABLE = jobs.table("rehearsals", start, status, lambda service: service.rehearsals.jobs)
