"""Pictures standing alone: one process, `python -m lora_trainer generate_server FOLDER`, kept between requests.

The two speak by files, each written whole: the host writes `requests/<id>.json` (then `results/<id>/stop` to break it off, and
`quit` to end the server, `off` to send its model to main memory until the next request: it deletes that file then), the server
writes `results/<id>/status.json` and the pictures beside it, and deletes the request when it is over. It has the card only
while no training does: one that begins ends it first, one that is at work is asked for it (runs.lending), and while `wait` is
there no request is begun. While `shared` is there it has it beside a training: where its memory is not enough, the server
writes `crowded` and begins anew when `shared` is gone.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import HostError, InputError
from ..foreign.json_text import read_number, read_table
from ..log import logger
from ..paths import write_text_atomic
from . import process, worker
from .folder import RunFolder, WorkerProcess
from .lending import Standing
from .peaks import Peaks

_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")
_KEPT = 200  # results; older ones are deleted
_QUIT_SECONDS = 15.0
_STARTS = 3
_LOOK_SECONDS = 0.2
_LATE_SECONDS = 10.0  # of waiting, after which the reason is told
OVER = ("finished", "stopped", "failed")


class Generation:
    """The server's other end. `standing()` says how the card stands (all is free without a training). Thread-safe."""

    def __init__(self, host: worker.WorkerHost, folder: Path, *, standing: Callable[[], Standing]) -> None:
        self.folder = folder
        self._host = host
        self._standing = standing
        self._open: dict[str, tuple[str, int]] = {}  # requests of this program that were not seen to be over: model and pixels
        self._peaks = Peaks()
        self._lock = threading.Lock()
        self._starts: dict[str, int] = {}  # how often a server was started for a request

    def submit(self, request: Mapping[str, Any]) -> str:
        """Ask for pictures; returns the request's id. A training that has the card is asked to leave it first (`tick`)."""
        with self._lock:
            name = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
            self._forget_old()
            (self.folder / "results" / name).mkdir(parents=True)
            is_free = self._is_free(self._standing())  # told before a server that is there sees the request
            path = self.folder / "requests" / f"{name}.json"
            write_text_atomic(path, json.dumps(dict(request), ensure_ascii=False) + "\n")
            self._open[name] = str(request.get("model")), _pixels(request)
            try:
                if is_free:
                    self._ensure_server(name)
            except HostError:
                path.unlink(missing_ok=True)
                self._open.pop(name, None)
                raise
            return name

    def wants_card(self) -> bool:
        """Whether a request waits for the card or is at work on it."""
        with self._lock:
            self._forget_closed()
            return bool(self._open)

    def need(self) -> int | None:
        """How many bytes of the card the requests take that wait or are at work, as it was measured; None: not known."""
        with self._lock:
            every = [self._peaks.need(*asked) for asked in self._open.values()]
        known = [one for one in every if one is not None]
        return max(known, default=0) if len(known) == len(every) else None

    def is_crowded(self) -> bool:
        """Whether the server found too little memory beside a training."""
        return (self.folder / "crowded").exists()

    def tick(self) -> None:
        """Let the requests that waited for the card have it, once it is free; they fail where it cannot be had."""
        standing = self._standing()
        with self._lock:
            is_free = self._is_free(standing)
            waiting = sorted(name for name in self._open if self._is_open(name))
            if not waiting or self._is_alive():
                return
            if standing.refusal:
                self._fail(waiting[0], standing.refusal)
            elif is_free and self._starts.get(waiting[0], 0) < _STARTS:
                self._ensure_server(waiting[0])
            elif is_free:
                self._fail(waiting[0], self._last_words())

    def leave_card(self) -> bool:
        """Send what the server keeps to main memory; False while it makes pictures. Waits a moment for it."""
        with self._lock:
            server = self._server()
            if any(self._is_open(name) for name in self._open):
                return False
            if server is None or not worker.is_alive(server):
                return True
            (self.folder / "off").touch()
        self._wait_for(server, lambda: not (self.folder / "off").exists())
        return True

    def status(self, request_id: str) -> dict[str, Any]:
        """{state, done, total, message, advice, images: [{name, seed, prompt}]}. Raises InputError for an unknown id."""
        with self._lock:
            # In this order: a server says its last word before it leaves.
            alive, standing = self._is_alive(), self._standing()
            is_free = self._is_free(standing)
            found = read_table(self._result(request_id) / "status.json")
            status = _status(**found)
            if status["state"] == "waiting" and not is_free:
                status["message"] = _waiting_for(standing)
            if status["state"] in OVER or alive:
                return status
            if status["state"] == "waiting" and not is_free:
                return status
            if status["state"] == "waiting" and self._starts.get(request_id, 0) < _STARTS:
                self._ensure_server(request_id)  # the last one left as the request came
            else:
                status.update(state="failed", message=self._last_words())
            return status

    def follow(self, request_id: str, should_stop: Callable[[], bool]) -> Iterator[dict[str, Any]]:
        """How a request stands, again and again until it is over (the last one); it is broken off when `should_stop()`."""
        while True:
            status = self.status(request_id)
            yield status
            if status["state"] in OVER:
                return
            if should_stop():
                self.stop(request_id)
            time.sleep(_LOOK_SECONDS)

    def stop(self, request_id: str) -> dict[str, Any]:
        """Break a request off after the current step; one that waits for the card, now."""
        (self._result(request_id) / "stop").touch()
        with self._lock:
            if self._is_open(request_id) and not self._is_alive():
                self._end(request_id, "stopped")
        return self.status(request_id)

    def file(self, request_id: str, name: str) -> Path | None:
        """A picture of a request by its plain name, or None."""
        path = self._result(request_id) / name
        return path if Path(name).name == name and path.suffix == ".png" and path.is_file() else None

    def active(self) -> str | None:
        """The id of a request that is not over, or None."""
        if not self._is_alive():
            return None
        asked = sorted(path.stem for path in (self.folder / "requests").glob("*.json"))
        # the server says "finished" a moment before it deletes the request
        return next((name for name in asked if self._is_open(name)), None)

    def process(self) -> int | None:
        """The id of the server's process while it lives."""
        server = self._server()
        return server.pid if server is not None and worker.is_alive(server) else None

    def release_card(self) -> None:
        """End the server, so that a training can have the card: asked first, ended after 15 seconds."""
        with self._lock:
            server = self._server()
            if server is None or not worker.is_alive(server):
                return
            (self.folder / "quit").touch()
        # Waiting without the lock: whoever asks how a request stands is answered. No other server starts: the card is not free.
        self._wait_for(server, lambda: False)

    def _wait_for(self, server: WorkerProcess, is_done: Callable[[], bool]) -> None:
        """Wait until the server has obeyed, or ended; it is ended after 15 seconds."""
        end = time.monotonic() + _QUIT_SECONDS
        while worker.is_alive(server) and not is_done():
            if time.monotonic() > end:
                logger.warning("the generating process %d did not leave the card: ending it", server.pid)
                process.end_group(server.pid, server.group, server.mark, hard=True)
                end = time.monotonic() + _QUIT_SECONDS
            time.sleep(0.05)

    def _last_words(self) -> str:
        return f"The generating process ended unexpectedly. Its last lines:\n{RunFolder(self.folder).log_tail(6)}"

    def _is_open(self, request_id: str) -> bool:
        folder = self.folder / "results" / request_id
        return folder.is_dir() and read_table(folder / "status.json").get("state") not in OVER

    def _is_free(self, standing: Standing) -> bool:
        """Whether a server may draw now. It is told here, and whether it has the card beside a training."""
        self._mark("shared", standing.shares)
        self._mark("wait", not standing.is_free)
        return standing.is_free

    def _mark(self, name: str, is_so: bool) -> None:
        mark = self.folder / name
        if is_so and not mark.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            mark.touch()
        elif not is_so:
            mark.unlink(missing_ok=True)

    def _forget_closed(self) -> None:
        """Forget the requests that are over, but not what they took."""
        for name in [name for name in self._open if not self._is_open(name)]:
            taken = read_number(read_table(self.folder / "results" / name / "status.json"), "peak_memory")
            asked = self._open.pop(name)
            if taken:
                self._peaks.add(*asked, int(taken))

    def _fail(self, request_id: str, message: str) -> None:
        self._end(request_id, "failed", message)

    def _end(self, request_id: str, state: str, message: str = "") -> None:
        (self.folder / "requests" / f"{request_id}.json").unlink(missing_ok=True)
        status = json.dumps(_status(state=state, message=message)) + "\n"
        write_text_atomic(self.folder / "results" / request_id / "status.json", status)

    def _ensure_server(self, request_id: str) -> None:
        if self._is_alive():
            return
        self._starts[request_id] = self._starts.get(request_id, 0) + 1
        for asked in ("quit", "off", "crowded"):
            (self.folder / asked).unlink(missing_ok=True)
        (self.folder / "log.txt").unlink(missing_ok=True)
        words = worker.command(self._host, "generate_server", str(self.folder))
        server = worker.spawn(words, log=self.folder / "log.txt", env=worker.environment(self._host))
        RunFolder(self.folder).note_worker(server)

    def _server(self) -> WorkerProcess | None:
        return RunFolder(self.folder).worker()

    def _is_alive(self) -> bool:
        server = self._server()
        return server is not None and worker.is_alive(server)

    def _result(self, request_id: str) -> Path:
        path = self.folder / "results" / request_id
        if not _ID.fullmatch(request_id) or not path.is_dir():
            raise InputError(f"there is no request {request_id!r}.", field="id")
        return path

    def _forget_old(self) -> None:
        for path in sorted((self.folder / "results").glob("*/"))[:-_KEPT]:
            shutil.rmtree(path, ignore_errors=True)
            (self.folder / "requests" / f"{path.name}.json").unlink(missing_ok=True)


def _status(**told: Any) -> dict[str, Any]:
    """A request's status: as it stands before anybody has begun with it, but for what is `told`."""
    return {"state": "waiting", "done": 0, "total": 0, "message": "", "advice": "", "images": [], **told}


def _waiting_for(standing: Standing) -> str:
    """What a request waits for, in words."""
    if (standing.waited or 0.0) < _LATE_SECONDS:
        return "The training is asked to make room."
    return "The training is asked to make room: it does that after what it is doing now. Its page says what that is."


def _pixels(request: Mapping[str, Any]) -> int:
    """How many pixels a request draws at once."""
    sizes = [read_number(dict(request), name) for name in ("width", "height", "batch_size")]
    width, height, count = (int(given or standard) for given, standard in zip(sizes, (512, 512, 1), strict=True))
    return width * height * count
