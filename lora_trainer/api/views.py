"""Runs and LoRA files as the JSON of docs/api.md."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..foreign.reading import UnreadableError, read_text
from ..options.trained import EMBEDDING, MODEL, NETWORK
from ..runs import live, resuming
from ..runs.events import Event, read_events
from ..runs.folder import RunFolder
from ..runs.progress import Progress
from ..runs.store import QUEUED, Run
from ..runs.supervisor import Supervisor
from .changes import changed_parts

READ_PART = 256 << 10  # bytes of events in one answer


def run_view(supervisor: Supervisor, run: Run, queue: list[str] | None = None) -> dict[str, Any]:
    """A Run of docs/api.md. `queue` holds the ids that wait, next first."""
    progress, _ = supervisor.progress(run.id)
    waiting = queue if queue is not None else [waiting_run.id for waiting_run in supervisor.store.queue()]
    last = progress.samples[-1:]
    return {
        "id": run.id,
        "name": run.name,
        "state": run.state,
        "active": run.is_active,
        "created": run.created,
        "started": run.started,
        "ended": run.ended,
        "queue_position": waiting.index(run.id) + 1 if run.id in waiting else None,
        "message": run.message,
        "advice": run.advice,
        **_progress_view(run, progress),
        "total_steps": _total_steps(supervisor, run, progress),
        "resumable": None if run.is_active else resuming.last_state(supervisor.folder(run.id), progress),
        "card": supervisor.standing(run).as_dict() if run.is_active else None,
        "last_sign_of_life": _last_sign(supervisor, run, progress),
        "picture": _sample_view(run, last[0])["thumb"] if last else "",
        "lora": {"name": Path(run.result).stem, "path": run.result} if run.result else None,
    }


def parts_view(supervisor: Supervisor, run: Run) -> dict[str, Any]:
    """What of a Detail grows while it trains and changes seldom."""
    progress, _ = supervisor.progress(run.id)
    folder = supervisor.folder(run.id)
    return {
        "samples": [_sample_view(run, sample) for sample in progress.samples],
        "files": _files_view(run, folder, progress),
        "warnings": progress.warnings,
        "lora": _lora_of(run, folder),
        "live": _live_of(run, folder),
        "log": folder.log_tail(),
    }


def detail_view(supervisor: Supervisor, run: Run) -> dict[str, Any]:
    """A Detail of docs/api.md."""
    folder = supervisor.folder(run.id)
    progress, _ = supervisor.progress(run.id)
    request = folder.request()
    return {
        **run_view(supervisor, run),
        **parts_view(supervisor, run),
        "curve": curve_view(progress),
        "trains": str(request.get("trains") or NETWORK),
        "config": _text(folder.config),
        "dataset": _text(folder.dataset),
        "prompts": _text(folder.prompts),
        "command": str(request.get("command") or ""),
        "values": request.get("values"),
        "generate": _generate_of(request),
        "folder": str(folder.path),
        "forecast": request.get("forecast"),
    }


def curve_view(progress: Progress) -> dict[str, Any]:
    """The curves of a whole run."""
    return {**progress.curve.as_dict(), "validation": progress.validation.as_dict()}


def news_view(supervisor: Supervisor, run: Run, after: int, have: str) -> dict[str, Any]:
    """What a page that shows the run is sent: events from the offset `after` on, and the parts that are not as it has them."""
    events, offset, more = events_after(supervisor.folder(run.id).events, after)
    parts, having = changed_parts(parts_view(supervisor, run), have)
    log = parts.pop("log", None)
    run_now = run_view(supervisor, run)
    del run_now["lora"]  # one of the parts, with more in it
    seen = {"events": events, "offset": offset, "more": more, "log": log, "have": having}
    return {"run": {**run_now, **parts}, **seen}


def _progress_view(run: Run, progress: Progress) -> dict[str, Any]:
    return {
        "phase": progress.now if run.is_active else None,
        "prepared": progress.prepared if run.is_active else None,
        "step": progress.step,
        "epoch": progress.epoch,
        "epochs": progress.epochs,
        "steps_per_epoch": progress.steps_per_epoch,
        "loss": progress.loss,
        "smoothed_loss": progress.smoothed_loss,
        "validation_loss": progress.validation.loss[-1] if progress.validation.loss else None,
        "lr": progress.lr,
        "lrs": progress.lrs,
        "samples_per_second": progress.samples_per_second,
        "seconds_per_step": progress.seconds_per_step,
        "seconds_left": progress.seconds_left if run.is_active else None,
        "seconds_before": progress.seconds_before,
        "peak_memory": progress.peak_memory,
        "device": progress.device,
    }


def _total_steps(supervisor: Supervisor, run: Run, progress: Progress) -> int | None:
    """As the worker told; of a run that is to go on to more, those, before its next worker has told them."""
    asked = resuming.total_steps(supervisor.folder(run.id)) if run.is_active or run.state == QUEUED else None
    return max(asked, progress.total_steps or 0) if asked else progress.total_steps


def _sample_view(run: Run, sample: dict[str, Any]) -> dict[str, Any]:
    name = Path(str(sample.get("path", ""))).name
    urls = {kind: f"runs/{quote(run.id)}/{way}/{quote(name)}" for kind, way in (("url", "file"), ("thumb", "thumb"))}
    return {"name": name, **urls, **{key: sample.get(key) for key in ("step", "prompt", "seed")}}


def _files_view(run: Run, folder: RunFolder, progress: Progress) -> list[dict[str, Any]]:
    """The saved files that are there: older ones are removed while it trains when the settings say so."""
    sizes = folder.saved_sizes()
    return [
        {
            "name": (name := Path(path).name),
            "url": f"runs/{quote(run.id)}/file/{quote(name)}",
            **{key: saved.get(key) for key in ("step", "epoch")},
            "final": bool(saved.get("final")),
            "bytes": sizes[name],
        }
        for path, saved in progress.files.items()
        if Path(path).name in sizes
    ]


def _last_sign(supervisor: Supervisor, run: Run, progress: Progress) -> float | None:
    """When the worker last told something, or touched its heartbeat: loading a model takes longer than a step."""
    heartbeat = supervisor.folder(run.id).heartbeat
    signs = [progress.last_time, heartbeat.stat().st_mtime if heartbeat.exists() else None]
    return max((sign for sign in signs if sign is not None), default=None)


def _lora_of(run: Run, folder: RunFolder) -> dict[str, Any] | None:
    if not run.result:
        return None
    request, path = folder.request(), Path(run.result)
    view = lora_view(path, str(request.get("activation") or ""), str(request.get("trains") or ""))
    generate = _generate_of(request)
    if view["is_model"]:  # pictures are drawn with what was trained
        generate = {**generate, "checkpoint": str(path)}
    return {**view, "prompt": _tried(path, request), "generate": generate}


def _generate_of(request: Mapping[str, Any]) -> dict[str, Any]:
    """What pictures with the run's LoRA are drawn with, as far as it is known: base model, size, ..."""
    generate = request.get("generate")
    return generate if isinstance(generate, dict) else {}


