"""LoRA files that become part of the base model before a training (options base_weights, base_weights_multiplier)."""

from __future__ import annotations

from itertools import zip_longest

from ..models import Model
from ..networks import bundled, files
from ..networks.merged import MergedNetwork
from ..options.network import NetworkOptions
from ..paths import user_path
from .phases import Emit, phase


def merge(options: NetworkOptions, model: Model, emit: Emit) -> None:
    """Add the files' changes to the weights of `model`, for good, in float32, one file after the other.

    Files of every kind that is drawn with are merged (networks.weight_changes); a multiplier that is not given is 1. Raises
    LoraFileError for a file that cannot be used, or does not fit the model.
    """
    given = options.base_weights or ()
    progress = phase(emit, "merging LoRAs into the base model") if given else None
    for number, (path, factor) in enumerate(zip_longest(given, options.base_weights_multiplier or (), fillvalue=1.0), 1):
        tensors, words = bundled.split(files.load(user_path(str(path)))[0])
        if words:
            named = ", ".join(bundled.names_in(words))
            emit({"type": "warning", "message": f"{path}: the word {named} is left out: no base model has a place for it."})
        network = MergedNetwork(tensors, str(path), model.text_encoders, model.unet)
        network.set_multiplier(float(factor))
        network.apply_to()
        if progress:
            progress(number, len(given))
