"""A host for tests: folders below one directory, every call recorded, and a worker's interpreter of one's choice."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import HostError
from ..runs.policies import AUTOMATIC
from ..runs.worker import Borrow
from .base import LOOPBACK, Access, Checkpoint, HostPaths, HostProblem


class FakeHost:
    """`calls` lists what was asked, in order, as (name, *arguments). Set the other attributes to steer it."""

    name = "fake"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls: list[tuple[Any, ...]] = []
        self.refuse_to_lend = ""
        self.password = ""
        self.paints: Callable[..., bytes | None] | None = None
        self.outlived = True
        self.standby = False
        self.pictures = AUTOMATIC
        self.missing: list[HostProblem] = []
        self.python = sys.executable
        self.python_path: list[Path] = []
        self.host_names: frozenset[str] | None = LOOPBACK
        self.allowed: frozenset[str] = frozenset()
        self.folders: tuple[Path, ...] | None = None

    def worker_outlives_host(self) -> bool:
        return self.outlived

    def keeps_standby(self) -> bool:
        return self.standby

    def page_key(self) -> str:
        return ""

    def interpreter(self) -> str:
        return self.python

    def worker_environment(self) -> Mapping[str, str]:
        return {"PYTHONPATH": os.pathsep.join(str(path) for path in self.python_path)}

    def lend_gpu(self) -> None:
        self.calls.append(("lend_gpu",))
        if self.refuse_to_lend:
            raise HostError(self.refuse_to_lend)

    def reclaim_gpu(self) -> None:
        self.calls.append(("reclaim_gpu",))

    def pictures_policy(self) -> str:
        return self.pictures

    def choose_pictures_policy(self, policy: str) -> None:
        self.pictures = policy

    def share_card(self, borrow: Borrow) -> None:
        self.borrow = borrow

    def leave_card(self) -> bool:
        self.calls.append(("leave_card",))
        return True

    def painter(self) -> Callable[..., bytes | None] | None:
        return self.paints

    def lora_changed(self, path: Path) -> None:
        self.calls.append(("lora_changed", path))

    def checkpoints_changed(self, path: Path) -> None:
        self.calls.append(("checkpoints_changed", path))

    def paths(self) -> HostPaths:
        return HostPaths(
            user_dir=self.folder / "user",
            lora_dir=self.folder / "loras",
            embeddings_dir=self.folder / "embeddings",
            checkpoint_dirs=(self.folder / "models",),
            vae_dir=self.folder / "vae",
        )

    def checkpoints(self) -> list[Checkpoint]:
        found = sorted((self.folder / "models").glob("*.safetensors"))
        return [Checkpoint(title=path.stem, path=path, is_current=index == 0) for index, path in enumerate(found)]

    def vaes(self) -> list[Checkpoint]:
        return [Checkpoint(title=path.stem, path=path) for path in sorted((self.folder / "vae").glob("*.safetensors"))]

    def problems(self) -> list[HostProblem]:
        return self.missing

    def access(self) -> Access:
        known = self.host_names | self.allowed if self.host_names is not None else None
        how = {"how_to_allow": "call the fake host so.", "how_to_add_folder": "give the fake host the folder."}
        return Access(host_names=known, allowed=self.allowed, folders=self.folders, **how)

    def authorize(self, request: Any) -> bool:
        return not self.password or request.headers.get("x-password") == self.password
