"""Models of Hugging Face: where their files lie here, and a clear sentence where they cannot be fetched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ..errors import BaseModelError, NotInstalledError

T = TypeVar("T")


def fetch(repo_id: str, names: list[str], folder: Path, *, subfolder: str = "", force: bool = False) -> None:
    """Put the files `names` of the hub's `repo_id` into `folder` (those of `subfolder` below it), where they are not there.

    Raises BaseModelError when one cannot be had; a file is whole or not there.
    """
    place = folder / subfolder
    missing = [name for name in names if force or not (place / name).is_file()]
    if not missing:
        return
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise NotInstalledError("The package huggingface_hub is missing.", advice=f"Put {names[0]} into {place}.") from error
    for name in missing:
        reached(
            lambda name=name: hf_hub_download(  # type: ignore[misc]
                repo_id, name, subfolder=subfolder or None, local_dir=folder, force_download=force
            ),
            repo_id,
            f"put {' and '.join(names)} of it into {place} by hand",
        )


def reached(ask: Callable[[], T], name: str, otherwise: str) -> T:
    """What `ask` gets from the hub. Raises BaseModelError that says what to do `otherwise`."""
    try:
        return ask()
    except Exception as error:  # the hub's client raises many kinds, from no network to no such name
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BaseModelError(
            f"{name} is not on this computer, and could not be fetched from Hugging Face: {why}",
            advice=f"Check the spelling and the network (HF_HUB_OFFLINE must not be set), or {otherwise}.",
        ) from error
