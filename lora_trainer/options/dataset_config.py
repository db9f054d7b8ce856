"""Reading what to train on: the data set file (TOML or JSON), or a folder of folders named `<repeats>_<words>`."""

from __future__ import annotations

from .data_spec import DatasetSpec, DataSpec, SubsetSpec

__all__ = ["DataSpec", "DatasetSpec", "SubsetSpec", "parse_folder_name"]


def parse_folder_name(name: str) -> tuple[int, str] | None:
    """Split `20_sls frog` into (20, "sls frog"); None when the name does not begin with a count of at least 1 and `_`.

    The count may be written as Python's int() reads it (`01`, `+4`, other scripts' digits); `5` alone means no words.
    """
    count, _, words = name.partition("_")
    try:
        repeats = int(count)
    except ValueError:
        return None
    return (repeats, words) if repeats >= 1 else None
