"""The host: whatever program shows the page. One small Protocol; nothing else of the program knows which one it is.

The half that `runs` needs (interpreter, card, LoRA folder) is `runs.worker.WorkerHost`; this adds what the page needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable
from urllib.parse import urlsplit

from ..options.trained import EMBEDDING, MODEL
from ..runs.policies import POLICIES as POLICIES
from ..runs.worker import WorkerHost

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A base model that can be chosen. `title` is what the host calls it; `is_current` marks the one it generates with;
    `side` is how many pixels wide and high its pictures are, where that is known, else 0; `is_demo` marks the one that comes
    with the program and what was trained from it, which are for the trial alone."""

    title: str
    path: Path
    is_current: bool = False
    side: int = 0
    is_demo: bool = False


@dataclass(frozen=True, kw_only=True)
class HostPaths:
    """`user_dir` is ours (store, runs, uploads). Finished LoRA files go to `lora_dir`, embeddings to `embeddings_dir`, models
    to the first of `checkpoint_dirs`. The folders need not exist yet."""

    user_dir: Path
    lora_dir: Path
    embeddings_dir: Path
    checkpoint_dirs: tuple[Path, ...] = ()
    vae_dir: Path | None = None

    def results(self, trains: str) -> Path:
        """The folder of finished files, by the kind of training (option trains)."""
        if trains == MODEL:
            return self.checkpoint_dirs[0] if self.checkpoint_dirs else self.user_dir / "models"
        return self.embeddings_dir if trains == EMBEDDING else self.lora_dir

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

    @property
    def all(self) -> tuple[Path, ...]:
        """The folders of the host, which whoever uses its page may look into."""
        return (
            self.user_dir,
            self.lora_dir,
            self.embeddings_dir,
            *self.checkpoint_dirs,
            *([self.vae_dir] if self.vae_dir else []),
        )


@dataclass(frozen=True, kw_only=True)
class HostProblem:
    """Something that keeps training from working (a package is missing), and how to mend it."""

    message: str
    advice: str = ""


@dataclass(frozen=True, kw_only=True)
class Access:
    """From where a page may be used. Names are without port, in lower case (see `host_name`).

    host_names: names that may stand in the Host header; None for any.
    allowed: names that the person who runs the program has given it: they may stand in Origin whatever Host says, for a
        reverse proxy that puts a name of its own into Host.
    how_to_allow: what that person does to add one.
    folders: the folders (absolute) whose files may be named in requests; None for every folder.
    how_to_add_folder: what that person does to add one.
    """

    host_names: frozenset[str] | None = field(default=LOOPBACK)
    allowed: frozenset[str] = frozenset()
    how_to_allow: str = ""
    folders: tuple[Path, ...] | None = None
    how_to_add_folder: str = ""


def host_name(text: str) -> str:
    """The name in a Host header or an address, without scheme, port and brackets, as browsers send it; "" when there is none.

    `[::1]:7861` -> `::1`, `https://My.Example:8443/` -> `my.example`.
    """
    try:
        name = (urlsplit(text if "//" in text else f"//{text}").hostname or "").rstrip(".")
        return name if name.isascii() else name.encode("idna").decode("ascii")
    except ValueError:  # UnicodeError, too
        return ""


def host_names(texts: Iterable[str]) -> frozenset[str]:
    """The names in what a person typed: addresses or names, several in a text with commas or spaces between them."""
    return frozenset(name for text in texts for word in text.replace(",", " ").split() if (name := host_name(word)))


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

    def painter(self) -> Callable[..., bytes | None] | None:
        """What draws a picture in this process (grids.book.Painter); None: our own process does (runs.generation)."""
        ...

    def choose_pictures_policy(self, policy: str) -> None:
        """From now on, and after a restart, `pictures_policy` is this one of policies.POLICIES. Raises HostError where the
        choice is made elsewhere, SaveError where it cannot be kept."""
        ...

    def problems(self) -> list[HostProblem]:
        """What keeps training from working, for the top of the page; empty when all is well."""
        ...

    def access(self) -> Access:
        """Which names this host answers to (api.security) and which folders it shows (api.folders)."""
        ...

    def worker_outlives_host(self) -> bool:
        """Whether a training goes on when this host ends (else it saves and stops two minutes later)."""
        ...

    def keeps_standby(self) -> bool:
        """Whether a process may be kept ready for the next training (runs.standby)."""
        ...

    def page_key(self) -> str:
        """A secret for the page, which sends it back as a cookie, where `authorize` asks for one; else ""."""
        ...

    def authorize(self, request: Any) -> bool:
        """Whether this starlette HTTPConnection may use our routes, by the host's own login. Called in the event loop."""
        ...
