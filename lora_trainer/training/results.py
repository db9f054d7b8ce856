"""How what is trained becomes files: a network or an embedding as one small file, a model as `checkpoints.model_files` says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from ..checkpoints.model_files import ModelFiles
from ..checkpoints.whole_model import WholeModel
from ..models import Model
from ..networks import files
from ..networks.file_size import size_of
from ..options import TrainOptions
from ..options.saving import saved_as
from .trained import Trained


class Results(Protocol):
    """Writes what is trained, as it is at that moment."""

    def largest(self) -> float:
        """The largest size of a number that is written."""
        ...

    def save(self, path: Path, metadata: Mapping[str, str], precision: str | None, *, step: int, epoch: int) -> None:
        """Write it to `path`, atomically; `precision` is a value of save_precision. Raises SaveError."""
        ...

    def size(self, path: Path, metadata: Mapping[str, str], precision: str | None) -> int:
        """The bytes of what `save` would write; of metadata the lengths alone count."""
        ...


@dataclass(frozen=True)
class SmallFiles:
    """The file of a network or of an embedding."""

    trained: Trained

    def largest(self) -> float:
        """See Results."""
        return float(torch.stack([tensor.detach().abs().max().float() for tensor in self.trained.state_dict().values()]).max())

    def save(self, path: Path, metadata: Mapping[str, str], precision: str | None, *, step: int, epoch: int) -> None:
        """See Results."""
        files.save(path, copied(self.trained.state_dict()), metadata, precision)

    def size(self, path: Path, metadata: Mapping[str, str], precision: str | None) -> int:
        """See Results."""
        return size_of(self.trained.state_dict(), metadata, precision, path.suffix)


def of(options: TrainOptions, model: Model, trained: Trained) -> Results:
    """What writes `trained`, which is on `model`."""
    if isinstance(trained, WholeModel):
        return ModelFiles(model, trained, saved_as(options.saving), other_vae=bool(options.model.vae))
    return SmallFiles(trained)


def copied(named: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Copies in main memory."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in named.items()}
