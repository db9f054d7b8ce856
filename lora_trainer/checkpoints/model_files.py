"""The files of a model in training: one checkpoint in the original (LDM's) names, or a folder of diffusers.

What is not trained comes from the base model's own file, number by number and in its number format, with everything else that
lies in it. Only a running average of other weights (`model_ema.`) and a discriminator (`loss.`) are left out: they are not
those of this model. Where the base model has gone since the training began, what was loaded of it is written.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import LoraTrainerError
from ..foreign.reading import is_file
from ..foreign.tensors import Weights
from ..log import logger
from ..modelfile import copy_configuration
from ..models import Model, convert
from ..models.family import UNET, V_PREDICTION, VAE, text_names
from ..models.loading import load_again
from ..models.prediction import MARK, ZERO_TERMINAL_MARK
from ..models.weights import open_weights
from ..networks import files
from ..options.trained_rules import FOLDERS
from . import folders
from .stream import converted, pickled_size, write_checkpoint
from .whole_model import WholeModel

_LEFT_OUT = ("model_ema.", "loss.")
# Of the base model's metadata: they tell of other bytes, or of how it was made itself.
_NOT_KEPT = ("sshs_", "modelspec.hash_", "ss_", "lora_trainer")


@dataclass(frozen=True)
class _Entry:
    """A tensor to be written."""

    dtype: torch.dtype
    shape: Sequence[int]
    make: Callable[[], Tensor]


@dataclass
class ModelFiles:
    """Writes `trained`, parts of `model`, as whole models in `form`, a value of save_model_as. `other_vae`: the model was given
    another VAE than its own, which becomes a part of it."""

    model: Model
    trained: WholeModel
    form: str = "safetensors"
    other_vae: bool = False
    own: Mapping[str, str] = field(default_factory=dict)  # the base model's metadata
    _stamp: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        self._stamp = self._stamp_now()
        with self._base() as base:
            if base is not None:
                self.own = {key: value for key, value in base.metadata.items() if not key.startswith(_NOT_KEPT)}

    def largest(self) -> float:
        """The largest size of a trained number."""
        return self.trained.largest()

    def save(self, path: Path, metadata: Mapping[str, str], precision: str | None, *, step: int, epoch: int) -> None:
        """Write the model to `path`, atomically. `precision` (a value of save_precision) is the number format, None that which
        each number has. Raises SaveError."""
        if self.form in FOLDERS:
            told = self._metadata(metadata)
            safe, whole = self.form != folders.PLAIN, self.trained.whole
            folders.write(path, self.model, self._parts(), self._dtype(precision), told, safe=safe, whole=whole)
            return
        with self._entries(path, precision) as entries:
            tensors = {name: (entry.dtype, entry.shape) for name, entry in entries.items()}
            beside = {"epoch": epoch, "global_step": step}
            write_checkpoint(path, tensors, lambda name: entries[name].make(), self._metadata(metadata), beside=beside)
        if self.model.path is not None:
            copy_configuration(self.model.path, path)

    def size(self, path: Path, metadata: Mapping[str, str], precision: str | None) -> int:
        """The bytes of what `save` would write; of metadata the lengths alone count."""
        if self.form in FOLDERS:
            told = self._metadata(metadata)
            return folders.size(self.model, self._parts(), self._dtype(precision), told, safe=self.form != folders.PLAIN)
        with self._entries(path, precision) as entries:
            tensors = {name: (entry.dtype, entry.shape) for name, entry in entries.items()}
        if path.suffix.lower() != ".safetensors":
            return pickled_size(tensors, {"epoch": 0, "global_step": 0})
        table = files.layout(tensors)
        end = max(int(entry["data_offsets"][1]) for entry in table.values())
        return len(files.header(table, files.fitting(self._metadata(metadata)))) + end

    def _metadata(self, metadata: Mapping[str, str]) -> dict[str, str]:
        return {**self.own, **metadata}

    @staticmethod
    def _dtype(precision: str | None) -> torch.dtype | None:
        return getattr(torch, files.PRECISIONS[precision]) if precision else None

    # ---- what is written ---------------------------------------------------------------------------------------------
    @contextlib.contextmanager
    def _entries(self, path: Path, precision: str | None) -> Iterator[dict[str, _Entry]]:
        """The tensors of a single file; while they are written, the base model's file is open."""
        wanted, whole = self._dtype(precision), self.trained.whole
        with self._base() as base:
            if base is None:
                mine, kept = checkpoint_tensors(self.model, self._parts(), whole=whole), {}
            else:
                changed = {name: module for name, module in self.model.named.items() if name in self._changed}
                kept = {name: shape for name, shape in base.shapes.items() if not name.startswith(_LEFT_OUT)}
                mine = _spelled(checkpoint_tensors(self.model, changed, unused_layer=False, whole=whole), kept)
            shapes = {name: tuple(tensor.shape) for name, tensor in mine.items()} | kept
            entries = {name: _entry(name, mine.get(name), base, shape, wanted, path, whole) for name, shape in shapes.items()}
            marks = [mark for mark in marks_of(self.model) if mark not in entries]
            yield entries | {mark: _Entry(torch.float32, (0,), lambda: torch.zeros(0)) for mark in marks}

    @property
    def _changed(self) -> list[str]:
        return [*self.trained.trained_parts, *([VAE] if self.other_vae else [])]

    def _parts(self) -> dict[str, nn.Module]:
        """All parts, those that were not trained as exact as the base model has them."""
        parts = self.model.named
        if self._is_there():
            try:
                parts |= load_again(self.model, [name for name in parts if name not in self._changed])
            except LoraTrainerError as error:
                logger.warning("what was loaded of the base model is saved: %s", error)
        return parts

    # ---- the base model ------------------------------------------------------------------------------------------------
    def _stamp_now(self) -> tuple[int, int] | None:
        try:
            found = self.model.path.stat() if self.model.path is not None else None
        except OSError:
            return None
        return (found.st_size, found.st_mtime_ns) if found is not None else None

    def _is_there(self) -> bool:
        """Whether the base model lies where it was read from, as it was."""
        if self._stamp_now() == self._stamp is not None:
            return True
        logger.warning("the base model %s is not what it was: what was loaded of it is saved", self.model.source)
        return False

    @contextlib.contextmanager
    def _base(self) -> Iterator[Weights | None]:
        """The base model's file; None where it is none, or has gone."""
        path = self.model.path
        if path is None or not is_file(path) or not self._is_there():
            yield None
            return
        with open_weights(path) as base:
            yield base


