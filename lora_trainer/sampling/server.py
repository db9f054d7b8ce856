"""`python -m lora_trainer generate_server FOLDER`: a process that keeps a model loaded and draws what is asked for in files.

    FOLDER/requests/ID.json     the host writes it whole (temporary file, rename); the server deletes it when it is over:
                                {"model": path, "vae": path or null, "lora_dirs": [folders], "lora_files": {name: path},
                                 "embeddings_dirs": [folders],
                                 "precision": "auto", "device": "auto"}
                                and the fields of ImageRequest: "prompt", "negative_prompt", "width", "height",
                                "steps", "cfg_scale", "seed", "sampler", "batch_size", "batch_count", "clip_skip"
    FOLDER/results/ID/          status.json and 0.png, 1.png, ... (each readable as soon as the status names it):
                                {"state": "waiting" | "loading" | "running" | "finished" | "stopped" | "failed",
                                 "done", "total": sampler steps, "message", "advice": "" unless it failed,
                                 "images": [{"name", "seed", "prompt", "info"}],
                                 "peak_memory": bytes of the card (of main memory without one) at most, once it is over}
    FOLDER/results/ID/stop      the host creates it to break the request off at the next step
    FOLDER/wait                 the host has created it: a training has the card, nothing is begun
    FOLDER/shared               the host has created it: a training uses the card, too
    FOLDER/crowded              the server creates it when its memory is not enough then; it begins anew when `shared` is gone
    FOLDER/off                  the host creates it; the server sends its model to main memory and deletes it
    FOLDER/quit                 the host creates it; the server breaks off, deletes it and leaves
    FOLDER/worker.json          which process the server is; a second one refuses to start
    FOLDER/heartbeat            touched every 2 s while the server lives

Requests are drawn one after another in the order of their names. What an earlier server left half done is marked as failed. The
server leaves after 10 minutes without a request, so that the memory and the card are free.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .. import log
from ..errors import InputError, LoraTrainerError, SaveError, is_out_of_memory
from ..foreign.json_text import read_json, read_table
from ..foreign.reading import UnreadableError
from ..log import logger
from ..models import card
from ..models.main_memory import free_card
from ..paths import write_text_atomic
from ..runs.folder import RunFolder
from . import embeddings
from .generate import LoraFolders, draw, save_png
from .request import from_mapping
from .session import Session, choose_device

HEARTBEAT_SECONDS = 2.0
LOOK_SECONDS = 0.1
TELL_SECONDS = 0.2  # how often the progress is written
_WRITE_ATTEMPTS = 5
OVER = ("finished", "stopped", "failed")
_OWN_KEYS = ("id", "model", "vae", "lora_dirs", "lora_files", "embeddings_dirs", "precision", "device")


@dataclass
class Status:
    """What `status.json` holds; see the module's docstring."""

    state: str = "waiting"
    done: int = 0
    total: int = 0
    message: str = ""
    advice: str = ""
    images: list[dict[str, Any]] = field(default_factory=list)
    peak_memory: int | None = None

    def write(self, folder: Path) -> None:
        """Raises SaveError when the disk is full; on Windows a reader can be in the way for a moment, so it is tried again."""
        text = json.dumps(asdict(self), ensure_ascii=False) + "\n"
        for attempt in range(_WRITE_ATTEMPTS):
            try:
                write_text_atomic(folder / "status.json", text)
                return
            except SaveError:
                if attempt == _WRITE_ATTEMPTS - 1:
                    raise
                time.sleep(0.05)


