"""Starting a worker: a process of its own that outlives the host.

`python -m lora_trainer worker RUN_FOLDER` with `worker-packages/` first on its path; its output goes to the run's `log.txt`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from ..errors import HostError
from ..paths import ROOT_DIR
from .folder import WorkerProcess


class Borrow(Protocol):
    """The card for a while in the middle of a training (runs.borrowing)."""

    def __call__(
        self, should_stop: Callable[[], bool], tell: Callable[[str], None], need: int | None = None
    ) -> AbstractContextManager[str]:
        """A context in which the card is ours when it gives ""; else it gives why it is not.

        `tell` is called with what is waited for, `should_stop` asked whether to wait no longer. `need` is how many bytes of the
        card will be taken; None where nobody has measured that.
        """
        ...

    def crowded(self) -> bool:
        """Too few bytes were free: whether that was because a training shares the card. It leaves it then: try again."""
        ...


class WorkerHost(Protocol):
    """What running a worker needs of the host."""

    def interpreter(self) -> str:
        """The Python that runs workers: one whose torch works on this machine's card."""
        ...

    def worker_environment(self) -> Mapping[str, str]:
        """Variables to add; the key PYTHONPATH holds the folders (os.pathsep) that come first on the worker's path."""
        ...

    def lend_gpu(self) -> None:
        """Free the card for a worker. May wait for a running generation. Raises HostError when it cannot."""
        ...

    def reclaim_gpu(self) -> None:
        """The worker has left the card. Called after every lend_gpu, also after failures; harmless when called twice."""
        ...

    def pictures_policy(self) -> str:
        """What becomes of pictures that are wanted during a training: one of policies.POLICIES."""
        ...

    def share_card(self, borrow: Borrow) -> None:
        """Told once: how to have the card for a while in the middle of a training."""
        ...

    def leave_card(self) -> bool:
        """Give a borrowed card back; False while it is in use. Never waits."""
        ...

    def lora_changed(self, path: Path) -> None:
        """The LoRA file `path` was written, overwritten or deleted: forget what is cached of it. May wait for a generation."""
        ...

    def checkpoints_changed(self, path: Path) -> None:
        """The checkpoint `path` was written, or written over: list them anew, and forget what is cached of it. May wait for a
        generation."""
        ...


# Children of ours, so that they are reaped and their exit codes are known while this host lives.
_children: dict[tuple[int, str], subprocess.Popen[bytes]] = {}  # by process id and mark


# What steers Python elsewhere, or turns warnings of other packages into errors; what `accelerate launch` tells the program
# that it starts (some start the Web UI by it), which the worker is not; what chooses a framework other than torch.
_NOT_INHERITED = {
    *("PYTHONHOME", "PYTHONSTARTUP", "PYTHONINSPECT", "PYTHONWARNINGS", "PYTHONPLATLIBDIR"),
    *("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "NODE_RANK", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT"),
    *("USE_TORCH", "USE_TF", "USE_FLAX", "USE_JAX", "USE_SAFETENSORS", "FORCE_TF_AVAILABLE", "DIFFUSERS_SLOW_IMPORT"),
}


def _is_inherited(name: str) -> bool:
    return name not in _NOT_INHERITED and not name.startswith(("ACCELERATE_", "FSDP_", "PARALLELISM_CONFIG_"))


def environment(host: WorkerHost) -> dict[str, str]:
    """The whole environment of a worker: ours, less what steers it elsewhere, plus the host's, offline-safe."""
    env = {name: value for name, value in os.environ.items() if _is_inherited(name)}
    added = dict(host.worker_environment())
    path = [added.pop("PYTHONPATH", ""), str(ROOT_DIR), env.get("PYTHONPATH", "")]
    env.update(
        PYTHONPATH=os.pathsep.join(part for part in path if part),
        PYTHONUNBUFFERED="1",
        PYTHONUTF8="1",
        HF_HUB_DISABLE_TELEMETRY="1",
        DISABLE_TELEMETRY="1",
        TOKENIZERS_PARALLELISM="false",
    )
    env.update(added)
    return env


def command(host: WorkerHost, *words: str) -> list[str]:
    """The command line of one of our commands in the worker's interpreter."""
    return [host.interpreter(), "-m", "lora_trainer", *words]


def spawn(words: Sequence[str], *, log: Path, env: Mapping[str, str], cwd: Path = ROOT_DIR) -> WorkerProcess:
    """Start `words` detached, its output appended to `log`. Raises HostError when it cannot be started."""
    return known(popen(words, log=log, env=env, cwd=cwd))


def popen(
    words: Sequence[str], *, log: Path, env: Mapping[str, str], cwd: Path = ROOT_DIR, is_spoken_to: bool = False
) -> subprocess.Popen[bytes]:
    """The same as a child of this process; `is_spoken_to`: by its input and output, so that its errors alone go to `log`."""
    detached: dict[str, Any] = {}
    if sys.platform == "win32":
        # DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP; CREATE_NO_WINDOW is for what the worker itself starts
        detached["creationflags"] = 0x00000008 | 0x00000200
    else:
        detached["start_new_session"] = True
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        with log.open("ab") as output:
            return subprocess.Popen(
                list(words),
                stdin=subprocess.PIPE if is_spoken_to else subprocess.DEVNULL,
                stdout=subprocess.PIPE if is_spoken_to else output,
                stderr=output,
                env=dict(env),
                cwd=cwd,
                **detached,
            )
    except OSError as error:
        raise HostError(f"The worker could not be started: {error}.", advice=f"See that {words[0]} can be run.") from error


def known(child: subprocess.Popen[bytes]) -> WorkerProcess:
    """The process of a child, which is reaped and whose exit code is told from now on (`is_alive`, `exit_code`)."""
    worker = WorkerProcess.of(child.pid)
    if worker is None:  # it ended at once: its exit code and log say why
        worker = WorkerProcess(pid=child.pid, group=child.pid, mark="ended")
    _children[worker.pid, worker.mark] = child
    return worker


def is_alive(worker: WorkerProcess) -> bool:
    """Whether the worker still runs; a child of ours that ended is reaped.

    A child is at its end when its exit code is known: while its last threads free their memory, it is a zombie without one.
    """
    child = _children.get((worker.pid, worker.mark))
    return worker.is_alive() if child is None else child.poll() is None


def exit_code(worker: WorkerProcess | None) -> int | None:
    """The exit code of an ended worker, negative for a signal; None when it was another host's child, so that nobody knows."""
    child = _children.get((worker.pid, worker.mark)) if worker else None
    return child.poll() if child else None


def how_it_ended(worker: WorkerProcess | None) -> str:
    """See `ending`."""
    return ending(exit_code(worker))


def ending(code: int | None) -> str:
    """ " (killed by signal 9)" or " (exit code 3)"; "" when nobody knows."""
    if code is None:
        return ""
    return f" (killed by signal {-code})" if code < 0 else f" (exit code {code})"
