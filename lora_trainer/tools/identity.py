"""What makes a checkpoint the model that it is besides its tensors, as a merge has to keep it: whether it predicts noise or
velocity, its own metadata (author, licence, ...), and the configuration `NAME.yaml` that lies beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import InputError
from ..log import logger
from ..modelfile import copy_configuration
from ..models.family import V_PREDICTION
from ..models.ldm_yaml import read_overrides
from ..models.prediction import MARK, METADATA, told_by_file
from ..models.weights import Weights
from ..networks.metadata import base_model_version
from .lorafile import Lora
from .provenance import modelspec

_NOT_KEPT = ("sshs_", "modelspec.hash_")  # they are those of other bytes


@dataclass(frozen=True, kw_only=True)
class Identity:
    """`prediction` is what is written of the checkpoint (None: nothing, so that only its answer tells), `written` where."""

    name: str
    family: str
    prediction: str | None
    written: str
    own: Mapping[str, str]

    @classmethod
    def of(cls, weights: Weights, family: str) -> Identity:
        """Of an open checkpoint of `family`. Raises BaseModelError for a damaged configuration beside it."""
        prediction, written = told_by_file(weights, read_overrides(weights.path))
        own = {key: value for key, value in weights.metadata.items() if not key.startswith(_NOT_KEPT)}
        return cls(name=weights.path.stem, family=family, prediction=prediction, written=written, own=own)

    @property
    def version(self) -> str:
        """`ss_base_model_version` of a LoRA for this model."""
        return base_model_version(self.family, self.prediction == V_PREDICTION)

    @property
    def is_sure(self) -> bool:
        """Whether it is known what the model predicts: of SD2 only where it is written."""
        return self.prediction is not None or self.family != "sd2"

    def metadata(self, path: Path, loras: Sequence[Lora], *, whole: bool) -> dict[str, str]:
        """The metadata of the merged checkpoint `path`: the model's own, and where it comes from. What the model predicts is
        said where it was said before; it is all that is left when not `whole`."""
        if not whole:
            return {METADATA: self.own[METADATA]} if METADATA in self.own else {}
        if path.suffix.lower() != ".safetensors" and any(key.startswith("modelspec.") for key in self.own):
            logger.warning("%s has no place for the metadata of %s (author, licence, ...): .safetensors has.", path, self.name)
        merged_from = [self.name, *(lora.path.stem for lora in loras)]
        made = modelspec(path, self.version, merged_from=merged_from, lora=False, sure=self.is_sure)
        new = {key: made[f"modelspec.{key}"] for key in ("title", "date", "merged_from")}
        return {**made, **self.own, **{f"modelspec.{key}": value for key, value in new.items()}}

    def marks(self, path: Path) -> list[str]:
        """Names of empty tensors that `path` needs in order to say what the model predicts: a .ckpt has no metadata."""
        lost = METADATA in self.written and path.suffix.lower() != ".safetensors"
        return [MARK] if lost and self.prediction == V_PREDICTION else []


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """The `NAME.yaml` beside a checkpoint, which says what tensors cannot tell, and the one beside the result."""

    source: Path
    target: Path

    @classmethod
    def of(cls, checkpoint: Path, path: Path, *, overwrite: bool) -> Configuration:
        """Raises InputError when another configuration lies beside `path` already: the result would be read by it."""
        made = cls(source=checkpoint.with_suffix(".yaml"), target=path.with_suffix(".yaml"))
        if not made.target.is_file() or made.source == made.target:
            return made
        if not made.source.is_file():
            raise InputError(
                f"{made.target} lies there already, and the result would be read by it; {checkpoint.name} has none.",
                field="save_to",
                where="--save_to",
                advice="Give another name, or remove that file.",
            )
        if not overwrite and made.source.read_bytes() != made.target.read_bytes():
            raise InputError(
                f"{made.target} lies there already and is not {made.source.name}, which has to lie beside the result.",
                field="save_to",
                where="--save_to",
                advice="Give another name, or --overwrite.",
            )
        return made

    def copy(self) -> None:
        """Put the checkpoint's configuration, where it has one, beside the result."""
        if not copy_configuration(self.source, self.target):
            return
        logger.info("written: %s", self.target)
        before, after = (replace(read_overrides(file), path=None) for file in (self.source, self.target))
        if before != after:
            logger.warning("%s names files beside it that are not there: copy them from %s.", self.target, self.source.parent)
