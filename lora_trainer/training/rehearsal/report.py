"""What a rehearsal comes to: memory against what is free, time, sizes of files, and what would need less. Ready for JSON."""

from __future__ import annotations

import time
from collections.abc import Container, Iterable
from typing import Any

import torch

from ...networks.file_size import size_of
from ...options import flat
from ...runs import disk
from .. import pivotal, results, resuming, state
from ..checkpoint import SavePlan
from ..facts import file_metadata
from ..position import Position
from ..precision import device_name
from ..resuming import Start
from ..validation import LEVELS
from ..validation import Schedule as ValidationSchedule
from .card import TIGHT
from .measuring import Rehearsal
from .savings import Sizes, savings
from .shapes import line, seconds_of_all

_OTHERWISE = {"checkpointed", "chosen"}  # of the sizes: with other options
_FORWARD = 1 / 3  # a forward pass against one with its gradients


def report(of: Rehearsal, began: float, *, copies: int = 0) -> dict[str, Any]:
    """What docs/api.md calls a Report, without what the host adds. `began` is when the program did (time.time()); `copies` of
    the result will be made elsewhere."""
    times = _times(of)
    return {
        "device": device_name(of.processes.device),
        "on_card": of.processes.device.type != "cpu",
        "measured": began,
        "took": time.time() - began,
        "memory": _memory(of),
        "time": times,
        "files": _files(of, copies),
        "warnings": list(dict.fromkeys(of.found.warnings)),
    }


def _memory(of: Rehearsal) -> dict[str, Any]:
    found = of.found
    peaks, sizes = _peaks(of), _sizes(of)
    room = found.room
    unknown = bool(found.overflowed) and (found.overflowed != "step" or found.working is None)
    needed = None if unknown else max(peaks.values())
    fits = not found.overflowed and needed is not None and needed <= room.free
    is_tight = fits and needed is not None and needed > TIGHT * room.free
    helps = []
    if needed is not None and sizes is not None and (not fits or is_tight):
        on_card = of.processes.device.type != "cpu"
        found_out = savings(of.options, sizes, peaks, on_card=on_card, datasets=of.plan.datasets)
        helps = [vars(one) | {"fits": one.needed <= room.free} for one in found_out]
    return {
        **room.as_dict(),
        "needed": needed,
        "fits": fits,
        "tight": is_tight,
        "estimated": found.is_estimated,
        "full_in": found.overflowed,
        "phases": [{"name": name, "peak": peak} for name, peak in peaks.items()],
        "parts": {} if sizes is None else {name: size for name, size in vars(sizes).items() if name not in _OTHERWISE},
        "savings": helps,
    }


def _peaks(of: Rehearsal) -> dict[str, int]:
    """The peak of each phase. Main memory also has what the training keeps of all pictures, which a rehearsal does not."""
    found = of.found
    peaks = dict(found.meter.peaks)
    if found.overflowed == "step" and found.working is not None and of.loop is not None:
        peaks["step"] = max(peaks.get("step", 0), found.before_steps + found.working + _optimizer_bytes(of))
    if of.processes.device.type == "cpu" and of.options.dataset.cache_latents:
        for name in ("step", "samples"):
            if name in peaks:
                peaks[name] += of.latents_bytes
    return peaks


def _sizes(of: Rehearsal) -> Sizes | None:
    """What is held during a step; None when none was come to."""
    found, loop, device = of.found, of.loop, of.processes.device
    if loop is None or found.working is None or of.loaded is None:
        return None
    model = of.loaded.model
    parameters = loop.updater.parameters
    counted = {id(parameter) for parameter in parameters}  # of a whole model they are the model's own
    sizes = Sizes(
        model=_bytes_on(model.unet, device, counted),
        texts=sum(_bytes_on(encoder, device, counted) for encoder in model.text_encoders),
        vae=_bytes_on(model.vae, device),
        trained=sum(parameter.nbytes for parameter in parameters),
        optimizer=_optimizer_bytes(of),
        working=found.working,
        checkpointed=found.checkpointed,
        chosen=found.chosen,
    )
    peak = _peaks(of).get("step", 0)
    return Sizes(**{**vars(sizes), "other": max(0, peak - sizes.step)})


