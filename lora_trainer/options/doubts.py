"""Settings that are allowed, but hardly meant: a rate of 10, one picture shown a thousand times. They get a warning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .optimizer_kinds import kind_of, makes_its_rate
from .trained import EMBEDDING, MODEL

_RATES = ("learning_rate", "unet_lr", "text_encoder_lr")
_LARGEST_RATE = {"sgd": 1.0, "lion": 3e-3}  # by the beginning of the optimizer's name
_LARGEST_OTHER_RATE = 2e-2
_SMALLEST_RATE = 1e-7
_SMALLEST_OF_VECTORS, _LARGEST_OF_VECTORS = 5e-4, 0.2  # an embedding's few numbers move much further than a network's
_LARGEST_OF_MODELS = 5e-5  # each of all its numbers moves so much at a step
_LARGEST_FACTOR = 3.0
_OFTEN_SHOWN, _FEW_IMAGES, _OFTEN_SHOWN_OF_FEW = 1000, 5, 250
_LARGEST_RANK, _LARGEST_STRENGTH = 256, 8.0  # strength: alpha / rank
_MANY_DRAWINGS = 100
_ENDINGS = (".safetensors", ".ckpt", ".pt")


def doubts(values: Mapping[str, Any], *, images: int, shown: int, total_steps: int) -> Iterator[tuple[str, str, str]]:
    """Yield (option, message, advice) for what cannot be meant.

    `values` are the resolved options by name; `shown` counts how often training images are shown in the whole training.
    """
    yield from _name(str(values["output_name"] or ""))
    yield from _rates(values)
    yield from _warm_up(values, total_steps)
    yield from _network(values)
    if images:
        yield from _repetitions(values, images, shown / images)
    every = values["sample_every_n_steps"]
    if every and not values["sample_every_n_epochs"] and values["sample_prompts"] and total_steps // every > _MANY_DRAWINGS:
        message = f"Samples are drawn {total_steps // every:,} times, which can take longer than the training."
        yield "sample_every_n_steps", message, "Draw them less often."


def _name(name: str) -> Iterator[tuple[str, str, str]]:
    ending = next((ending for ending in _ENDINGS if name.lower().endswith(ending)), "")
    if ending:
        yield "output_name", f"The name ends in {ending}; the file gets its ending by itself.", "Leave the ending out."
    if name.startswith("."):
        message = "A file whose name begins with a dot is hidden: no list of files shows it."
        yield "output_name", message, "Begin with a letter."


def _rate_of_vectors(rate: float, name: str = "learning_rate") -> Iterator[tuple[str, str, str]]:
    if 0 < rate < _SMALLEST_OF_VECTORS:
        message = f"{name} is {rate:g}: so small that an embedding learns next to nothing."
        yield name, message, "5e-3 is usual for an embedding."
    elif rate > _LARGEST_OF_VECTORS:
        message = f"{name} is {rate:g}: so large that the word will most likely mean nothing."
        yield name, message, "5e-3 is usual for an embedding."


def _rates(values: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    kind = kind_of(str(values["optimizer_type"] or ""))
    optimizer = kind.name.lower().rpartition(".")[2].removeprefix("paged")
    finds_its_rate = kind.finds_its_rate
    own = next((limit for name, limit in _LARGEST_RATE.items() if optimizer.startswith(name)), _LARGEST_OTHER_RATE)
    largest = _LARGEST_FACTOR if finds_its_rate else own
    if values["trains"] == EMBEDDING:
        if not finds_its_rate:
            yield from _rate_of_vectors(values["learning_rate"] or 0.0)
        return
    if values["trains"] == MODEL:
        if not finds_its_rate and (values["learning_rate"] or 0.0) > _LARGEST_OF_MODELS:
            message = f"learning_rate is {values['learning_rate']:g}: so large that the model will forget what it knows."
            yield "learning_rate", message, "1e-6 to 1e-5 is usual for a whole model."
        return
    if not finds_its_rate:
        yield from _rate_of_vectors(values["embedding_lr"] or 0.0, "embedding_lr")
    given = [(name, values[name] if isinstance(values[name], (list, tuple)) else [values[name]]) for name in _RATES]
    for name, rate in ((name, rate) for name, rates in given for rate in rates if rate):
        if rate > largest:
            usual = "1 is usual with this optimizer." if finds_its_rate else "1e-4 is usual."
            yield name, f"{name} is {rate:g}: so large that the training will most likely learn nothing but noise.", usual
        elif rate < _SMALLEST_RATE:
            yield name, f"{name} is {rate:g}: so small that nothing will be learned.", "1e-4 is usual."
    # unet_lr 0 is how one trains the text encoder alone; learning_rate 0 is how one forgets a digit.
    if values["learning_rate"] == 0 and values["unet_lr"] is None and not values["network_train_text_encoder_only"]:
        usual = "1 is usual with this optimizer." if finds_its_rate else "1e-4 is usual."
        yield "learning_rate", "learning_rate is 0 and unet_lr is not given: the UNet learns nothing.", usual


def _warm_up(values: Mapping[str, Any], total_steps: int) -> Iterator[tuple[str, str, str]]:
    """A warm-up that does not end within the training. A share of the steps is below 1, and always does."""
    steps = values["lr_warmup_steps"] or 0
    if steps < total_steps or values["lr_scheduler_type"] or makes_its_rate(values["optimizer_type"], values["optimizer_args"]):
        return
    message = (
        f"The warm-up of {steps:g} steps is not shorter than the training ({total_steps:,}): the rate never gets to its height."
    )
    yield "lr_warmup_steps", message, "A tenth of the steps is usual: 0.1."


def _network(values: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    rank, alpha = values["network_dim"], values["network_alpha"]
    if rank and rank > _LARGEST_RANK:
        yield "network_dim", f"A rank of {rank:,} makes a very large file and learns by heart.", "8 to 64 is usual."
    if rank and alpha and alpha / rank > _LARGEST_STRENGTH:
        message = f"alpha {alpha:g} on rank {rank} multiplies what is learned by {alpha / rank:.3g}."
        yield "network_alpha", message, "Half the rank, up to the rank itself, is usual."


def _repetitions(values: Mapping[str, Any], images: int, times: float) -> Iterator[tuple[str, str, str]]:
    """Each image shown too often, or not even once."""
    about = "max_train_epochs" if values["max_train_epochs"] else "max_train_steps"
    limit = _OFTEN_SHOWN_OF_FEW if images < _FEW_IMAGES else _OFTEN_SHOWN
    if times > limit:
        what = "The only image" if images == 1 else f"Each of the {images:,} images"
        message = f"{what} is shown about {times:,.0f} times: it will be learned by heart, and nothing else."
        yield about, message, "100 to 300 times are usual: train fewer steps, or give more images."
    elif times < 1:
        message = f"The training ends before each of the {images:,} images has been shown once."
        yield about, message, "Train more steps, or lower the repeats."
