"""The host: whatever program shows the page. One small Protocol; nothing else of the program knows which one it is.

The half that `runs` needs (interpreter, card, LoRA folder) is `runs.worker.WorkerHost`; this adds what the page needs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ..runs.worker import WorkerHost


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A base model that can be chosen. `title` is what the host calls it; `is_current` marks the one it generates with;
    `side` is how many pixels wide and high its pictures are, where that is known, else 0."""

    title: str
    path: Path
    is_current: bool = False
    side: int = 0


@dataclass(frozen=True, kw_only=True)
class HostPaths:
    """`user_dir` is ours (store, runs, uploads). Finished LoRA files go to `lora_dir`. The folders need not exist yet."""

    user_dir: Path
    lora_dir: Path
    checkpoint_dirs: tuple[Path, ...] = ()
    vae_dir: Path | None = None

    @property
    def store(self) -> Path:
        return self.user_dir / "runs.db"

    @property
    def runs(self) -> Path:
        return self.user_dir / "runs"

    @property
    def uploads(self) -> Path:
        return self.user_dir / "uploads"

    @property
    def generated(self) -> Path:
        return self.user_dir / "generated"

    @property
    def tools(self) -> Path:
        return self.user_dir / "tools"


@dataclass(frozen=True, kw_only=True)
class HostProblem:
    """Something that keeps training from working (a package is missing), and how to mend it."""

    message: str
    advice: str = ""


@dataclass(frozen=True, kw_only=True)
class Access:
    """From where a page may be used: names that may stand in the Host header (without port), None for any name."""

    host_names: frozenset[str] | None = field(default=frozenset({"localhost", "127.0.0.1", "::1"}))


@runtime_checkable
class Host(WorkerHost, Protocol):
    """Every method may be called from any thread; none may wait long, save `lend_gpu` and `lora_changed`."""

    name: str
    """"webui" or "standalone"."""

    def paths(self) -> HostPaths:
        """The folders, absolute. May change while the program runs (settings)."""
        ...

    def checkpoints(self) -> list[Checkpoint]:
        """The base models that can be chosen, sorted by title."""
        ...

    def vaes(self) -> list[Checkpoint]:
        """The VAE files that can be chosen, sorted by title."""
        ...

    def problems(self) -> list[HostProblem]:
        """What keeps training from working, for the top of the page; empty when all is well."""
        ...

    def access(self) -> Access:
        """Which names this host answers to: see api.security (DNS rebinding)."""
        ...

    def worker_outlives_host(self) -> bool:
        """Whether a training goes on when this host ends (else it saves and stops two minutes later)."""
        ...

    def page_key(self) -> str:
        """A secret for the page, which sends it back as a cookie, where `authorize` asks for one; else ""."""
        ...

    def authorize(self, request: Any) -> bool:
        """Whether this starlette HTTPConnection may use our routes, by the host's own login. Called in the event loop."""
        ...