def _bytes_on(module: torch.nn.Module, device: torch.device, without: Container[int] = ()) -> int:
    held = [one for one in (*module.parameters(), *module.buffers()) if id(one) not in without]
    return sum(tensor.nbytes for tensor in held if tensor.device.type == device.type)


def _optimizer_bytes(of: Rehearsal) -> int:
    """What the optimizer remembers: two numbers of 32 bits for each weight, while it has not made a step."""
    assert of.loop is not None
    optimizer = of.loop.updater.optimizer
    tensors = [value for kept in optimizer.state.values() for value in kept.values() if isinstance(value, torch.Tensor)]
    known = sum(tensor.nbytes for tensor in tensors)
    return known or 2 * 4 * sum(parameter.numel() for parameter in of.loop.updater.parameters)


def _times(of: Rehearsal) -> dict[str, Any]:
    """Seconds of each part, and of all; None while it did not come to a step."""
    found, counts = of.found, of.counts
    seconds: dict[str, float] = {"loading": found.meter.seconds.get("loading", 0.0)}
    seconds["latents"] = (found.latent_seconds or 0.0) * of.to_encode / of.processes.world_size
    seconds["texts"] = found.meter.seconds.get("texts", 0.0) + (found.caption_seconds or 0.0) * of.texts_to_come
    if not found.points:
        return {"total": None, "parts": seconds, "steps": counts.total_steps, "per_step": None}
    seconds["steps"] = seconds_of_all(of.steps, counts, found.points)
    seconds["validation"] = _validating(of)
    seconds["samples"] = found.drawing.seconds * found.drawing.times if found.drawing else 0.0
    per_step = seconds["steps"] / max(1, counts.total_steps)
    return {"total": sum(seconds.values()), "parts": seconds, "steps": counts.total_steps, "per_step": per_step}


def _validating(of: Rehearsal) -> float:
    """What measuring the loss on the pictures kept aside takes: forward passes, by the time of a step."""
    aside = of.plan.kept_aside
    if not aside:
        return 0.0
    work = sum(image.bucket[0] * image.bucket[1] for image in aside)
    schedule = ValidationSchedule.of(of.options.dataset, of.counts.total_steps)
    times = schedule.times_to_come(0, 0, of.counts.epochs) + 1
    fixed, each = line(of.found.points)
    encoding = (of.found.latent_seconds or 0.0) * work
    return encoding + (fixed * len(aside) + each * work) * LEVELS * _FORWARD * times


def _files(of: Rehearsal, copies: int) -> dict[str, Any] | None:
    """The size of one file and of all that is written; None where there is no network yet."""
    if of.loop is None or of.loaded is None:
        return None
    options, loop, counts = of.options, of.loop, of.counts
    start = Start(
        info=None,
        step=0,
        position=Position(),
        counts=counts,
        facts={},
        session=resuming.TEN_DIGITS,
        started_at=time.time(),
        continues=False,
    )
    network = loop.updater.trained
    metadata = file_metadata(options, of.loaded.model, network, of.plan, counts, of.optimizer, start, reads=False)
    plan = SavePlan.of(options.saving, counts.epochs)
    texts = metadata(plan.stem_of(plan.last), counts.total_steps, counts.epochs)
    with loop.updater.shown():
        one = results.of(options, of.loaded.model, network).size(plan.last, texts, options.saving.save_precision)
        beside = sum(
            size_of(own, pivotal.metadata_beside(texts), options.saving.save_precision, plan.extension)
            for own in network.files_beside().values()
        )
    states = state.size_of(resuming.pieces(loop))
    writes = disk.written(flat(options), counts.total_steps, counts.epochs, copies=copies)
    return {
        "one": one,
        "count": writes.files,
        "state": states,
        "states": writes.states,
        "needed": writes.bytes(one + beside, states),
        "cached": of.latents_bytes if options.dataset.cache_latents_to_disk else 0,
    }


def worst(memory: dict[str, Any]) -> str:
    """The phase that needs the most."""
    phases: Iterable[dict[str, Any]] = memory["phases"]
    return max(phases, key=lambda one: one["peak"])["name"] if memory["phases"] else ""
