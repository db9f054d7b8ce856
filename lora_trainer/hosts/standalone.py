"""Our own host: a program without the Web UI. The card belongs to the workers; nothing is cached in this process."""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .. import modelfile
from ..demo import files
from ..errors import InputError
from ..paths import ROOT_DIR
from ..runs.worker import Borrow
from . import kept_settings
from .base import LOOPBACK, Access, Checkpoint, HostPaths, HostProblem

MODEL_SUFFIXES = {".safetensors", ".ckpt"}
WORKER_PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "safetensors", "toml")
HOW_TO_ALLOW = "start the program with --allow-host and that name."
HOW_TO_ADD_FOLDER = "start the program with --allow-folder and that folder (or with a login, --auth user:password)."
DEMO_TITLE = "Demo model (shapes, 64x64)"


@dataclass(kw_only=True)
class StandaloneHost:
    """`data_dir` holds models/, vae/, loras/, embeddings/, runs and uploads. `auth` is "user:password" or empty.

    `listens_to` is the address the page is served on: only a loopback one checks the Host header against known names.
    `names` are further names that the page may be opened under (base.host_names), `folders` the folders that it may look into
    besides our own: all when none is given and nobody else can come in. `pictures` is one of policies.POLICIES, or "": as it
    was chosen on the page. `standby`: whether a process is kept ready for the next training.
    """

    data_dir: Path = ROOT_DIR / "user"
    checkpoint_dir: Path | None = None
    lora_dir: Path | None = None
    auth: str = ""
    listens_to: str = "127.0.0.1"
    names: frozenset[str] = frozenset()
    folders: tuple[Path, ...] = ()
    pictures: str = ""
    standby: bool = False
    worker_packages: Path = ROOT_DIR / "worker-packages"
    name: str = field(default="standalone", init=False)

    def paths(self) -> HostPaths:
        data = self.data_dir.absolute()
        extra = (self.checkpoint_dir.absolute(),) if self.checkpoint_dir else ()
        return HostPaths(
            user_dir=data,
            lora_dir=(self.lora_dir or data / "loras").absolute(),
            embeddings_dir=data / "embeddings",
            checkpoint_dirs=(*extra, data / "models"),
            vae_dir=data / "vae",
        )

    def make_folders(self) -> None:
        """The folders that a user puts files into. Raises InputError when they cannot be made."""
        paths = self.paths()
        for folder in (paths.user_dir, paths.lora_dir, paths.embeddings_dir, self.data_dir / "models", self.data_dir / "vae"):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(f"the folder {folder} cannot be made: {error.strerror}.", field="data_dir") from error

    def checkpoints(self) -> list[Checkpoint]:
        """The models of the folders and, last, the demo base model."""
        demo = files.model()
        shipped = [Checkpoint(title=DEMO_TITLE, path=demo, side=files.SIDE, is_demo=True)] if demo else []
        return [*map(_with_side, _models(self.paths().checkpoint_dirs)), *shipped]

    def vaes(self) -> list[Checkpoint]:
        folder = self.paths().vae_dir
        return _models([folder]) if folder else []

    def problems(self) -> list[HostProblem]:
        """Worker packages that cannot be found, by name alone: nothing is imported."""
        installed = {path.name for path in self.worker_packages.glob("*")}
        missing = [name for name in WORKER_PACKAGES if name not in installed and find_spec(name) is None]
        if not missing:
            return []
        return [
            HostProblem(
                message=f"Training needs packages that are not installed: {', '.join(missing)}.",
                advice="Start with `python launch.py`: it installs them.",
            )
        ]

    def interpreter(self) -> str:
        return sys.executable

    def worker_environment(self) -> Mapping[str, str]:
        packages = self.worker_packages
        return {"PYTHONPATH": str(packages)} if packages.is_dir() else {}

    def lend_gpu(self) -> None:
        """Nothing of this process is on the card."""

    def reclaim_gpu(self) -> None:
        """Nothing to take back."""

    def pictures_policy(self) -> str:
        if not self.pictures:
            self.pictures = kept_settings.read(self.paths().user_dir).pictures
        return self.pictures

    def choose_pictures_policy(self, policy: str) -> None:
        kept_settings.write(self.paths().user_dir, kept_settings.KeptSettings(pictures=policy))
        self.pictures = policy

    def share_card(self, borrow: Borrow) -> None:
        """Pictures are made by a process of their own (runs.generation)."""

    def leave_card(self) -> bool:
        return True

    def painter(self) -> None:
        """Our own process does it."""
        return

    def lora_changed(self, path: Path) -> None:
        """Generations read LoRA files anew each time."""

    def checkpoints_changed(self, path: Path) -> None:
        """The folders are looked through each time, and a model that was written over is loaded anew."""

    def keeps_standby(self) -> bool:
        return self.standby

    def worker_outlives_host(self) -> bool:
        return True

    def page_key(self) -> str:
        return ""

    def access(self) -> Access:
        is_local = self.listens_to in LOOPBACK
        known = LOOPBACK | self.names if is_local else None
        how = {"how_to_allow": HOW_TO_ALLOW, "how_to_add_folder": HOW_TO_ADD_FOLDER}
        return Access(host_names=known, allowed=self.names, folders=self._shown_folders(is_local and not self.names), **how)

    def _shown_folders(self, is_for_this_machine: bool) -> tuple[Path, ...] | None:
        if not self.folders and (is_for_this_machine or self.auth):
            return None
        demo = files.model()
        return (*self.paths().all, *([demo.parent.absolute()] if demo else []), *(one.absolute() for one in self.folders))

    def authorize(self, request: Any) -> bool:
        return not self.auth or basic_auth_is(request.headers.get("authorization", ""), self.auth)


def basic_auth_is(header: str, expected: str) -> bool:
    """Whether an Authorization header holds the `user:password` expected, compared in constant time."""
    kind, _, encoded = header.partition(" ")
    if kind.lower() != "basic":
        return False
    try:
        given = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(given, expected.encode("utf-8"))


def _with_side(one: Checkpoint) -> Checkpoint:
    """The model with what its header says of its pictures; half-copied and strange ones keep none."""
    try:
        stat = one.path.stat()
    except OSError:
        return one
    side, is_demo = _side(one.path, stat.st_size, stat.st_mtime_ns)
    return replace(one, side=side, is_demo=is_demo)


@lru_cache(maxsize=1024)
def _side(path: Path, _size: int, _time: int) -> tuple[int, bool]:
    """(size of its pictures, whether it was made of the demo model)."""
    info = modelfile.probe(path)
    return 0 if info.kind == "sd1" and not info.is_demo else info.side, info.is_demo  # the page starts with SD1's


def _models(folders: Iterable[Path]) -> list[Checkpoint]:
    """Model files below the folders: titles are paths inside the folder, hidden folders, half-written files and what is
    no file (a pipe, a link to nothing) left out."""
    found: dict[Path, Checkpoint] = {}
    for folder in folders:
        for directory, subfolders, names in os.walk(folder, followlinks=True):
            subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
            here = Path(directory)
            if (here / "model_index.json").is_file():  # a model in diffusers' form is one folder
                subfolders.clear()
                found.setdefault(here, Checkpoint(title=here.relative_to(folder).as_posix(), path=here))
                continue
            for name in names:
                path = here / name
                if path.suffix.lower() in MODEL_SUFFIXES and not name.startswith(".") and path.is_file():
                    found.setdefault(path, Checkpoint(title=path.relative_to(folder).as_posix(), path=path))
    return sorted(found.values(), key=lambda checkpoint: checkpoint.title.casefold())
