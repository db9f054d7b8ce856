"""While a training is at work, no picture is made and no model loaded but in turn: one gate, put once around a few functions.

Closed, it asks for a turn (the training leaves the card for a while) before it calls the host's own function, or answers why
there is none. Lent, it counts who draws, so that the card stays here while somebody does. Open, it is not felt.

A gate asks one flag and otherwise calls the host's own function, so it is harmless wherever it is kept: the host's modules,
scripts that hold the function under another name, and scripts that are loaded anew in the middle of a training all keep it.
It is therefore never taken away, and a second call of `install` only finds what has come since.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from fastapi import HTTPException

from ...errors import is_out_of_memory
from ...log import logger

_MARK = "lora_trainer_gate_of"
# A turn lasts while somebody draws what it is given; it gives the reason why there is none, or "" when the card is ours.
Turn = Callable[[Any], AbstractContextManager[str]]
_refusal: Callable[[], str] | None = None
_turn: Turn | None = None
_makes_room: Callable[[], bool] | None = None
_is_lent = False


class CardIsTaken(HTTPException, RuntimeError):
    """A picture was asked for while a worker has the card. The host's API answers 503 with the text, and prints nothing."""

    def __init__(self, text: str) -> None:
        super().__init__(status_code=503, detail=text)

    def __str__(self) -> str:
        return self.detail


def close(refusal: Callable[[], str], turn: Turn | None = None, makes_room: Callable[[], bool] | None = None) -> None:
    """From now on let in who gets a `turn`; without one answer with the text of `refusal()`. What finds too little memory is
    drawn again, in a turn of its own, where `makes_room()` says so. Closing again changes all of it."""
    global _refusal, _turn, _makes_room, _is_lent
    install()
    _refusal, _turn, _makes_room, _is_lent = refusal, turn, makes_room, False


def lend() -> None:
    """The card is ours for a while: who draws is let in and counted."""
    global _is_lent
    _is_lent = True


def is_lent() -> bool:
    """Whether a training at work has lent the card."""
    return _refusal is not None and _is_lent


def is_open() -> bool:
    """Whether anybody may draw: no training is at work, or it has lent the card."""
    return _refusal is None or _is_lent


def take_back() -> None:
    """The card is the training's again: closed as before."""
    global _is_lent
    _is_lent = False


def open_again() -> bool:
    """Draw again; returns whether the gate was closed."""
    global _refusal, _turn, _is_lent
    was_closed, _refusal, _turn, _is_lent = _refusal is not None, None, None, False
    return was_closed


@contextmanager
def _let_in(p: Any) -> Iterator[str]:
    """Gives why nothing may be drawn, or "" for as long as it may."""
    refusal, turn = _refusal, _turn
    if refusal is None:
        yield ""
    elif turn is None:
        yield refusal()
    else:
        with turn(p) as reason:
            yield reason


def install() -> None:
    """Put the gates around whatever the host has of these functions, wherever it or a script holds them by now."""
    for module, name, gate in (
        ("modules.processing", "process_images", _raising),
        ("modules.processing", "process_images_inner", _raising),  # for who keeps the outer one out of our sight
        ("modules.sd_models", "reload_model_weights", _passing_over),
        ("modules.sd_vae", "reload_vae_weights", _passing_over),
    ):
        original = getattr(sys.modules.get(module), name, None)
        if original is not None and not hasattr(original, _MARK):
            _replace(original, _marked(gate(original), original))
    for module, kind, name, gate in (
        ("modules.scripts", "ScriptRunner", "run", _answering),
        # the refresh button of the cards lists embeddings, too, and these are compared with a loaded model
        (
            "modules.textual_inversion.textual_inversion",
            "EmbeddingDatabase",
            "load_textual_inversion_embeddings",
            _passing_over,
        ),
    ):
        owner = getattr(sys.modules.get(module), kind, None)
        original = getattr(owner, name, None)
        if original is not None and not hasattr(original, _MARK):
            setattr(owner, name, _marked(gate(original), original))


def _raising(original: Callable[..., Any]) -> Callable[..., Any]:
    def gate(*arguments: Any, **named: Any) -> Any:
        while True:
            with _let_in(arguments[0] if arguments else named.get("p")) as reason:
                if reason:
                    raise CardIsTaken(_say(reason))
                try:
                    return original(*arguments, **named)
                except Exception as error:
                    if _refusal is None or not is_out_of_memory(error) or not (_makes_room and _makes_room()):
                        raise

    return gate


def _passing_over(original: Callable[..., Any]) -> Callable[..., Any]:
    """What would load a model, or needs one, is not done: another checkpoint or VAE that is chosen during a training is
    loaded by the next picture instead."""

    def gate(*arguments: Any, **named: Any) -> Any:
        return None if _refusal is not None and not _is_lent else original(*arguments, **named)

    return gate


def _answering(original: Callable[..., Any]) -> Callable[..., Any]:
    """The page's buttons come by here first, with a script or without: no picture, and the text below the gallery.

    An exception would be printed with all its arguments, and would empty the gallery.
    """

    def gate(self: Any, p: Any, *arguments: Any) -> Any:
        if getattr(p, "is_api", False):
            return original(self, p, *arguments)
        with _let_in(p) as reason:
            if not reason:
                return original(self, p, *arguments)
        processing = importlib.import_module("modules.processing")
        first = getattr(p, "firstpass_image", None)  # the picture that was to be made larger stays in the gallery
        answer = processing.Processed(p, [first] if first is not None else [])
        answer.comments = _say(reason)
        return answer

    return gate


def _say(text: str) -> str:
    logger.info("A picture was asked for and not made: %s", text)
    return text


def _marked(gate: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
    functools.update_wrapper(gate, original)
    setattr(gate, _MARK, original)
    return gate


def _replace(original: object, gate: object) -> None:
    for names in _namespaces():
        for name in [name for name, value in list(names.items()) if value is original]:
            names[name] = gate


def _namespaces() -> Iterator[dict[str, Any]]:
    """The names of every module, and of every script: the host keeps these in a table of its own."""
    scripts = getattr(sys.modules.get("modules.script_loading"), "loaded_scripts", {})
    for module in [*sys.modules.values(), *scripts.values()]:
        names = getattr(module, "__dict__", None)
        if isinstance(names, dict):
            yield names
