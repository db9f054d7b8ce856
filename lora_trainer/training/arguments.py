"""Arguments in the form name=value, for classes of other packages: read as literals, and held against what a class takes."""

from __future__ import annotations

import ast
import difflib
import inspect
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ..errors import InputError


def parse_arguments(texts: Iterable[str], *, option: str, plain: Collection[str] = ()) -> dict[str, object]:
    """Read `name=value` texts (`weight_decay=0.01`, `betas=.9,.999`, `foreach=None`). Raises InputError, naming `option`.

    The values of the names in `plain` are texts that need no quotation marks.
    """
    found: dict[str, object] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or not name.isidentifier():
            raise InputError(f"{text!r} is not of the form name=value.", field=option, advice="For example weight_decay=0.01.")
        try:
            found[name] = value if name in plain and value[:1] not in ("'", '"') else ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise InputError(
                f"the value of {text!r} is neither a number, True, False, None, a quoted text nor a list of these.",
                field=option,
                advice="For example betas=.9,.999.",
            ) from None
    return found


def check_names(kind: type[Any], given: Mapping[str, object], *, own: Collection[str], called: str, option: str) -> None:
    """Raise InputError for a name in `given` that the class `kind` has not; `own` are those that the program gives itself.

    `called` is what the class is called in a message.
    """
    parameters = inspect.signature(kind).parameters.values()
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return
    taken = [one.name for one in parameters if one.kind is not one.VAR_POSITIONAL and one.name not in own]
    for name in given:
        if name not in taken:
            near = difflib.get_close_matches(name, taken, n=1)
            raise InputError(
                f"{called} has no argument {name!r}.",
                field=option,
                advice=(f"Did you mean {near[0]!r}? " if near else "") + f"It has: {', '.join(taken) or 'none'}.",
            )
