"""What lets the processor compute the same bytes whenever a training is repeated. Standard library only.

Intel's MKL, with which torch multiplies matrices, chooses its way by where a matrix happens to lie in memory, and on more
than one thread the ways add up in another order: a convolution's gradient at one pixel (a matrix times one column) then
differs in its last bits from one run to the next, on processors with AVX-512 or AMX. MKL_CBWR ("conditional bitwise
reproducibility", https://www.intel.com/content/www/us/en/docs/onemkl/developer-guide-linux/2024-2/) forbids that. MKL reads it
once, at its first use.
"""

from __future__ import annotations

import os

_VARIABLES = {"MKL_CBWR": "AUTO,STRICT"}  # the fastest way for this processor, and the same one at every place in memory


def set_up() -> None:
    """Ask for repeatable results in this process and those that it starts. What the user set stays.

    Called before torch is imported, by programs of our own alone: in the Web UI's process its settings are not ours.
    """
    for name, value in _VARIABLES.items():
        os.environ.setdefault(name, value)