class Server:
    """Draws the requests of a folder. `run` returns when it is told to quit or has been idle for `idle_seconds`."""

    def __init__(self, folder: Path, *, idle_seconds: float = 600.0) -> None:
        self.folder = folder
        self._idle_seconds = idle_seconds
        self._session = Session()
        self._ended = threading.Event()
        for name in ("requests", "results"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def run(self) -> None:
        """Raises StoreError when another server is at work in this folder."""
        RunFolder(self.folder).claim_worker()
        heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        heart.start()
        try:
            self._mark_leftovers()
            self._serve()
        finally:
            self._ended.set()
            self._session.drop()
            (self.folder / "quit").unlink(missing_ok=True)

    def _serve(self) -> None:
        last = time.monotonic()
        while not self._must_quit():
            waiting = self._waiting()
            if self._is_crowded() or (self.folder / "wait").exists() and waiting:
                time.sleep(LOOK_SECONDS)
            elif waiting:
                self.answer(waiting[0])
                last = time.monotonic()
            elif (self.folder / "off").exists():
                self._session.leave_card()
                (self.folder / "off").unlink(missing_ok=True)
            elif time.monotonic() - last > self._idle_seconds:
                logger.info("nothing was asked for in %g minutes: leaving", self._idle_seconds / 60)
                return
            else:
                time.sleep(LOOK_SECONDS)

    def answer(self, path: Path) -> None:
        """Draw one request file; whatever happens is told in its status, and the file is deleted. Where the card is too full
        because a training uses it, too, the request waits until that has left it."""
        folder = self.folder / "results" / path.stem
        folder.mkdir(parents=True, exist_ok=True)
        status = Status()
        try:
            self._draw(_read(path), folder, status)
        except LoraTrainerError as error:
            # The parts of InputErrors carry their own advice in the text.
            status.state, status.message, status.advice = "failed", error.message, error.advice
        except Exception as error:  # a bug of ours must not end the server; its trace is in the log
            if not is_out_of_memory(error):
                logger.exception("request %s failed", path.stem)
                status.state, status.message = "failed", f"{type(error).__name__}: {error}"
                status.advice = "This is a mistake in the program; the log has the details."
            elif self._has_company():
                (self.folder / "crowded").touch()
                status = Status()
            else:
                status.state, status.message = "failed", "The card is full."
                status.advice = "Lower the batch size or the size, or close other programs that use the card."
        if status.state == "failed":
            logger.warning("request %s failed: %s", path.stem, status.message)
            free_card()
        if status.state == "waiting":
            logger.info("request %s: the card is too full beside a training, waiting until that has left it", path.stem)
            self._session.leave_card()
            free_card()
        try:
            status.write(folder)
        except SaveError as error:
            logger.error("request %s: its status could not be written: %s", path.stem, error)
        if status.state != "waiting":
            path.unlink(missing_ok=True)

    def _has_company(self) -> bool:
        """Whether a training uses the card, too, or is on its way off it."""
        return (self.folder / "shared").exists() or (self.folder / "wait").exists()

    def _is_crowded(self) -> bool:
        """Whether to wait until a training that uses the card, too, has left it."""
        crowded = self.folder / "crowded"
        if crowded.exists() and not (self.folder / "shared").exists():
            crowded.unlink()
        return crowded.exists()

    def _draw(self, values: Mapping[str, Any], folder: Path, status: Status) -> None:
        model_path = _text(values, "model")
        folders, others = (_folders(values, key) for key in ("lora_dirs", "embeddings_dirs"))
        vae, precision, device = (_text(values, key) for key in ("vae", "precision", "device"))
        if not model_path:
            raise InputError("no base model is chosen.", field="model", advice="Choose one.")
        named = values.get("lora_files") or {}
        if not isinstance(named, dict) or not all(isinstance(path, str) for path in named.values()):
            raise InputError(f"lora_files is {named!r}; expected files by name.", field="lora_files")
        request = from_mapping({key: value for key, value in values.items() if key not in _OWN_KEYS}).with_seed()
        status.state, status.total = "loading", request.steps * request.batch_count
        status.write(folder)

        def must_stop() -> bool:
            return (folder / "stop").exists() or self._must_quit()

        if must_stop():
            status.state = "stopped"
            return
        where = choose_device(device or "auto")
        card.begin_peak(where)
        model = self._session.model(model_path, vae=vae or None, precision=precision or "auto", device=device or "auto")
        status.state = "running"
        status.write(folder)
        told = time.monotonic()

        def progress(done: int, total: int) -> None:
            nonlocal told
            status.done, status.total = done, total
            if time.monotonic() - told > TELL_SECONDS:
                told = time.monotonic()
                status.write(folder)

        words = embeddings.in_folders(others)
        loras = LoraFolders(folders, {name: Path(path) for name, path in named.items()})
        for number, picture in enumerate(
            draw(model, request, loras=loras, words=words, progress=progress, should_stop=must_stop)
        ):
            save_png(folder / f"{number}.png", picture)
            image = {"name": f"{number}.png", "seed": picture.seed, "prompt": request.prompt, "info": picture.info}
            status.images.append(image)
            status.write(folder)
        status.peak_memory = card.peak_memory(where)
        status.state = "finished" if len(status.images) == request.count else "stopped"

    def _waiting(self) -> list[Path]:
        return sorted((self.folder / "requests").glob("*.json"))

    def _must_quit(self) -> bool:
        return (self.folder / "quit").exists()

    def _mark_leftovers(self) -> None:
        """Requests that an earlier server began are not begun again (they may be why it ended), those it did not are."""
        for path in self._waiting():
            folder = self.folder / "results" / path.stem
            found = read_table(folder / "status.json")
            state = found.get("state")
            if state is None:
                continue
            if state not in OVER and state != "waiting":
                found.update(state="failed", message="The generating process ended while it drew this.", advice="Try again.")
                write_text_atomic(folder / "status.json", json.dumps(found, ensure_ascii=False) + "\n")
            if state != "waiting":
                path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(OSError):
                (self.folder / "heartbeat").touch()
            self._ended.wait(HEARTBEAT_SECONDS)


def _folders(values: Mapping[str, Any], key: str) -> list[Path]:
    folders = values.get(key) or []
    if not isinstance(folders, list) or not all(isinstance(entry, str) for entry in folders):
        raise InputError(f"{key} is {folders!r}; expected a list of folders.", field=key)
    return [Path(entry) for entry in folders]


def _text(values: Mapping[str, Any], key: str) -> str:
    value = values.get(key)
    if value is not None and not isinstance(value, str):
        raise InputError(f"{key} is {value!r}; expected text.", field=key)
    return value or ""


def _read(path: Path) -> dict[str, Any]:
    try:
        values = read_json(path)
    except UnreadableError as error:
        raise InputError(f"the request cannot be read: it {error}", where=path.name) from error
    if not isinstance(values, dict):
        raise InputError("the request is no JSON object.", where=path.name)
    return values


def main(argv: Sequence[str]) -> int:
    """Serve a folder until told to quit; returns 0."""
    log.setup()
    parser = argparse.ArgumentParser(prog="lora_trainer generate_server", description="Draw what the page asks for.")
    parser.add_argument("folder", type=Path, help="the folder that the page and this process share")
    parser.add_argument("--idle_minutes", type=float, default=10.0, help="leave after so long without a request (default: 10)")
    options = parser.parse_args(argv)
    Server(options.folder, idle_seconds=options.idle_minutes * 60).run()
    return 0
