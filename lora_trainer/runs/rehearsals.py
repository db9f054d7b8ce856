"""Measuring a draft before it is trained (`python -m lora_trainer rehearse FOLDER`), with the card as a training has it.

One at a time. What a draft came to is kept by its digest, so that nothing is measured twice while nothing changes. A training
that begins comes first: it ends what is being measured.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import HostError
from ..foreign.json_text import read_table
from ..log import logger
from ..paths import write_text_atomic
from . import worker
from .folder import WorkerProcess
from .tool_jobs import FAILED, REPORT, RUNNING, ToolJobs

_DRAFT = "draft.json"
_KEPT = 24
_LOOK_SECONDS = 0.5
_KILLED = "(killed by signal 9)"


class Rehearsals:
    """Measures drafts below `folder`. `hindrance()` says who has the card ("" for nobody), `release()` takes what makes
    pictures off it, `spawn(*words, log=)` starts the process. Thread-safe."""

    def __init__(
        self,
        host: worker.WorkerHost,
        folder: Path,
        *,
        hindrance: Callable[[], str],
        release: Callable[[], None],
        spawn: Callable[..., WorkerProcess] | None = None,
    ) -> None:
        self._host, self._hindrance, self._release = host, hindrance, release
        self.jobs = ToolJobs(host, folder, kept=_KEPT, spawn=spawn)
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self, files: Callable[[Path], Mapping[str, str]], digest: str) -> str:
        """Begin to measure; returns the job's id. `files(folder)` are the texts to write there, by name.

        Raises HostError while something else has the card, or another draft is measured.
        """

        def words(folder: Path) -> list[str]:
            for name, text in files(folder).items():
                write_text_atomic(folder / name, text)
            write_text_atomic(folder / _DRAFT, json.dumps({"digest": digest}) + "\n")
            return [str(folder)]

        with self._starting:
            if reason := self._hindrance() or self.at_work():
                raise HostError(reason, advice="Measure when it has ended, or start: what is started waits in the queue.")
            self._release()
            self._host.lend_gpu()
            try:
                job_id = self.jobs.start("rehearse", words, tool="rehearsal", writes="", target=None)
            except BaseException:
                self._host.reclaim_gpu()
                raise
            self._thread = threading.Thread(target=self._see_to, args=(job_id,), name="lora-trainer rehearsal", daemon=True)
            self._thread.start()
            return job_id

    def is_at_work(self) -> bool:
        """Whether a draft is being measured, or the card not given back yet."""
        return self._thread is not None and self._thread.is_alive()

    def at_work(self) -> str:
        """The same as a sentence, "" when none is."""
        return "The memory that a training needs is being measured on this machine." if self.is_at_work() else ""

    def end(self) -> None:
        """Somebody who comes first wants the card: end what is being measured, and wait until the card is given back."""
        with self._starting:  # what is about to begin has begun; what comes later finds who has the card
            thread, job_id = self._thread, self.jobs.active()
        if job_id is not None:
            self.jobs.stop(job_id)
        if thread is not None:
            thread.join()

    def status(self, job_id: str) -> dict[str, Any]:
        """{"id", "state", "message", "done", "total", "report": None until there is one}. Raises InputError for no job's id."""
        found = self.jobs.status(job_id)
        told = {key: found[key] for key in ("id", "state", "message", "done", "total")}
        if told["state"] == FAILED and _KILLED in told["message"]:
            told["message"] = "The system ended the measuring: most likely main memory was full."
        return {**told, "report": None if told["state"] == RUNNING else _report(self.jobs.folder / job_id)}

    def known(self, digest: str) -> dict[str, Any] | None:
        """The last report on a draft of this digest."""
        for path in sorted(self.jobs.folder.glob("*/"), reverse=True):
            if read_table(path / _DRAFT).get("digest") == digest and (found := _report(path)):
                return found
        return None

    def foretold(self, digest: str) -> dict[str, Any] | None:
        """What of it a run keeps, to be compared with what it came to: {"needed": bytes or None, "seconds": of all or None}."""
        found = self.known(digest)
        return None if found is None else {"needed": found["memory"]["needed"], "seconds": found["time"]["total"]}

    def _see_to(self, job_id: str) -> None:
        try:
            while self.jobs.status(job_id)["state"] == RUNNING:
                self.jobs.wait(job_id, _LOOK_SECONDS)
        except Exception:
            logger.exception("how the measuring of a draft ended could not be seen")
        finally:
            self._host.reclaim_gpu()


def _report(folder: Path) -> dict[str, Any] | None:
    return read_table(folder / REPORT) or None
