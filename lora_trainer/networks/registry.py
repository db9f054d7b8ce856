"""`network_module` -> builder. Only names of this table are imported, unless the local user asks for more."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any, NamedTuple

from .. import optional_packages
from ..errors import InputError, NotInstalledError
from ..options.network_kinds import KINDS

NETWORKS = {kind.name: kind.implementation for kind in KINDS}
_LYCORIS_KEYS = re.compile(
    r"\.(hada_|lokr_|oft_|dora_scale|lora_mid|on_input$|a1\.|diff(_b)?$|w_norm|b_norm|lambda_layer$|bias_indices$)|^oft_|^lora_unet_(conv_in|conv_out|time_)"
)
_DOTTED_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


class Builder(NamedTuple):
    """What a network module offers (see networks.lora for the arguments)."""

    create_network: Callable[..., Any]
    create_network_from_weights: Callable[..., Any]


def get(network_module: str | None, *, allow_import: bool = False) -> Builder:
    """Return the builder for the option `network_module`; its name inside our package is accepted, too.

    `allow_import` also imports other installed modules. It may be set only for a name that the local
    user typed on the command line, never for one that came over the network: importing runs code.
    Raises InputError for names that do not exist, NotInstalledError for a module that cannot be imported or lacks its package.
    """
    known = ", ".join(NETWORKS)
    if not network_module:
        raise InputError("no network module is given.", field="network_module", advice=f"Choose one of: {known}.")
    short = network_module.removeprefix("lora_trainer.")
    if short in NETWORKS:
        module = importlib.import_module(NETWORKS[short])
        getattr(module, "check_installed", lambda: None)()
        return _builder(module, network_module)
    if allow_import and _DOTTED_NAME.fullmatch(network_module) and not short.startswith("networks."):
        try:
            return _builder(optional_packages.load(network_module), network_module)
        except ImportError as error:
            raise NotInstalledError(
                f"the network module {network_module} cannot be imported: {error}.",
                advice=f"Install the package it is in, or choose one of: {known}.",
            ) from error
    raise InputError(
        f"there is no network module {network_module!r}.", field="network_module", advice=f"Choose one of: {known}."
    )


def check_name(network_module: str) -> None:
    """Raise InputError for a module that is not in the table. Nothing is imported, so its package may be missing."""
    if network_module.removeprefix("lora_trainer.") not in NETWORKS:
        get(network_module)


def is_lycoris(names: Iterable[str]) -> bool:
    """Whether a file whose tensors have these names holds one of LyCORIS' kinds of network."""
    return any(_LYCORIS_KEYS.search(name) for name in names)


def for_weights(names: Iterable[str]) -> Builder:
    """Return the builder for a file whose tensors have these names: LyCORIS' for its kinds of network, else networks.lora."""
    return get("lycoris.kohya" if is_lycoris(names) else "networks.lora")


def _builder(module: ModuleType, name: str) -> Builder:
    functions = [getattr(module, function, None) for function in Builder._fields]
    if not all(callable(function) for function in functions):
        raise InputError(f"the module {name} is no network module: it lacks create_network.", field="network_module")
    return Builder(*functions)