def _tried(path: Path, request: Mapping[str, Any]) -> str:
    """A prompt that calls up what a file has learned."""
    asked = str(_generate_of(request).get("prompt") or "")
    tag = f"<lora:{Path(str(request.get('target') or '')).stem}:"
    if tag in asked:
        return asked.replace(tag, f"<lora:{path.stem}:")
    words = str(request.get("caption") or request.get("activation") or "")
    return str(lora_view(path, words, str(request.get("trains") or ""))["prompt"])


def _live_of(run: Run, folder: RunFolder) -> dict[str, Any] | None:
    """The file with the weights as they are, while the run trains; a prompt for it where it is there."""
    request = folder.request()
    if not run.is_active or request.get("trains") == MODEL:
        return None
    found = live.standing(folder)
    prompt = _tried(Path(found["name"]), request) if found["name"] else None
    return {**found, "prompt": prompt, "generate": _generate_of(request)}


def lora_view(path: Path, activation: str, trains: str = "") -> dict[str, Any]:
    """A result and the prompt that calls it up: a LoRA by its tag, an embedding by its name, in a model the words alone."""
    is_embedding = trains == EMBEDDING
    prompt = path.stem if is_embedding else activation if trains == MODEL else f"{activation} <lora:{path.stem}:0.8>".strip()
    facts = {"name": path.stem, "path": str(path), "activation": activation, "is_embedding": is_embedding}
    facts["is_model"] = trains == MODEL
    return {**facts, "prompt": prompt}


def events_after(path: Path, offset: int) -> tuple[list[Event], int, bool]:
    """Events from `offset` on, the next offset, and whether there are more: a page that slept gets them in parts."""
    events, end = read_events(path, offset, limit=READ_PART)
    _, further = read_events(path, end, limit=READ_PART)
    return events, end, further > end


def _text(path: Path) -> str:
    try:
        return read_text(path)
    except UnreadableError:
        return ""
