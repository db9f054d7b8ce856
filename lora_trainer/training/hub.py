"""Uploads to Hugging Face of what a training saves (options huggingface_repo_id, ...), and a state from there to go on from.

Everything is uploaded by one thread. Without async_upload the training waits for it, at its end it waits in any case. An upload
that fails is a warning, never the end of a training; the file stays where it was saved.
"""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import InputError
from ..foreign.reading import is_file, is_folder
from ..log import logger
from ..options.saving import SavingOptions
from ..runs.control import Control
from ..runs.events import Reporter
from ..runs.folder import WORD
from .checkpoint import SavePlan
from .phases import Emit, phase

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_TRIES = 3
_SECONDS_BEFORE_AGAIN = 5.0
_SECONDS_AFTER_STOP = 60.0  # for what is still to be uploaded when somebody asks to stop
_LOOK = 0.2
_SECONDS_HELD = 86400.0
_HELD = ".uploading"  # beside the files: what is on its way stays there when the training removes the file
_KINDS = ("model", "dataset", "space")


class Place(NamedTuple):
    """A folder on the hub: `owner/name`, the path in it, revision and type of the repository."""

    repo_id: str
    path: str
    revision: str | None
    repo_type: str


def place_of(resume: str) -> Place:
    """Take `owner/name/path:revision:type` apart; the last two may be left out. Raises InputError."""
    text, *rest = resume.split(":")
    owner, name, *path = [part for part in text.split("/") if part] + [""] * 2
    revision, kind = [*rest, "", ""][:2]
    if len(rest) > 2 or not owner or not name or not any(path) or (kind and kind not in _KINDS):
        raise InputError(
            f"{resume!r} is no state on Hugging Face.",
            field="resume",
            advice="Write owner/repository/folder:revision:model, for example me/frogs/frog-000002-state:main:model.",
        )
    return Place(f"{owner}/{name}", "/".join(part for part in path if part), revision or None, kind or "model")


def fetched(options: SavingOptions, emit: Emit) -> SavingOptions:
    """The options with the folder on this disk in the place of a state on the hub (option resume_from_huggingface).

    Raises InputError when it is not there, or cannot be fetched.
    """
    if not options.resume_from_huggingface or not options.resume:
        return options
    from huggingface_hub import snapshot_download

    place = place_of(options.resume)
    phase(emit, "fetching the state from Hugging Face")
    try:
        root = snapshot_download(
            place.repo_id,
            repo_type=place.repo_type,
            revision=place.revision,
            allow_patterns=f"{place.path}/*",
            token=options.huggingface_token,
        )
    except Exception as error:  # the hub's client raises many kinds
        raise InputError(
            f"the state {options.resume} could not be fetched: {_reason(error, options)}",
            field="resume",
            advice="Check the name, the network and huggingface_token.",
        ) from error
    folder = Path(root, place.path)
    if not is_folder(folder):
        raise InputError(
            f"{place.repo_id} on Hugging Face has no folder {place.path}.", field="resume", advice="Check the name."
        )
    return replace(options, resume=str(folder))


@contextmanager
def following(options: SavingOptions, reporter: Reporter, *, is_main: bool) -> Iterator[Reporter]:
    """Give a reporter that also uploads what is saved, where the options ask for it (in the main process)."""
    if not is_main or not options.huggingface_repo_id:
        yield reporter
        return
    uploads = Uploads(options, reporter)
    _remove_leavings(Path(options.output_dir or "."))
    try:
        yield uploads
    finally:
        uploads.close()


