"""Questions about a data set: which pictures fit a filter, in which order; its tags; the bucket of each picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from ..data.plan.buckets import bucket_limits, bucket_resolutions, fit_to_buckets, fit_without_upscaling
from ..data.plan.model import Size
from ..errors import InputError
from ..options.train import OPTIONS_BY_NAME
from ..options.values import BadValue, convert, resolution_pair
from .dataset import DataSet
from .filters import Around, parse
from .model import Picture, unread
from .tags import same_as

_USUAL: dict[str, Any] = {"resolution": "512", "min_bucket_reso": 256, "max_bucket_reso": 1024, "bucket_reso_steps": 64}
_SORTS: dict[str, Callable[[Picture], Any]] = {
    "caption": lambda one: (one.caption.text or "").casefold(),
    "tokens": lambda one: one.caption.tokens,
    "tags": lambda one: len(one.caption.tags),
    "size": lambda one: one.size[0] * one.size[1] if one.size else None,
    "stars": lambda one: one.stars,
    "loss": lambda one: one.loss,
    "findings": lambda one: len(one.findings),
}
SORTS = ("name", *_SORTS)
Bucket = Callable[[Picture], Size | None]


def matching(dataset: DataSet, text: str, buckets: Mapping[str, Any] | None = None) -> list[Picture]:
    """The pictures that the filter `text` fits, by folder and name. Raises InputError for a filter that is wrong."""
    around = Around([folder.name for folder in dataset.folders], bucket_of(buckets or {}))
    return parse(text).matching(dataset.in_order(), around)


def ordered(pictures: list[Picture], sort: str, *, descending: bool) -> list[Picture]:
    """In the order of one of SORTS; what has no value comes last. Raises InputError for another."""
    if sort == "name":
        return pictures[::-1] if descending else pictures
    if sort not in _SORTS:
        raise InputError(f"{sort!r} is no order.", field="sort", advice=f"There are: {', '.join(SORTS)}.")
    value = _SORTS[sort]
    known = [one for one in pictures if value(one) is not None]
    unknown = [one for one in pictures if value(one) is None]
    return sorted(known, key=value, reverse=descending) + unknown


def bucket_of(given: Mapping[str, Any]) -> Bucket:
    """What tells a picture's bucket with these settings of the form. Raises InputError for wrong ones."""
    settings = dict(_USUAL)
    for name, value in given.items():
        if name not in (*_USUAL, "bucket_no_upscale"):
            raise InputError(f"{name!r} is no setting of buckets.", field="buckets")
        if value is not None:
            try:
                settings[name] = convert(OPTIONS_BY_NAME[name], value, loose=True)
            except BadValue as problem:
                raise InputError(str(problem), field=name) from problem
    resolution = resolution_pair(settings["resolution"])
    return _bucket(
        resolution,
        settings["min_bucket_reso"],
        settings["max_bucket_reso"],
        settings["bucket_reso_steps"],
        bool(settings.get("bucket_no_upscale")),
    )


def _bucket(resolution: Size, low: int, high: int, steps: int, no_upscale: bool) -> Bucket:
    try:
        sizes = [] if no_upscale else bucket_resolutions(resolution, *bucket_limits(resolution, low, high, steps), steps)
    except InputError:
        return lambda _: None  # the form says so itself

    @lru_cache(maxsize=10_000)
    def of(size: Size) -> Size | None:
        try:
            return fit_to_buckets(size, sizes).bucket if sizes else fit_without_upscaling(size, resolution, steps).bucket
        except InputError:
            return None

    return lambda picture: of(picture.size) if picture.size else None


def tag_counts(pictures: list[Picture], *, order: str, starts: str = "") -> list[tuple[str, int]]:
    """(tag, number of the pictures that have it) by count, name or first appearance; those that begin with `starts` alone."""
    counts = Counter(tag for one in pictures for tag in one.caption.tags)
    wanted = same_as(starts)
    found = [(tag, count) for tag, count in counts.items() if not wanted or same_as(tag).startswith(wanted)]
    if order == "count":
        return sorted(found, key=lambda item: (-item[1], item[0].casefold()))
    if order == "name":
        return sorted(found, key=lambda item: item[0].casefold())
    if order == "first":
        return found
    raise InputError(f"{order!r} is no order.", field="order", advice="There are: count, name, first.")


def row(dataset: DataSet, picture: Picture, bucket: Bucket) -> dict[str, Any]:
    """A Row of docs/api.md."""
    caption = picture.caption
    width, height = picture.size or (None, None)
    in_bucket = bucket(picture)
    return {
        "id": picture.id,
        "name": picture.name,
        "folder": picture.folder,
        "width": width,
        "height": height,
        "bytes": picture.stamp.size,
        "mtime": picture.stamp.mtime_ns / 1e9,
        "problem": picture.problem,
        "caption": caption.text,
        "tags": list(caption.tags),
        "tokens": caption.tokens,
        "unread": unread(caption),
        "version": caption.version,
        "encoding": caption.encoding,
        "caption_problem": caption.problem,
        "stars": picture.stars,
        "left_out": picture.left_out,
        "findings": sorted(picture.findings),
        "loss": picture.loss,
        "untrained": picture.is_untrained,
        "bucket": list(in_bucket) if in_bucket else None,
        "thumb": f"datasets/{dataset.id}/thumb/{picture.id}?v={picture.stamp.mtime_ns:x}-{picture.stamp.size:x}",
    }
