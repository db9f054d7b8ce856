"""From captions to text states: computed at every step where the text encoder is trained, once per caption where it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import torch

from ..data.plan import DataPlan
from ..data.together import ALONE, Together
from ..models import Model
from ..models.conditioning import Conditioning
from ..models.text import count_tokens
from ..options import TrainOptions
from ..options.model import ModelOptions
from . import captions as shown
from .memory import Resting
from .phases import Emit, phase
from .precision import Precision
from .text_store import TextStore
from .trained import Trained

CHUNK = 16  # captions that are encoded at once beforehand
MOST_KEPT = 4096  # captions whose states are kept; SD1's take 118 KB each in 16 bits, SDXL's 318


@dataclass
class TextStates:
    """The conditioning of captions (text states [B, n*75+2, C], with SDXL's summary), on the device, in its precision.

    `trained` says that the encoder (or the LoRA on it, or its strength) changes while training: nothing is kept then.
    Otherwise states are kept in main memory, in the compute precision, for the `MOST_KEPT` captions that were used last.
    Without `padded` the states of a batch end with its longest caption: what comes before does not depend on what follows.
    """

    model: Model
    precision: Precision
    trained: bool
    max_token_length: int = 75
    clip_skip: int = 1
    weighted: bool = False
    resting: Resting | None = None
    padded: bool = True
    store: TextStore | None = None  # where they are kept for the next training, too
    _kept: dict[str, Conditioning] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        options: ModelOptions,
        model: Model,
        trained: bool,
        plan: DataPlan,
        precision: Precision,
        emit: Emit,
        *,
        padded: bool = True,
        store: TextStore | None = None,
        together: Together = ALONE,
    ) -> TextStates:
        """The text states of a training; where no encoder is trained and the captions stay the same, they are computed now.

        With a `store` each of the processes `together` does its part.
        """
        states = cls(
            model,
            precision,
            trained,
            max_token_length=options.max_token_length or 75,
            clip_skip=options.clip_skip or 1,
            weighted=options.weighted_captions,
            resting=Resting.of(options, precision.device),
            padded=padded,
            store=store,
        )
        longer = shown.too_long(plan, model.tokenizers[0], max_token_length=states.max_token_length, weighted=states.weighted)
        for message in (*longer, *shown.wrong_brackets(plan, weighted=states.weighted)):
            emit({"type": "warning", "message": message})
        captions = shown.constant(plan)
        if not trained and captions is not None:
            states.prepare(captions, phase(emit, "encoding the captions"), together)
            if store:
                store.tell(emit)
        return states

    def __call__(self, captions: Sequence[str]) -> Conditioning:
        """Return the conditioning of a batch of captions."""
        if self.trained:
            with self.precision.training():
                return self._cut(self._encode(captions).to(self.precision.device, self.precision.dtype), captions)
        missing = []
        for caption in dict.fromkeys(captions):
            if caption in self._kept:
                self._kept[caption] = self._kept.pop(caption)  # to the end: used last
            else:
                missing.append(caption)
        self._remember(missing)
        return self._cut(Conditioning.join([self._kept[caption] for caption in captions]).sent(self.precision.device), captions)

    def of_any_caption(self) -> Conditioning:
        """The conditioning of one caption, whichever is the least work."""
        return self([next(iter(self._kept), "")])

    def prepare(
        self,
        captions: Iterable[str],
        progress: Callable[[int, int], object] | None = None,
        together: Together = ALONE,
    ) -> None:
        """Encode every caption of `captions` once; the encoder is not needed any more then.

        Of more than are kept, those that would be forgotten before they are used are left for their time; a store has all.
        """
        assert not self.trained
        wanted = list(dict.fromkeys(captions))
        if self.store is None:
            wanted = wanted[:MOST_KEPT]
        elif together.world_size > 1:  # each its part, and then what the others have written
            self._remember_all(wanted[together.rank :: together.world_size], progress)
            together.wait()
            wanted = [caption for caption in wanted if caption not in self._kept]
        self._remember_all(wanted, progress)
        (self.resting or Resting(self.precision.device)).put_away(*self.model.text_encoders)

    def move(self, device: str | torch.device) -> None:
        """Move the text encoders."""
        for encoder in self.model.text_encoders:
            encoder.to(device)

    def _cut(self, found: Conditioning, captions: Sequence[str]) -> Conditioning:
        """`found` of these captions, without the places behind the longest where captions are not padded."""
        if self.padded:
            return found
        tokenizer = self.model.tokenizers[0]
        longest = max(count_tokens(tokenizer, caption, weighted=self.weighted) for caption in captions)
        return replace(found, states=found.states[:, : longest + 2])  # with start and end

    def _remember_all(self, captions: Sequence[str], progress: Callable[[int, int], object] | None) -> None:
        for at in range(0, len(captions), CHUNK):
            self._remember(captions[at : at + CHUNK])
            if progress is not None:
                progress(min(at + CHUNK, len(captions)), len(captions))

    @torch.no_grad()
    def _remember(self, captions: Sequence[str]) -> None:
        missing = []
        for caption in captions:
            found = self.store.find(caption) if self.store else None
            if found is None:
                missing.append(caption)
            else:
                self._keep(caption, found)
        if not missing:
            return
        self.move(self.precision.device)
        with self.precision.autocast():
            encoded = self._encode(missing)
        for caption, made in zip(missing, encoded.rows(), strict=True):
            own = made.to("cpu", self.precision.dtype).clone()
            self._keep(caption, own)
            if self.store:
                self.store.keep(caption, own)

    def _keep(self, caption: str, found: Conditioning) -> None:
        if len(self._kept) >= MOST_KEPT:
            self._kept.pop(next(iter(self._kept)))
        self._kept[caption] = found

    def _encode(self, captions: Sequence[str]) -> Conditioning:
        return self.model.encode(
            list(captions), max_token_length=self.max_token_length, clip_skip=self.clip_skip, weighted=self.weighted
        )


def text_states(
    options: TrainOptions,
    model: Model,
    network: Trained,
    plan: DataPlan,
    precision: Precision,
    processes: Together,
    emit: Emit,
) -> TextStates:
    """The text states of a training, with the store that its options ask for."""
    store = TextStore.of(options.dataset, options.model, model, network, plan, precision.dtype, emit)
    changes = text_changes(network, plan)
    padded = not options.trained.no_token_padding
    return TextStates.of(options.model, model, changes, plan, precision, emit, padded=padded, store=store, together=processes)


def text_changes(network: Trained, plan: DataPlan) -> bool:
    """Whether the text states change while training: the network on the text encoders is trained, or has another strength
    (network_multiplier) in one data set than in another."""
    strengths = {dataset.spec.network_multiplier for dataset in plan.datasets}
    return bool(network.trained_parameters("text_encoder") or (strengths != {1.0} and network.adapters("text_encoder")))