@dataclass
class Uploads:
    """Passes events on, and uploads the files and states that they tell of."""

    options: SavingOptions
    reporter: Reporter
    _waiting: queue.Queue[tuple[Path, str] | None] = field(default_factory=queue.Queue)
    _failed: deque[str] = field(default_factory=deque)  # said by the training's own thread: an event file has one writer
    _thread: threading.Thread | None = None
    _is_repo_known: bool = False

    def control(self) -> Control:
        """What the user asks for."""
        return self.reporter.control()

    def emit(self, event: Mapping[str, Any]) -> None:
        """Pass `event` on; upload what it tells of."""
        self._say_failed()
        if event["type"] == "finished":  # the last word: whoever hears it may end this process
            self._wait()
        self.reporter.emit(event)
        path = self._path_in(event)
        if path is not None:
            word = path.with_stem(f"{path.stem}{WORD}")  # a word that is saved beside its LoRA
            for one in (path, *([word] if event["type"] == "saved" and is_file(word) else [])):
                self._waiting.put((self._held(one), one.name))
            self._begin()
            if not self.options.async_upload:
                self._wait()
                if not event.get("final"):
                    self.reporter.emit({"type": "phase", "name": "training", "done": 0, "total": 0})

    def close(self) -> None:
        """Wait for what is on its way."""
        self._wait()
        self._waiting.put(None)

    def _path_in(self, event: Mapping[str, Any]) -> Path | None:
        """What is to be uploaded: a LoRA file, unless it is there only for a while; a state that was asked for."""
        path = Path(str(event.get("path", "")))
        if event["type"] == "saved":
            return None if path == SavePlan.of(self.options, 1).unfinished else path
        is_wanted = event["type"] == "state" and self.options.save_state_to_huggingface and not event.get("rolling")
        return path if is_wanted else None

    def _held(self, path: Path) -> Path:
        """`path`, or with async_upload another name of the same, which stays when the training removes an older file."""
        if not self.options.async_upload:
            return path
        try:
            (path.parent / _HELD).mkdir(exist_ok=True)
            held = Path(tempfile.mkdtemp(dir=path.parent / _HELD)) / path.name
            copy = _link if is_file(path) else _link_folder
            copy(path, held)
        except OSError as error:
            logger.warning("%s may be gone before it is uploaded: %s", path, error)
            return path
        return held

    # ---- the thread --------------------------------------------------------------------------------------------------
    def _begin(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="uploads", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while (job := self._waiting.get()) is not None:
            path, name = job
            try:
                self._upload(path, name)
            except Exception as error:  # whatever it is, the training goes on
                self._failed.append(f"{name} could not be uploaded to Hugging Face: {_reason(error, self.options)}")
            finally:
                if path.parent.parent.name == _HELD:
                    shutil.rmtree(path.parent, ignore_errors=True)
                    with contextlib.suppress(OSError):  # others are on their way
                        path.parent.parent.rmdir()
                self._waiting.task_done()

    def _upload(self, path: Path, name: str) -> None:
        for left in reversed(range(_TRIES)):
            try:
                self._send(path, name)
            except Exception as error:
                if not left or not _may_pass(error):
                    raise
                logger.warning("%s could not be uploaded yet: %s", name, _reason(error, self.options))
                time.sleep(_SECONDS_BEFORE_AGAIN)
            else:
                logger.info("uploaded %s to %s", name, self.options.huggingface_repo_id)
                return

    def _send(self, path: Path, name: str) -> None:
        api, chosen = _api(self.options), self.options
        repo: dict[str, Any] = {"repo_id": str(chosen.huggingface_repo_id), "repo_type": chosen.huggingface_repo_type}
        if not self._is_repo_known:
            api.create_repo(**repo, private=chosen.huggingface_repo_visibility != "public", exist_ok=True)
            self._is_repo_known = True
        target = str(PurePosixPath((chosen.huggingface_path_in_repo or "").strip("/"), name))
        if is_file(path):
            api.upload_file(path_or_fileobj=path, path_in_repo=target, **repo)
        else:
            api.upload_folder(folder_path=path, path_in_repo=target, **repo)

    # ---- the training's thread ---------------------------------------------------------------------------------------
    def _wait(self) -> None:
        """Wait until everything is uploaded, or has failed; not much longer once somebody asks to stop."""
        if self._thread is None:
            return
        if self._waiting.unfinished_tasks:
            self.reporter.emit({"type": "phase", "name": "uploading to Hugging Face", "done": 0, "total": 0})
        end = None
        while self._waiting.unfinished_tasks and (end is None or time.monotonic() < end):
            if end is None and self.reporter.control().stop:
                end = time.monotonic() + _SECONDS_AFTER_STOP
            time.sleep(_LOOK)
        if left := self._waiting.unfinished_tasks:
            self._failed.append(f"{left} uploads to Hugging Face were broken off, because the training was to stop.")
        self._say_failed()

    def _say_failed(self) -> None:
        while self._failed:
            self.reporter.emit({"type": "warning", "message": f"{self._failed.popleft()} The training goes on."})


def _api(options: SavingOptions) -> HfApi:
    from huggingface_hub import HfApi
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    return HfApi(token=options.huggingface_token)


def _may_pass(error: Exception) -> bool:
    """Whether a second try may go better: not when the hub has refused (a token, a name)."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status is None or status >= 500 or status in (408, 429)


def _reason(error: Exception, options: SavingOptions) -> str:
    """A sentence of what went wrong, without the token."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return "the token is missing or refused, or may not write there (huggingface_token, or `hf auth login`)."
    text = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
    return text.replace(options.huggingface_token, "***") if options.huggingface_token else text


def _remove_leavings(folder: Path) -> None:
    """Remove what a training that was killed while it uploaded has left: nothing is on its way for a day."""
    with contextlib.suppress(OSError):
        for held in (folder / _HELD).iterdir():
            if held.stat().st_mtime < time.time() - _SECONDS_HELD:
                shutil.rmtree(held, ignore_errors=True)


def _link(path: Path, target: Path) -> None:
    """Give the file another name; copy it where the disk knows no links."""
    try:
        os.link(path, target)
    except OSError:
        shutil.copyfile(path, target)


def _link_folder(path: Path, target: Path) -> None:
    target.mkdir()
    for entry in path.iterdir():
        (_link if is_file(entry) else _link_folder)(entry, target / entry.name)
