"""Keys that are asked for on the page (a Hugging Face token): taken out of a request before anything of it is kept.

A run's keys live in the memory of this process, and reach its worker as the environment variables that the packages behind
them read. After a restart of the host they are gone: then what the user has stored with those packages counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import InputError
from ..hosts.base import Access
from ..options import OPTIONS, TrainOptions

_VARIABLES = {option.name: option.secret for option in OPTIONS if option.secret}
_FORMS = ("values", "options")


def split(body: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """(the request without its keys, {environment variable: key})."""
    found: dict[str, str] = {}
    kept = dict(body)
    for form in _FORMS:
        given = body.get(form)
        if isinstance(given, Mapping):
            kept[form] = {name: value for name, value in given.items() if _option(name) not in _VARIABLES}
            for name, value in given.items():
                if _option(name) in _VARIABLES and isinstance(value, str) and value.strip():
                    found[_VARIABLES[_option(name)]] = value.strip()
    return kept, found


def _option(name: Any) -> str:
    """The option that a key of a request means: scripts may write --wandb-api-key."""
    return str(name).lstrip("-").replace("-", "_")


def missing(options: TrainOptions, access: Access) -> list[InputError]:
    """What needs a key of whoever asks: a page that is open to others must not act in the name of the one who runs it."""
    if access.folders is None:
        return []
    needed = [
        (name, "huggingface_token")
        for name in ("huggingface_repo_id", "resume_from_huggingface")
        if getattr(options.saving, name) and not options.saving.huggingface_token
    ]
    if options.saving.log_with in ("wandb", "all") and not options.saving.wandb_api_key:
        needed.append(("log_with", "wandb_api_key"))
    return [
        InputError(
            f"{what} needs your own key here: this page is open to others.",
            field=key,
            advice=f"Give {key}, or leave {what} out.",
        )
        for what, key in needed
    ]
