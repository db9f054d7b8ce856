"""What the text encoders made of each caption, on the disk: found again while caption, encoders and settings are the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..data import entries
from ..data.entries import Shelves
from ..data.plan import DataPlan
from ..foreign.reading import UnreadableError
from ..models import Model, identity
from ..models.conditioning import Conditioning
from ..options.dataset import DatasetOptions
from ..options.model import ModelOptions
from . import captions
from .encoding import tell_shelves
from .phases import Emit
from .trained import Trained

_NAME = "text"


@dataclass
class TextStore:
    """The conditioning of one caption an entry, in the folder of an image that has it. `made_by` is all that it depends on
    besides the caption; `damaged` are entries that could not be used and are made again."""

    made_by: Mapping[str, Any]
    folders: Mapping[str, Path]
    shelves: Shelves = field(default_factory=Shelves)
    damaged: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        options: DatasetOptions,
        settings: ModelOptions,
        model: Model,
        network: Trained,
        plan: DataPlan,
        dtype: torch.dtype,
        emit: Emit,
    ) -> TextStore | None:
        """The store that the options ask for; None without one. `dtype` is the number format of what is kept."""
        folders = captions.constant(plan) if options.cache_text_encoder_outputs_to_disk else None
        if not folders:
            return None
        if network.adapters("text_encoder"):
            message = "The LoRA lies on the text encoders, so what they make of the captions is not kept on the disk."
            emit({"type": "warning", "message": f"{message} With network_train_unet_only it is."})
            return None
        made_by = {
            "encoders": [identity.of_module(encoder) for encoder in model.text_encoders],
            "tokenizers": [identity.of_tokenizer(tokenizer) for tokenizer in model.tokenizers],
            "family": model.family.name,
            "precision": str(dtype).removeprefix("torch."),
            "clip_skip": settings.clip_skip or 1,
            "max_token_length": settings.max_token_length or 75,
            "weighted": settings.weighted_captions,
        }
        return cls(made_by, folders)

    def find(self, caption: str) -> Conditioning | None:
        """What is kept of a caption."""
        key = self._key(caption)
        path = self.shelves.find(self._folder(caption), entries.file_name(_NAME, key))
        if path is None:
            return None
        try:
            entry = entries.read(path)
            states, pooled = entry.tensors.get("states"), entry.tensors.get("pooled")
            if entry.key != key or states is None:
                raise UnreadableError("is of something else than its name says.")
            if not all(bool(tensor.isfinite().all()) for tensor in entry.tensors.values()):
                raise UnreadableError("holds numbers that are none (NaN or infinite).")
        except UnreadableError as error:
            self.damaged.append(f"{path.name} {error}")
            return None
        return Conditioning(states, pooled)

    def keep(self, caption: str, found: Conditioning) -> None:
        """Write what the encoders made of a caption, where that can be done."""
        key = self._key(caption)
        tensors = {"states": found.states} if found.pooled is None else {"states": found.states, "pooled": found.pooled}
        self.shelves.put(self._folder(caption), entries.file_name(_NAME, key), key, tensors, {})

    def tell(self, emit: Emit) -> None:
        """Say, once, what could not be used or written."""
        if self.damaged:
            first = f"Cached texts that could not be used are made again ({len(self.damaged)}). The first: {self.damaged[0]}"
            emit({"type": "warning", "message": first})
            self.damaged.clear()
        tell_shelves(self.shelves, emit)

    def _key(self, caption: str) -> dict[str, Any]:
        return {**self.made_by, "caption": caption}

    def _folder(self, caption: str) -> Path:
        return self.folders.get(caption) or next(iter(self.folders.values()))
