"""How far two results of the same maths may lie apart: as far as their dtype's rounding takes them, and no further.

Another processor, number of threads or order of a sum changes every rounding. A sum of n terms then moves by about sqrt(n)
roundings of its largest ones, and a model of L layers, each a sum, by L times that. What is left is a margin for the terms
that cancel. A wrong factor, layer or sign is of order 1.

Models are asked at 16 x 16 latents, not 8 x 8: there the tiny model's lowest level is one pixel, and a group normalisation of
two numbers gives +1 and -1 whatever they are, so that rounding alone decides its gradients.
"""

from __future__ import annotations

import math

import torch

MARGIN = 8.0
SIDE = 16  # of latents, for the tiny models
UNET_LAYERS, UNET_TERMS = 100, 9 * 64  # of the tiny UNet: layers behind each other, terms of its widest convolution
TEXT_LAYERS, TEXT_TERMS = 20, 128


def allowed(expected: torch.Tensor, *, terms: int, layers: int = 1) -> float:
    """The greatest difference that rounding explains, for `expected` computed by `layers` sums of `terms` terms."""
    return MARGIN * torch.finfo(expected.dtype).eps * math.sqrt(terms) * layers * float(expected.abs().max())


def assert_same_but_for_rounding(found: torch.Tensor, expected: torch.Tensor, *, terms: int, layers: int = 1) -> None:
    """Both must be finite, of one shape, and nowhere further apart than `allowed`."""
    torch.testing.assert_close(found, expected, rtol=0.0, atol=allowed(expected, terms=terms, layers=layers))


def assert_same_outputs(found: tuple[torch.Tensor, torch.Tensor], expected: tuple[torch.Tensor, torch.Tensor]) -> None:
    """The same for (text states, UNet output) of a tiny model."""
    assert_same_but_for_rounding(found[0], expected[0], terms=TEXT_TERMS, layers=TEXT_LAYERS)
    assert_same_but_for_rounding(found[1], expected[1], terms=UNET_TERMS, layers=UNET_LAYERS)
