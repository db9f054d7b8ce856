"""A report as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...data.plan.words import count

_PHASES = {
    "loading": "loading the model",
    "latents": "encoding the images",
    "texts": "encoding the captions",
    "step": "a step",
    "samples": "drawing samples",
    "steps": "steps",
    "validation": "measuring the loss on images kept aside",
}
_PARTS = {
    "model": "UNet",
    "texts": "text encoders",
    "vae": "VAE",
    "trained": "trained weights",
    "optimizer": "optimizer",
    "working": "activations and gradients",
    "other": "the rest",
}


def lines(report: Mapping[str, Any]) -> list[str]:
    """The report, line by line."""
    return [*_memory(report), *_time(report["time"]), *_files(report["files"]), *(f"Note: {one}" for one in report["warnings"])]


def _memory(report: Mapping[str, Any]) -> Iterator[str]:
    memory, place = report["memory"], f"on {report['device']}" if report["on_card"] else "in main memory"
    needed, free = memory["needed"], size(memory["free"])
    about = "about " if memory["estimated"] else ""
    if memory["fits"]:
        close = " That is close: other programs must not take more." if memory["tight"] else ""
        yield f"Memory: it fits. {size(needed)} are needed {place}, {free} are free.{close}"
    elif needed is None:
        where = _PHASES.get(memory["full_in"], memory["full_in"])
        yield f"Memory: it does not fit. More than the {free} that are free {place} are needed for {where}."
    else:
        yield f"Memory: it does not fit. {about}{size(needed)} are needed {place}, {free} are free.".replace(". a", ". A", 1)
    if not report["on_card"]:
        yield "  (the main memory of the whole process, with the program itself)"
    yield from (f"  {_PHASES[one['name']]}: {size(one['peak'])} at the most" for one in memory["phases"])
    parts = [f"{_PARTS[name]} {size(bytes_)}" for name, bytes_ in memory["parts"].items() if bytes_]
    if parts:
        yield f"  held in a step: {', '.join(parts)}"
    yield from _others(memory)
    if memory["savings"]:
        yield "  What would need less:"
    for one in memory["savings"]:
        named = ", ".join(f"--{name}={str(value).lower()}" for name, value in one["values"].items())
        how = "measured" if one["measured"] else "computed"
        yield f"    {named}: {size(one['needed'])} ({how}{', fits' if one['fits'] else ''})"


def _others(memory: Mapping[str, Any]) -> Iterator[str]:
    """Who else is on the card."""
    if memory["others"]:
        yield "  Others on the card:"
    for one in memory["others"]:
        held = "unknown" if one["bytes"] is None else size(one["bytes"])
        yield f"    {one['name'] or 'a program'} (process {one['pid']}): {held}"


def _time(time: Mapping[str, Any]) -> Iterator[str]:
    if time["total"] is None:
        return
    yield f"Time: about {duration(time['total'])} ({time['steps']} steps, {time['per_step']:.3g} s each)."
    yield "  " + ", ".join(f"{_PHASES[name]} {duration(seconds)}" for name, seconds in time["parts"].items() if seconds)


def _files(files: Mapping[str, Any] | None) -> Iterator[str]:
    if files is None:
        return
    states = f", {count(files['states'], 'state', 'states')} of {size(files['state'])}" if files["states"] else ""
    yield f"Files: {files['count']} of {size(files['one'])} ({files['one']:,} bytes){states}; {size(files['needed'])} in all."
    if files["cached"]:
        yield f"  The latents take up to {size(2 * files['cached'])} beside the images."


def size(count: float) -> str:
    """12345678 -> "11.8 MB", in units of 1024, as those of cards are."""
    for unit in ("bytes", "KB", "MB"):
        if count < 1024:
            return f"{count:.0f} bytes" if unit == "bytes" else f"{count:.1f} {unit}" if count < 100 else f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GB"


def duration(seconds: float) -> str:
    """3700 -> "1 h 2 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{whole} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
