"""What a data set is, in a form that travels with a LoRA file: its settings, and a digest of its pictures and captions.

A digest is a SHA-256 of what is trained, in its order: the bytes of each picture, its caption, and its mask where it has one.
Where the folder lies and what its files are called does not count, so that a copy on another machine is "the same data".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from ...foreign.reading import UnreadableError, open_file
from ...options.data_spec import DatasetSpec, SubsetSpec
from ...options.dataset_folders import inherited
from .files import THREADS
from .model import DataPlan, printable
from .remembered import Remembered, Stamp

_PATHS = {"image_dir", "metadata_file", "conditioning_data_dir"}  # told by their names alone
_NOT_TOLD = {"subsets", "custom_attributes"}
_NAMED = 2000  # pictures of a folder that a state keeps by name
_Content = tuple[str, ...]  # of a picture, its caption and its mask


class Hashes:
    """Hashes of files, so that a data set is read once."""

    def __init__(self) -> None:
        self._known: Remembered[str] = Remembered()

    def of(self, paths: Iterable[str]) -> list[str]:
        """SHA-256 of many files, in order; "" for one that cannot be read."""
        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(self.of_one, paths))

    def learn(self, path: str, found: Stamp, digest: str) -> None:
        """Take it from a record that the file at `path` had this digest when its stamp was `found`."""
        self._known.learn(path, found, digest)

    def of_one(self, path: str) -> str:
        """SHA-256 of one file; "" when it cannot be read."""
        try:
            return self._known.of(path, lambda _: _sha256(path))
        except (OSError, UnreadableError):
            return ""


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open_file(path) as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


HASHES = Hashes()


def digests(plan: DataPlan) -> tuple[str, list[str]]:
    """(digest of all the data, digest of each of `plan.subsets`). Reads every picture that was not read before."""
    return _digests(plan, _contents(plan))


def _digests(plan: DataPlan, contents: list[list[tuple[str, _Content]]]) -> tuple[str, list[str]]:
    each = [_digest(content for _, content in part) for part in contents]
    whole = _digest([(digest, str(subset.spec.is_reg)) for digest, subset in zip(each, plan.subsets, strict=True)])
    return whole, each


def _contents(plan: DataPlan) -> list[list[tuple[str, _Content]]]:
    """For each of `plan.subsets` the path of each picture and what is learned of it, in order."""
    parts: list[list[tuple[str, _Content]]] = [[] for _ in plan.subsets]
    images = sorted(plan.images, key=lambda image: image.path)  # those kept aside for validation in their place
    masked = [image for image in images if image.mask]
    masks = dict(zip((image.id for image in masked), HASHES.of(image.mask for image in masked), strict=True))
    for image, content in zip(images, HASHES.of(image.path for image in images), strict=True):
        mask = (masks[image.id],) if image.mask else ()
        parts[image.subset].append((image.path, (content, image.caption, *mask)))
    return parts


def _digest(lines: Iterable[_Content]) -> str:
    text = "\n".join(json.dumps(line) for line in lines)  # ASCII, whatever a caption holds
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def data_record(plan: DataPlan, values: Mapping[str, Any], found: tuple[str, list[str]] | None = None) -> dict[str, Any]:
    """The data set as it is written into a LoRA file: the tables of a data set file whose folders are names, never paths, and
    the digests (`found`: what `digests` gave).

    {"digest", "datasets": [{settings, "subsets": [{"image_dir", "images", "digest", settings}]}]}; settings are the keys of a
    data set file that say something else than the options `values` (by name) do.
    """
    whole, each = found or digests(plan)
    tables = [
        {**_settings(dataset.spec, DatasetSpec, values), "resolution": list(dataset.spec.resolution), "subsets": []}
        for dataset in plan.datasets
    ]
    for subset, digest in zip(plan.subsets, each, strict=True):
        own = _settings(subset.spec, SubsetSpec, values)  # a metadata file with its name among them
        if subset.spec.image_dir is not None:
            own["image_dir"] = subset.spec.image_dir.name
        tables[subset.dataset]["subsets"].append({**own, "images": subset.images + subset.kept_aside, "digest": digest})
    return {"digest": whole, "datasets": tables}


def data_facts(plan: DataPlan) -> dict[str, Any]:
    """What a state keeps of its data: {"digest", "settings", "folders": [{"name", "images", "digest", "pictures"}]}.

    Every picture is read that was not read before. `settings` stands for sizes, batches, repeats and the treatment of captions;
    `pictures` are the first digits of a digest by file name, of a folder of at most 2000.
    """
    contents = _contents(plan)
    whole, each = _digests(plan, contents)
    treatment = [asdict(dataset.spec) for dataset in plan.datasets] + [asdict(subset.spec) for subset in plan.subsets]
    told = [{key: value for key, value in one.items() if key not in (*_PATHS, "subsets")} for one in treatment]
    text = json.dumps([told, plan.prior_loss_weight], sort_keys=True, default=str)
    return {
        "digest": whole,
        "settings": hashlib.sha256(text.encode("utf-8", "replace")).hexdigest(),
        "folders": [
            {"name": subset.name, "images": subset.images + subset.kept_aside, "digest": digest, **_named(content)}
            for subset, digest, content in zip(plan.subsets, each, contents, strict=True)
        ],
    }


def _named(content: list[tuple[str, _Content]]) -> dict[str, Any]:
    if len(content) > _NAMED:
        return {}
    return {"pictures": {printable(Path(path).name): _digest([learned])[:8] for path, learned in content}}


def _settings(spec: object, kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of one table that differ from what they would inherit."""
    found: dict[str, Any] = {}
    for field in fields(kind):
        value = getattr(spec, field.name)
        if field.name in _NOT_TOLD or value == inherited(field.name, dict(values)):
            continue
        found[field.name] = value.name if field.name in _PATHS and value is not None else value
    return found
