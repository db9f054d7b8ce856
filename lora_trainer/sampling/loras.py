"""LoRA files on a model while pictures are drawn: found by name, put on with their multipliers, taken off again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..log import logger
from ..models import words
from ..networks import bundled, files, registry
from ..networks.functional import first_ranks
from ..networks.merged import MergedNetwork
from ..networks.weight_changes import needs_package
from .lora_folders import LoraUse

if TYPE_CHECKING:
    from torch import Tensor

    from ..models import Model

LYCORIS = "lycoris.kohya"


def _to_pure_noise(path: Path) -> bool:
    """Whether the file's metadata say that it was trained with zero_terminal_snr."""
    return str(files.read_metadata(path).get("ss_zero_terminal_snr")).lower() == "true"


@contextlib.contextmanager
def applied(model: Model, uses: Iterable[LoraUse]) -> Iterator[None]:
    """Put the LoRAs on `model`; take them off at the end, whatever happens. Their effects add up; 0 changes not one bit.

    The files are read anew each time, so that an overwritten one counts at once. Raises LoraFileError for a file that cannot be
    used or does not fit the model; then the model is what it was.
    """
    standing = Standing(model, [*uses])
    try:
        yield
    finally:
        standing.restore()


def load_network(model: Model, use: LoraUse) -> Any:
    """Return the network of a file for `model`, its multipliers set, not yet on the model. Raises LoraFileError."""
    tensors, _ = bundled.split(files.load(use.path)[0])
    lycoris = use.module == LYCORIS or not use.module and registry.is_lycoris(tensors)
    if use.dyn is not None and lycoris:
        raise InputError(
            f"<lora:{use.name}>: it has no ranks that could be counted from the first on (dyn), as a plain LoRA has.",
            field="prompt",
            advice="Leave the number of ranks out.",
        )
    if lycoris and not use.arguments and not needs_package(tensors):
        merged = MergedNetwork(tensors, str(use.path), model.text_encoders, model.unet)
        merged.set_multiplier(use.te, use.unet)
        return merged
    if use.dyn is not None:
        tensors = first_ranks(tensors, use.dyn)
    builder = registry.get(use.module or (LYCORIS if lycoris else "networks.lora"))
    network, weights = builder.create_network_from_weights(
        1.0, use.path, None, model.text_encoders, model.unet, weights_sd=tensors, for_inference=True, **use.arguments
    )
    network.load_state_dict(weights)
    network.to(device=model.device, dtype=model.dtype)
    network.set_multiplier(use.te, use.unet)
    return network


def words_in(path: Path) -> dict[str, tuple[Tensor, ...]]:
    """The words that were trained with a LoRA and lie in its file: vectors [n, width] for each text encoder."""
    if not bundled.names_in(files.read_header(path)[0]):
        return {}
    return bundled.words_in(files.load(path)[0])


class Standing:
    """Networks that stay on a model from picture to picture, while their multipliers change; `restore` takes them off.

    `merged` adds them to the weights, anew when a multiplier changes: each step is as fast as the model's own.
    """

    def __init__(self, model: Model, uses: Sequence[LoraUse], *, merged: bool = False) -> None:
        """Raises LoraFileError for a file that cannot be used, InputError for one that cannot be merged. The model is then what
        it was."""
        self._model = model
        self._merged = merged
        self._own_schedule = model.zero_terminal_snr
        self._to_pure_noise = [model.prediction_type == "v_prediction" and _to_pure_noise(use.path) for use in uses]
        self._networks = [load_network(model, use) for use in uses]
        for use, network in zip(uses, self._networks, strict=True):
            if merged and not hasattr(network, "merge_to"):
                raise InputError(
                    f"{use.path} is a network that cannot be added to the weights.",
                    field="network_merge",
                    advice="Leave --network_merge and --network_pre_calc out.",
                )
        self._taught: list[str] = []
        try:
            for network in self._networks:
                self._put_on(network)
            self._teach(uses)
        except BaseException:
            self.restore()
            raise
        self._set_schedule()

    def set_multipliers(self, multipliers: Sequence[float]) -> None:
        """One for each network, for text encoders and UNet alike."""
        pairs = [*zip(self._networks, multipliers, strict=True)]
        if all(network.multiplier == (multiplier, multiplier) for network, multiplier in pairs):
            return
        anew = self._merged or any(isinstance(network, MergedNetwork) for network in self._networks)
        if anew:
            self._take_off()
        for network, multiplier in pairs:
            network.set_multiplier(multiplier)
            if anew:
                self._put_on(network)
        self._set_schedule()

    def _set_schedule(self) -> None:
        """Draw from pure noise on where a network that has an effect was trained from there on (zero_terminal_snr)."""
        told = zip(self._networks, self._to_pure_noise, strict=True)
        self._model.zero_terminal_snr = self._own_schedule or any(zero and any(one.multiplier) for one, zero in told)

    def restore(self) -> None:
        """Take all networks off: the model has its own bits, its own noise levels, and its own words, again."""
        self._model.zero_terminal_snr = self._own_schedule
        for word in self._taught:
            words.forget(self._model, word)
        self._taught = []
        self._take_off()

    def _take_off(self) -> None:
        for network in reversed(self._networks):  # LyCORIS' modules wrap what they find: the last one comes off first
            if self._merged:
                network.unmerge()
            else:
                network.restore()

    def _teach(self, uses: Iterable[LoraUse]) -> None:
        """Let the model know the words that lie in the files, whatever the multipliers; as in the Web UI, one that is known by
        then stays what it is."""
        for use in uses:
            for word, vectors in words_in(use.path).items():
                if words.vectors_of(self._model, word) is not None:
                    logger.warning("%s: its word %s is known already, and stays what it is.", use.path, word)
                    continue
                words.teach(self._model, word, [one.to(self._model.device) for one in vectors])
                self._taught.append(word)

    def _put_on(self, network: Any) -> None:
        put = network.merge_to if self._merged else network.apply_to
        put(self._model.text_encoders, self._model.unet)


def short_hash(path: Path) -> str:
    """Return the 12 digits by which the Web UI knows a LoRA file: of its tensors, or of the whole file for a .ckpt."""
    return files.webui_hash(path) if path.suffix.lower() == ".safetensors" else files.file_hashes(path)[1][:12]
