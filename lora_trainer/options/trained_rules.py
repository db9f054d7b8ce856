"""Rules about what is trained: what a kind of training needs, and what means nothing to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .rule import Rule
from .trained import BUNDLED, EMBEDDING, NETWORK, PIVOTAL, WITH_NETWORK, WITH_WORD

# Which kinds of training an option means something to. Those of _SHAPE have values in every form and preset, also where unused.
_OF_WORDS = ("token_string", "init_word", "num_vectors_per_token", "weights", "use_object_template", "use_style_template")
_OF_NETWORKS = (
    "network_weights", "dim_from_weights", "network_args", "network_dropout", "network_train_unet_only",
    "network_train_text_encoder_only", "unet_lr", "text_encoder_lr",
)  # fmt: skip
_OF_CONSTANT_TEXTS = ("cache_text_encoder_outputs", "cache_text_encoder_outputs_to_disk")
_OF_BOTH = ("embedding_lr", "stop_embedding_training", "save_embedding")
_SHAPE = ("network_module", "network_dim", "network_alpha")
_KINDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_OF_WORDS, WITH_WORD),
    **dict.fromkeys(_OF_NETWORKS, WITH_NETWORK),
    **dict.fromkeys(_OF_CONSTANT_TEXTS, (NETWORK,)),
    **dict.fromkeys(_OF_BOTH, (PIVOTAL,)),
}
_DEFAULTS = {"num_vectors_per_token": 1, "save_embedding": BUNDLED}


def only_for(option: str) -> tuple[str, ...]:
    """The kinds of training that an option is for: the page shows it with no other. () for those of every kind."""
    return WITH_NETWORK if option in _SHAPE else _KINDS.get(option, ())


def shown_in_form(values: Mapping[str, Any], identifier: str = "") -> dict[str, Any]:
    """The form's values less those of options that it does not show for the kind of training that is chosen.

    The word of an embedding is by default the name that the person gave the result, by which the Web UI knows it; that of a
    LoRA the `identifier`, which captions have.
    """
    trains = values.get("trains") or NETWORK
    shown = {name: value for name, value in values.items() if trains in (only_for(name) or (trains,))}
    if trains == EMBEDDING:
        shown["token_string"] = shown.get("token_string") or values.get("output_name")
    if trains == PIVOTAL:
        shown["token_string"] = shown.get("token_string") or identifier
    return shown


def kind_meant(values: Mapping[str, Any]) -> str:
    """The kind of training where nobody says it: with a word a LoRA learns that, too."""
    return PIVOTAL if values.get("token_string") else NETWORK


def _alone(option: str, kinds: tuple[str, ...]) -> Rule:
    """`option` means nothing when something else than one of `kinds` is trained."""
    return Rule(
        (option, "trains"),
        lambda v: v["trains"] not in kinds and bool(v[option]) and v[option] != _DEFAULTS.get(option),
        f"{option} has no effect when {{trains}} is trained.",
        f"Give trains {' or '.join(kinds)}, or leave {option} out.",
    )


RULES = (
    Rule(
        ("token_string",),
        lambda v: v["trains"] in WITH_WORD and not (v["token_string"] or "").strip() and not v["debug_dataset"],
        "The word that is learned is missing (token_string).",
        "Give a word that captions hold, for an embedding the same as the result's name, for example frog-emb.",
    ),
    Rule(
        ("token_string",),
        lambda v: v["trains"] == PIVOTAL and "." in (v["token_string"] or "") and v["save_embedding"] == BUNDLED,
        "The word {token_string} has a dot: in a LoRA's file the Web UI reads a word's name up to the first one.",
        "Take another word, or save_embedding beside.",
    ),
    Rule(
        ("use_style_template", "use_object_template"),
        lambda v: v["use_object_template"] and v["use_style_template"],
        "use_object_template and use_style_template exclude each other.",
        "Give use_object_template for a thing, use_style_template for a way of painting.",
    ),
    Rule(
        ("init_word", "weights"),
        lambda v: bool(v["init_word"]) and bool(v["weights"]),
        "init_word has no effect: the vectors begin with those of weights.",
        "Give one of them.",
    ),
    *(_alone(option, kinds) for option, kinds in _KINDS.items()),
)
