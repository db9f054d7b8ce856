"""The tools behind the page: each a process of its own, `python -m lora_trainer TOOL ...`, one at a time.

A job's folder: `job.json` (what was asked), `log.txt` (its output), `worker.json` (its process), `stop` (it was asked to end),
`outcome.json` (how it ended, written by the host that saw it), and the picture of a check.
"""

from __future__ import annotations

import glob
import json
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..errors import HostError, InputError
from ..foreign.json_text import read_table
from ..foreign.reading import UnreadableError, read_bytes
from ..log import logger
from ..paths import write_text_atomic
from . import process, worker
from .folder import RunFolder, WorkerProcess
from .standby import Standby

_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")
_KEPT = 50  # jobs; older ones are deleted
_SOFT_SECONDS = 10.0
_SHOWN_LINES = 120
_PROGRESS = re.compile(r"^\S+ INFO +(\d+) / (\d+)$")
_ERROR = re.compile(r"^(?:Error|\d+ errors):\n", re.MULTILINE)
REPORT = "report.json"  # written at the end, by tools that have something to tell the page
RUNNING, FINISHED, STOPPED, FAILED = "running", "finished", "stopped", "failed"


class ToolJobs:
    """Runs tools below `folder`. Thread-safe."""

    def __init__(
        self, host: worker.WorkerHost, folder: Path, *, kept: int = _KEPT, spawn: Callable[..., WorkerProcess] | None = None
    ) -> None:
        """`kept` jobs are kept; older ones are deleted when another starts. `spawn(*words, log=)` starts them."""
        self.folder = folder
        self._kept = kept
        self._host = host
        self._spawn = spawn or Standby(host, folder / "standby.txt").spawn
        self._lock = threading.Lock()
        self._watched: dict[str, threading.Thread] = {}

    def start(
        self, command: str, words: Callable[[Path], Sequence[str]], *, tool: str, writes: str, target: Path | None
    ) -> str:
        """Start `command` with `words(folder of the job)`; returns the job's id.

        writes: "lora", "checkpoint", "captions" or "" (see options.tools.declaring); target: the file it is asked to write.
        Raises HostError while another tool runs.
        """
        with self._lock:
            if self.active():
                raise HostError("Another tool is at work.", advice="Wait until it has ended, or cancel it.")
            self._forget_old()
            job_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
            path = self.folder / job_id
            line = [command, *words(path)]
            job = {"tool": tool, "writes": writes, "target": str(target or ""), "words": line, "started": time.time()}
            job["before"] = {one.name: one.stat().st_mtime_ns for one in _candidates(target)}
            write_text_atomic(path / "job.json", json.dumps(job, ensure_ascii=False, indent=1) + "\n")
            folder = RunFolder(path)
            folder.note_worker(self._spawn(*line, log=folder.log))
            self._watch(job_id)
            return job_id

    def status(self, job_id: str) -> dict[str, Any]:
        """{id, tool, writes, words, state, message, done, total, log, report: [{level, message}], files: [path]}.

        Raises InputError for an unknown id.
        """
        path = self._path(job_id)
        job, outcome = read_table(path / "job.json"), read_table(path / "outcome.json")
        if not outcome and job_id not in self._watched:
            with self._lock:
                self._watch(job_id)  # an earlier host started it
        log = RunFolder(path).log_tail(_SHOWN_LINES)
        done, total = progress_in(log)
        printed = _ERROR.split(log)[0] if outcome else log  # the error itself is the message
        if outcome.get("state") == FINISHED and not job.get("writes"):
            printed = _beginning(RunFolder(path).log)
        lines = [line for line in printed.splitlines() if not _PROGRESS.match(line)]
        shown = {key: job.get(key, "") for key in ("tool", "writes", "words")}
        counts = {"done": total if outcome.get("state") == FINISHED else done, "total": total}
        state = {"state": outcome.get("state", RUNNING), "message": outcome.get("message", ""), **counts}
        said = read_table(path / REPORT).get("messages")
        told = {"log": "\n".join(lines), "report": said if isinstance(said, list) else []}
        return {"id": job_id, **shown, **state, **told, "files": _results(path, job) if outcome else []}

    def stop(self, job_id: str) -> dict[str, Any]:
        """End a job's process; what it had half written goes. Nothing when it has ended."""
        path = self._path(job_id)
        found = RunFolder(path).worker()
        if not read_table(path / "outcome.json") and found is not None:
            (path / "stop").touch()
            process.end_group(found.pid, found.group, found.mark, hard=False)
        return self.status(job_id)

    def file(self, job_id: str, name: str) -> Path | None:
        """A result of an ended job by its plain name, or None."""
        return next((path for path in self.status(job_id)["files"] if path.name == name), None)

    def active(self) -> str | None:
        """The id of the job at work, or None."""
        for path in sorted(self.folder.glob("*/"), reverse=True):
            if _ID.fullmatch(path.name) and (path / "job.json").is_file() and not (path / "outcome.json").is_file():
                found = RunFolder(path).worker()
                if found is not None and worker.is_alive(found):
                    return path.name
        return None

    def captioning(self) -> tuple[str, bool] | None:
        """(folder, whether it may compute on the card) of a job at work that writes captions, or None."""
        job_id = self.active()
        job = read_table(self._path(job_id) / "job.json") if job_id else {}
        if job.get("writes") != "captions":
            return None
        words = job.get("words") or []
        return captioned_folder(words), ("--device", "cpu") not in zip(words, words[1:], strict=False)

    def captioned(self) -> list[tuple[str, str]]:
        """(id, folder) of the ended jobs that wrote captions, the newest first."""
        found = []
        for path in sorted((one for one in self.folder.glob("*/") if _ID.fullmatch(one.name)), reverse=True):
            job = read_table(path / "job.json")
            if job.get("writes") == "captions" and (path / "outcome.json").is_file():
                found.append((path.name, captioned_folder(job.get("words") or [])))
        return found

    def wait(self, job_id: str, seconds: float) -> None:
        """Wait until the job's end has been seen to, at most so long."""
        watcher = self._watched.get(job_id)
        if watcher is not None:
            watcher.join(seconds)

    def _watch(self, job_id: str) -> None:
        if job_id not in self._watched:
            thread = threading.Thread(target=self._see_to, args=(job_id,), name=f"lora-trainer tool {job_id}", daemon=True)
            self._watched[job_id] = thread
            thread.start()

    def _see_to(self, job_id: str) -> None:
        """Wait for the process; tell the host of its results, then write how it ended."""
        path = self.folder / job_id
        found = RunFolder(path).worker()
        asked: float | None = None
        while found is not None and worker.is_alive(found):
            if asked is None and (path / "stop").exists():
                asked = time.monotonic()
            elif asked is not None and time.monotonic() - asked > _SOFT_SECONDS:
                process.end_group(found.pid, found.group, found.mark, hard=True)
            time.sleep(0.1)
        job = read_table(path / "job.json")
        results = _results(path, job)
        outcome = _outcome(path, job, worker.exit_code(found) if found else None, results)
        if outcome["state"] != FINISHED:
            _remove_halves(job)
        try:
            tell = {"checkpoint": self._host.checkpoints_changed, "lora": self._host.lora_changed}.get(str(job.get("writes")))
            if tell is not None:
                for result in results:
                    tell(result)
        except Exception:  # whatever a host's own code raises
            logger.exception("the host could not be told of new files; it will see them after a refresh")
        write_text_atomic(path / "outcome.json", json.dumps(outcome, ensure_ascii=False) + "\n")
        logger.info("%s: %s", job.get("tool"), outcome["state"])

    def _path(self, job_id: str) -> Path:
        path = self.folder / job_id
        if not _ID.fullmatch(job_id) or not (path / "job.json").is_file():
            raise InputError(f"there is no job {job_id!r}.", field="id")
        return path

    def _forget_old(self) -> None:
        for path in sorted(one for one in self.folder.glob("*/") if _ID.fullmatch(one.name))[: 1 - self._kept or None]:
            shutil.rmtree(path, ignore_errors=True)


