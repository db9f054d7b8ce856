"""A run's folder: what was asked, what the worker tells, what came out. Everything of a run is in it.

config.toml dataset.toml prompts.txt   what is trained; `lora-trainer train_network --config_file config.toml` repeats it
request.json                           what the page or script sent, and what the result will be called
worker.json heartbeat host-heartbeat   which process works on it; when it, and the host, last gave a sign of life
events.jsonl control.json log.txt      told by the worker; asked by the host; the worker's output
losses.json                            how well each picture was learned (training.picture_losses)
resume.json                            there when the worker is to go on from the last state (runs.resuming)
live.json                              which file of the LoRA folder has the weights as they are (runs.live)
placed.json                            which saved file lies in the LoRA folder under the run's name (runs.placing)
output/ samples/                       saved files (the last one is copied to the LoRA folder); sample pictures
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import StoreError
from ..foreign.json_text import read_table
from ..modelfile import LORA_SUFFIXES
from ..paths import write_text_atomic
from .process import is_alive, start_mark

# What the name of a word's own file has besides that of the LoRA that it was trained with (option save_embedding).
WORD = "_emb"


@dataclass(frozen=True, kw_only=True)
class WorkerProcess:
    """A worker: process id, its POSIX process group, and the mark that tells it from a later process of the same id."""

    pid: int
    group: int
    mark: str

    def is_alive(self) -> bool:
        return is_alive(self.pid, self.mark)

    @classmethod
    def of(cls, pid: int) -> WorkerProcess | None:
        """The running process `pid`, or None when it has ended already."""
        mark = start_mark(pid)
        if mark is None:
            return None
        try:
            group = os.getpgid(pid) if os.name == "posix" else 0
        except ProcessLookupError:
            return None
        return cls(pid=pid, group=group, mark=mark)


@dataclass(frozen=True)
class RunFolder:
    """The names in a run's folder."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.toml"

    @property
    def dataset(self) -> Path:
        return self.path / "dataset.toml"

    @property
    def prompts(self) -> Path:
        return self.path / "prompts.txt"

    @property
    def events(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def control(self) -> Path:
        return self.path / "control.json"

    @property
    def resume(self) -> Path:
        return self.path / "resume.json"

    @property
    def live(self) -> Path:
        return self.path / "live.json"

    @property
    def placed(self) -> Path:
        return self.path / "placed.json"

    @property
    def worker_note(self) -> Path:
        return self.path / "worker.json"

    @property
    def losses(self) -> Path:
        return self.path / "losses.json"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    @property
    def heartbeat(self) -> Path:
        return self.path / "heartbeat"

    @property
    def host_heartbeat(self) -> Path:
        return self.path / "host-heartbeat"

    @property
    def output(self) -> Path:
        return self.path / "output"

    @property
    def samples(self) -> Path:
        return self.path / "samples"

    def beat(self, *, of_host: bool = False) -> None:
        """Say that the worker (or the host that watches it) is alive. A full or missing disk is no reason to die."""
        with contextlib.suppress(OSError):
            (self.host_heartbeat if of_host else self.heartbeat).touch()

    def is_deleted(self) -> bool:
        """Whether somebody has deleted the folder. A drive that is gone as a whole is not taken for that."""
        try:
            return not self.config.exists() and self.path.parent.is_dir()
        except OSError:
            return False

    def remove_halves(self) -> None:
        """Delete the temporary files (paths.write_atomic) that a killed worker left. Only when it has ended."""
        for folder in (self.path, self.output, self.output / "sample", self.samples):
            for path in folder.glob("*.tmp"):
                with contextlib.suppress(OSError):
                    path.unlink()

    def request(self) -> dict[str, Any]:
        """What was asked (`request.json`); empty when it is missing or damaged: the run can still be shown."""
        return read_table(self.path / "request.json")

    def worker(self) -> WorkerProcess | None:
        """The process that was noted as this run's worker, alive or not."""
        found = read_table(self.worker_note)
        try:
            worker = WorkerProcess(pid=int(found["pid"]), group=int(found["group"]), mark=str(found["mark"]))
        except (KeyError, TypeError, ValueError, OverflowError):
            return None
        return worker if 0 < worker.pid < 2**31 and 0 <= worker.group < 2**31 else None

    def note_worker(self, worker: WorkerProcess) -> None:
        write_text_atomic(self.worker_note, json.dumps({**asdict(worker), "since": time.time()}) + "\n")

    def claim_worker(self) -> None:
        """Note this process as the run's worker. Raises StoreError when another living one has the folder."""
        other = self.worker()
        family = {os.getpid(), os.getppid()}  # a launcher may stand between the host and us
        if other is not None and other.pid not in family and other.is_alive():
            raise StoreError(
                f"Another worker (process {other.pid}) is at work in {self.path}.",
                advice="Stop that one first, or train in another folder.",
            )
        myself = WorkerProcess.of(os.getpid())
        assert myself is not None, "a process finds itself"
        self.note_worker(myself)

    def file(self, name: str) -> Path | None:
        """The file that a visitor may fetch under `name` (a plain name), or None when there is no such file."""
        if Path(name).name != name or name in {"", ".", ".."} or "\\" in name:
            return None
        if name in {"log.txt", "config.toml", "dataset.toml", "prompts.txt"}:
            candidates = [self.path / name]
        else:
            candidates = [self.samples / name, self.output / name, self.output / "sample" / name]
        allowed = {".png", ".jpg", ".webp", ".txt", ".toml", *LORA_SUFFIXES}
        for path in candidates:
            inside = path.resolve().is_relative_to(self.path.resolve())
            if inside and path.suffix.lower() in allowed and path.is_file():
                return path
        return None

    def saved_loras(self) -> list[Path]:
        """The LoRA files that were saved and are there, the newest last."""
        there = {path for path in self.output.glob("*") if path.suffix in LORA_SUFFIXES}
        found = [path for path in there if path.with_stem(path.stem.removesuffix(WORD)) not in there - {path}]
        return sorted(found, key=lambda path: path.stat().st_mtime)

    def saved_sizes(self) -> dict[str, int]:
        """The files that were saved and are there: {name: bytes}. One look, however many there are."""
        try:
            with os.scandir(self.output) as entries:
                return {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}
        except OSError:  # the folder is gone
            return {}

    def log_tail(self, lines: int = 40, *, limit: int = 32_768) -> str:
        """The last lines of the worker's output; "" when there is none. Progress bars' carriage returns are resolved."""
        try:
            with self.log.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - limit))
                text = file.read().decode("utf-8", errors="replace")
        except OSError:
            return ""
        return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.rstrip().split("\n")[-lines:])

    def remove(self) -> None:
        """Delete the folder with everything in it. Raises StoreError when something in it cannot be deleted."""
        try:
            shutil.rmtree(self.path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(
                f"{self.path} could not be deleted: {error}.", advice="Close programs that use it, then try again."
            ) from error


def create(path: Path, *, config: str, dataset: str, prompts: str, request: Mapping[str, Any]) -> RunFolder:
    """Make the folder of a new run. `config` and `dataset` are TOML, `prompts` a prompt file (may be empty).

    Raises SaveError when it cannot be written, StoreError when the folder is there already.
    """
    folder = RunFolder(path)
    if path.exists():
        raise StoreError(f"{path} is there already.", advice="Try again.")
    write_text_atomic(folder.dataset, dataset)
    write_text_atomic(folder.prompts, prompts)
    write_text_atomic(path / "request.json", json.dumps(dict(request), ensure_ascii=False, indent=1) + "\n")
    write_text_atomic(folder.config, config)
    folder.output.mkdir(exist_ok=True)
    folder.samples.mkdir(exist_ok=True)
    return folder
