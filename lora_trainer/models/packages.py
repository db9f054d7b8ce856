"""The packages that base models are made of, which take seconds to import."""

from __future__ import annotations

import importlib

from ..importing import undisturbed

# The files themselves: diffusers and transformers import what is asked for by name when it is asked for. Both bring PyTorch's
# compiler (torch._dynamo, and sympy with it), and the first step of an optimizer of PyTorch would.
MODULES = (
    "diffusers.models.unets.unet_2d_condition",
    "diffusers.models.autoencoders.autoencoder_kl",
    "transformers.models.clip.modeling_clip",
    "transformers.models.clip.tokenization_clip",
)


def bring() -> None:
    """Import them, as far as they are not imported yet. Raises ImportError (and what a package raises) where one is missing."""
    with undisturbed():
        for name in MODULES:
            importlib.import_module(name)
