"""Rules about what is trained: what a kind of training needs, and what means nothing to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .rule import Rule
from .trained import EMBEDDING, NETWORK

# What an embedding is made of, and what a network is: neither means anything to the other.
_OF_EMBEDDINGS = ("token_string", "init_word", "num_vectors_per_token", "weights", "use_object_template", "use_style_template")
_OF_NETWORKS = (
    "network_weights", "dim_from_weights", "network_args", "network_dropout", "network_train_unet_only",
    "network_train_text_encoder_only", "unet_lr", "text_encoder_lr", "cache_text_encoder_outputs",
    "cache_text_encoder_outputs_to_disk",
)  # fmt: skip
_SHAPE = ("network_module", "network_dim", "network_alpha")  # have values in every form and preset, also where unused
_DEFAULTS = {"num_vectors_per_token": 1}


def only_for(option: str) -> str:
    """The kind of training that an option is for: the page shows it with no other. "" for those of every kind."""
    return EMBEDDING if option in _OF_EMBEDDINGS else NETWORK if option in (*_OF_NETWORKS, *_SHAPE) else ""


def shown_in_form(values: Mapping[str, Any]) -> dict[str, Any]:
    """The form's values less those of options that it does not show for the kind of training that is chosen.

    The word of an embedding is by default the name that the person gave the result, by which the Web UI knows it.
    """
    trains = values.get("trains") or NETWORK
    shown = {name: value for name, value in values.items() if only_for(name) in ("", trains)}
    if trains == EMBEDDING:
        shown["token_string"] = shown.get("token_string") or values.get("output_name")
    return shown


def _alone(option: str, trains: str, advice: str) -> Rule:
    """`option` means nothing when something else than `trains` is trained."""
    return Rule(
        (option, "trains"),
        lambda v: v["trains"] != trains and bool(v[option]) and v[option] != _DEFAULTS.get(option),
        f"{option} has no effect when {{trains}} is trained.",
        advice,
    )


RULES = (
    Rule(
        ("token_string",),
        lambda v: v["trains"] == EMBEDDING and not (v["token_string"] or "").strip() and not v["debug_dataset"],
        "The word of the embedding is missing (token_string).",
        "Give a word that captions hold, the same as the result's name, for example frog-emb.",
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
    *(_alone(option, EMBEDDING, f"Give trains {EMBEDDING}, or leave {option} out.") for option in _OF_EMBEDDINGS),
    *(_alone(option, NETWORK, f"Leave {option} out.") for option in _OF_NETWORKS),
)
