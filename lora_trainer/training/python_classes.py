"""The class that `module.Class` means. What may be imported was decided where the options were read (options.python_names)."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

from .. import optional_packages
from ..errors import InputError


def load_class(target: str, *, option: str, folder: Path | None = None) -> type[Any]:
    """Import the class `module.Class`; `folder` holds its package, where that is not on the path.

    Raises ImportError when the module is not there, InputError (field `option`) when it has no such class.
    """
    module_name, _, name = target.rpartition(".")
    torch_own = module_name.partition(".")[0] in ("torch", "transformers")
    module = importlib.import_module(module_name) if torch_own else optional_packages.load(module_name, folder)
    found = getattr(module, name, None)
    if not inspect.isclass(found):
        known = sorted(one for one in dir(module) if inspect.isclass(getattr(module, one)) and not one.startswith("_"))
        raise InputError(
            f"{module_name} has no class {name}.", field=option, advice=f"It has: {', '.join(known[:30]) or 'no classes'}."
        )
    return found
