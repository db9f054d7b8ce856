"""Rules about what is trained: what a kind of training needs, and what means nothing to it."""

from __future__ import annotations

from .rule import Rule
from .trained import EMBEDDING, NETWORK

# What an embedding is made of, and what a network is: neither means anything to the other.
_OF_EMBEDDINGS = ("token_string", "init_word", "num_vectors_per_token", "weights", "use_object_template", "use_style_template")
_OF_NETWORKS = (
    "network_weights", "dim_from_weights", "network_args", "network_dropout", "network_train_unet_only",
    "network_train_text_encoder_only", "unet_lr", "text_encoder_lr", "cache_text_encoder_outputs",
    "cache_text_encoder_outputs_to_disk",
)  # fmt: skip
_DEFAULTS = {"num_vectors_per_token": 1}


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
