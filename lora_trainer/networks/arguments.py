"""`network_args`, checked with the other options before anything is loaded; here for the networks that take them."""

from __future__ import annotations

from ..options.network_arguments import FIELD, DyLoRAArguments, LoRAArguments, number_of, parse_network_args, share_of

__all__ = ["FIELD", "DyLoRAArguments", "LoRAArguments", "number_of", "parse_network_args", "share_of"]
