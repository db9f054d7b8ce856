"""A network and a word that are trained together (pivotal tuning: Roich et al. 2021, arXiv 2106.05744, for words that stand
for what the network learns; as cloneofsimo's lora has it for diffusion models)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from ..embeddings.embedding import Embedding
from ..networks import bundled
from ..networks.base import AdapterNetwork
from ..networks.targets import Part
from ..options.block_arguments import Shape
from ..runs.folder import WORD

_OF_WORD = (
    "ss_token_string", "ss_init_word", "ss_num_vectors_per_token", "ss_base_model_version", "ss_sd_model_name",
    "ss_sd_model_hash", "ss_new_sd_model_hash", "ss_output_name", "ss_session_id", "ss_steps", "ss_epoch",
)  # fmt: skip


class NetworkAndWord(nn.Module):
    """`network` on the model, and the vectors of `word`, which the model reads where a caption has it.

    `word_lr` is the word's learning rate; after optimizer step `last_step` (None: never) it stays as it is. Its tensors are in
    the network's file; `is_beside` puts them into one of their own.
    """

    def __init__(
        self,
        network: AdapterNetwork[Any],
        word: Embedding,
        *,
        word_lr: float,
        last_step: int | None = None,
        is_beside: bool = False,
    ) -> None:
        super().__init__()
        self.network, self.word = network, word
        self.word_lr, self.last_step, self.is_beside = word_lr, last_step, is_beside
        self.needs_autocast = network.needs_autocast

    @property
    def shape(self) -> Shape:
        """The network's rank and alpha."""
        return self.network.shape

    @property
    def multiplier(self) -> tuple[float, float]:
        """The network's: a word has no strength besides its weight in a prompt."""
        return self.network.multiplier

    def set_multiplier(self, text_encoder: float, unet: float | None = None) -> None:
        """Set the network's factors."""
        self.network.set_multiplier(text_encoder, unet)

    def adapters(self, part: Part | None = None) -> Sequence[nn.Module]:
        """The network's modules, and the word on the text encoders."""
        return [*self.network.adapters(part), *self.word.adapters(part)]

    def parameter_groups(
        self, text_encoder_lr: float | Sequence[float] | None, unet_lr: float | None, default_lr: float | None
    ) -> list[dict[str, Any]]:
        """The network's groups and the word's. Raises InputError when nothing of the network is trained."""
        return [
            *self.network.parameter_groups(text_encoder_lr, unet_lr, default_lr),
            *self.word.parameter_groups(None, None, self.word_lr),
        ]

    def trained_parameters(self, part: Part | None = None) -> Sequence[nn.Parameter]:
        """What of the network is trained, and the vectors, which are on the text encoders."""
        return [*self.network.trained_parameters(part), *self.word.trained_parameters(part)]

    def start_step(self, step: int) -> None:
        """From `last_step` on the vectors ask for no gradients, so that no optimizer changes them."""
        self.word.requires_grad_(self.last_step is None or step <= self.last_step)
        self.network.start_step(step)

    def end_step(self) -> None:
        """The network may have prepared something."""
        self.network.end_step()

    def apply_max_norm(self, max_norm: float) -> Tensor:
        """Limit what the network's layers learn; the vectors are another measure."""
        return self.network.apply_max_norm(max_norm)

    def training_state(self) -> dict[str, Tensor]:
        """Both, by names of their own."""
        own = {f"word.{name}": tensor for name, tensor in self.word.training_state().items()}
        return {**self.network.training_state(), **own}

    def state_dict(self, *_: Any, **__: Any) -> dict[str, Any]:
        """The file's tensors: the network's, and the word's as the Web UI reads them there."""
        bundle = {} if self.is_beside else bundled.keys_for(self.word.word, [one.detach() for one in self.word.vectors])
        return {**self.network.state_dict(), **bundle}

    def files_beside(self) -> Mapping[str, Mapping[str, Tensor]]:
        """The word's own file, where it has one, by what its name has besides the network's."""
        return {WORD: self.word.state_dict()} if self.is_beside else {}


def metadata_beside(metadata: Mapping[str, str]) -> dict[str, str]:
    """What of a LoRA file's metadata holds for the word's own file."""
    return {key: metadata[key] for key in _OF_WORD if key in metadata}


def last_step_of(word: int | float | None, steps: int) -> int | None:
    """Which of `steps` steps is the last that changes the word, of option stop_embedding_training; None: all do."""
    if word is None:
        return None
    return round(word * steps) if word < 1 else int(word)