def marks_of(model: Model) -> list[str]:
    """The empty tensors of a single file that tell programs how the model draws, where nothing else does."""
    predicts_v = model.prediction_type == V_PREDICTION and model.family.name != "sd2"
    return [*([MARK] if predicts_v else []), *([ZERO_TERMINAL_MARK] if model.zero_terminal_snr else [])]


def checkpoint_tensors(
    model: Model, parts: Mapping[str, nn.Module], *, unused_layer: bool = True, whole: convert.Whole = convert.all_here
) -> dict[str, Tensor]:
    """These parts (`Model.named`) by the names of a single file."""
    first, *second = [parts.get(name) for name in text_names(len(model.text_encoders))]
    return convert.checkpoint_tensors(
        parts.get(UNET),
        parts.get(VAE),
        first,
        family=model.family.name,
        text_encoder_2=second[0] if second else None,
        unused_layer=unused_layer,
        whole=whole,
    )


def _spelled(mine: Mapping[str, Tensor], base: Mapping[str, object]) -> dict[str, Tensor]:
    """`mine` by the names that `base` has: some files leave "text_model." out."""

    def name_in_base(name: str) -> str:
        short = name.replace(f"{convert.TEXT}text_model.", convert.TEXT)
        return short if name not in base and short in base else name

    return {name_in_base(name): tensor for name, tensor in mine.items()}


def _entry(
    name: str,
    mine: Tensor | None,
    base: Weights | None,
    shape: Sequence[int],
    wanted: torch.dtype | None,
    path: Path,
    whole: convert.Whole,
) -> _Entry:
    """One tensor: what the training made (all of it by `whole`), else what the base model has."""
    own = mine if mine is not None else base.tensor(name) if base is not None else None
    assert own is not None
    dtype = wanted if wanted is not None and own.is_floating_point() else own.dtype

    def make() -> Tensor:
        tensor = whole(mine.detach()) if mine is not None else base.tensor(name)  # type: ignore[union-attr]
        return converted(name, convert.fit(tensor, tuple(shape)), dtype, path).to("cpu")

    return _Entry(dtype, tuple(shape), make)