def captioned_folder(words: Sequence[str]) -> str:
    """The folder whose pictures a command line captions."""
    return next((word.partition("=")[2] for word in words if word.startswith("--train_data_dir=")), "")


def progress_in(log: str) -> tuple[int, int]:
    """(done, total) of the last line of progress in a tool's output; (0, 0) before the first."""
    found = [match for line in log.splitlines() if (match := _PROGRESS.match(line))]
    return (int(found[-1][1]), int(found[-1][2])) if found else (0, 0)


def _beginning(log: Path) -> str:
    """A report: what matters stands first, and hundreds of lines about single layers at the end."""
    try:
        lines = read_bytes(log).decode("utf-8", "replace").splitlines()
    except UnreadableError:
        return RunFolder(log.parent).log_tail(_SHOWN_LINES)
    rest = len(lines) - _SHOWN_LINES
    return "\n".join([*lines[:_SHOWN_LINES], *([f"… and {rest} more lines"] if rest > 0 else [])])


def _outcome(path: Path, job: dict[str, Any], code: int | None, results: Sequence[Path]) -> dict[str, str]:
    """How a job ended. Of a child of another host the exit code is not known; then its result tells."""
    log = RunFolder(path).log_tail(_SHOWN_LINES)
    heading = list(_ERROR.finditer(log))
    if heading:
        lines = [line.strip() for line in log[heading[-1].end() :].splitlines()]
        return {"state": FAILED, "message": "\n".join(lines)}
    is_told_by_result = code is None or (code == 1 and not job.get("writes"))  # a check exits with 1 when it finds something
    has_told = code is None and (path / REPORT).is_file()
    if code == 0 or has_told or (is_told_by_result and results):
        return {"state": FINISHED, "message": ""}
    if (path / "stop").exists():
        return {"state": STOPPED, "message": ""}
    tail = "\n".join(log.splitlines()[-6:])
    return {"state": FAILED, "message": f"The tool ended unexpectedly{worker.ending(code)}. Its last lines:\n{tail}"}


def _candidates(target: Path | None) -> list[Path]:
    """The files that a tool may write when it is asked for `target`: it, or those of a split DyLoRA."""
    if target is None:
        return []
    split = target.parent.glob(f"{glob.escape(target.stem)}-[0-9][0-9][0-9][0-9]{target.suffix}")
    return [path for path in (target, *sorted(split)) if path.is_file()]


def _results(path: Path, job: dict[str, Any]) -> list[Path]:
    """What the job has written: the files that are new or changed since it began, and the pictures in its folder."""
    before = job.get("before") or {}
    target = Path(job["target"]) if job.get("target") else None
    written = [one for one in _candidates(target) if one.stat().st_mtime_ns != before.get(one.name)]
    return [*written, *sorted(path.glob("*.png"))]


def _remove_halves(job: dict[str, Any]) -> None:
    """Temporary files (paths.write_atomic) that an ended process left beside its target."""
    if not job.get("target"):
        return
    target = Path(job["target"])
    stem, name = glob.escape(target.stem), glob.escape(target.name[:100])
    for pattern in (f"{name}.*.tmp", f"{stem}-[0-9][0-9][0-9][0-9]{target.suffix}.*.tmp"):
        for path in target.parent.glob(pattern):
            if path.stat().st_mtime >= float(job["started"]):
                path.unlink(missing_ok=True)
