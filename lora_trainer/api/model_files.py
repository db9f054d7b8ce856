"""The lists of LoRA files and models as the page has them: a file that is broken is one row with its problem."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from .. import modelfile
from ..errors import LoraTrainerError
from ..foreign.json_text import read_number, read_table
from ..foreign.reading import is_file
from ..networks.files import check_lora, read_header, read_metadata
from ..paths import is_hidden

_PREVIEWS = (".png", ".preview.png", ".jpg", ".jpeg", ".webp")
_SECONDS = 4.0  # for looking into the files of one list; what was not looked into has no problem that is known
_DOWN = (".lora_down.weight", ".lora_A.weight", ".lora.down.weight")
_Found = TypeVar("_Found", str, int)
_SHOWN = 500  # characters of a text out of a file


def lora_files(folder: Path) -> list[Path]:
    """The LoRA files of a folder and its sub-folders, by name; what is hidden, a pipe or a link to nothing is none."""
    named = (
        path for path in folder.rglob("*") if path.suffix.lower() in modelfile.LORA_SUFFIXES and not is_hidden(path, folder)
    )
    return sorted(filter(is_file, named), key=lambda path: path.stem.casefold())


def lora_problems(paths: Iterable[Path]) -> dict[Path, str]:
    """What is wrong with each LoRA file, by its header; files without a problem, or not looked into in time, are left out."""
    return _looked(paths, _lora_problem)


def model_problems(paths: Iterable[Path]) -> dict[Path, str]:
    """The same for base models, as files to train on. Pickles are left to the check of a draft: they take long to look into."""
    return _looked((path for path in paths if path.suffix.lower() == modelfile.SAFETENSORS), _model_problem)


def lora_ranks(paths: Iterable[Path]) -> dict[Path, int]:
    """The largest rank in each LoRA file, by its header; files of which it is not known are left out."""
    return _looked(paths, _lora_rank)


def _looked(paths: Iterable[Path], look: Callable[[Path, int, int], _Found]) -> dict[Path, _Found]:
    found: dict[Path, _Found] = {}
    end = time.monotonic() + _SECONDS
    for path in paths:
        if time.monotonic() > end:
            break
        try:
            stat = path.stat()
        except OSError:  # gone meanwhile
            continue
        if told := look(path, stat.st_size, stat.st_mtime_ns):
            found[path] = told
    return found


@lru_cache(maxsize=4096)
def _lora_problem(path: Path, _size: int, _time: int) -> str:
    try:
        check_lora(path)
    except LoraTrainerError as error:
        return str(error)
    return ""


@lru_cache(maxsize=4096)
def _lora_rank(path: Path, _size: int, _time: int) -> int:
    try:
        shapes, _ = read_header(path)
    except LoraTrainerError:
        return 0
    return max((shape[0] for name, shape in shapes.items() if name.endswith(_DOWN) and shape), default=0)


@lru_cache(maxsize=1024)
def _model_problem(path: Path, _size: int, _time: int) -> str:
    info = modelfile.probe(path)
    return f"{info.problem} {info.advice}" if info.problem else ""


def loras_view(folder: Path) -> list[dict[str, Any]]:
    """The LoRA files with what their cards and metadata say, and what is wrong with them."""
    paths = lora_files(folder)
    problems = lora_problems(paths)
    cards = [_lora_card(path, problems.get(path, "")) for path in paths]
    return [card for card in cards if card]


def _lora_card(path: Path, problem: str) -> dict[str, Any]:
    try:
        stat = path.stat()
    except OSError:
        return {}
    card = read_table(path.with_suffix(".json"))
    metadata: dict[str, str] = {}
    if not problem:
        try:
            metadata = read_metadata(path)
        except LoraTrainerError as error:
            problem = str(error)
    return {
        "name": path.stem,
        "path": str(path),
        "bytes": stat.st_size,
        "modified": stat.st_mtime,
        "activation": _text(card.get("activation text")),
        "weight": read_number(card, "preferred weight") or None,
        "base_model": _text(metadata.get("ss_base_model_version") or metadata.get("modelspec.architecture")),
        "rank": _text(metadata.get("ss_network_dim")) or None,
        "preview": f"loras/preview?name={quote(path.stem, errors='replace')}" if preview_of(path) else "",
        "problem": problem,
    }


def _text(value: Any) -> str:
    return value[:_SHOWN] if isinstance(value, str) else ""


def preview_of(path: Path) -> Path | None:
    """The picture of a LoRA's card."""
    candidates = [path.with_name(path.stem + end) for end in _PREVIEWS]
    return next(filter(is_file, candidates), None)
