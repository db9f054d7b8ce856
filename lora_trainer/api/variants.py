"""The same training several times, each with another value of one option: names derived and told, queued at once or not at all.
Routes of routes.py."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ..errors import InputError, InputErrors
from ..options.schema import Option
from ..options.simple import SIMPLE_BY_NAME
from ..options.train import OPTIONS_BY_NAME
from ..options.values import BadValue, convert, did_you_mean
from . import answers, checks, drafts, submitting
from .answers import answer, flag_of, json_body, text_of
from .service import Service

LEAST, MOST = 2, 12
_NOT_VARIED = {"output_name", "output_dir", "config_file", "output_config", "dataset_config", "concepts", "settings", "is_off"}
_LONGEST = 60  # bytes of the part that a value adds to a name
# What a value is called in a name; the option's own name where nothing is said.
_SHORT = {
    "learning_rate": "lr", "unet_lr": "unet-lr", "text_encoder_lr": "te-lr", "network_dim": "rank", "network_alpha": "alpha",
    "train_batch_size": "batch", "max_train_steps": "steps", "max_train_epochs": "epochs", "num_repeats": "repeats",
    "optimizer_type": "", "lr_scheduler": "", "pretrained_model_name_or_path": "", "network_module": "",
    "min_snr_gamma": "snr", "noise_offset": "offset",
}  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """One of the runs: the value of the option, and the name that it gets."""

    value: Any
    name: str


def variants_of(name: str, option_name: str, values: list[Any]) -> list[Variant]:
    """The variants of a run called `name` that `values` of an option make, in their order.

    Raises InputErrors for an option that there is not, values that it cannot have, and values that are one and the same.
    """
    option = SIMPLE_BY_NAME.get(option_name) or OPTIONS_BY_NAME.get(option_name)
    if option is None or option_name in _NOT_VARIED or option.secret:
        known = [one for one in (*SIMPLE_BY_NAME, *OPTIONS_BY_NAME) if one not in _NOT_VARIED]
        advice = did_you_mean(option_name, known) if option is None else "Choose another option."
        raise InputErrors([InputError(f"{option_name} cannot be varied.", field="option", advice=advice)])
    if not LEAST <= len(values) <= MOST:
        message = f"{len(values)} values were given, expected {LEAST} to {MOST}."
        raise InputErrors([InputError(message, field="list", advice="Each value is a run of its own.")])
    errors, seen, made = [], [], []
    for raw in values:
        try:
            value = convert(option, raw, loose=True)
        except BadValue as problem:
            errors.append(InputError(str(problem), field="list", where=str(raw)[:80]))
            continue
        if any(value == other and type(value) is type(other) for other in seen):
            errors.append(InputError(f"the value {_word(value)} is given twice.", field="list", advice="Keep one of them."))
            continue
        seen.append(value)
        made.append(Variant(raw, _named(name, option, value, [variant.name for variant in made])))
    if errors:
        raise InputErrors(errors)
    return made


def _named(name: str, option: Option, value: Any, taken: list[str]) -> str:
    """`frog-lr-1e-4`; with a number behind it where two values give the same name."""
    short = _SHORT.get(option.name, option.name)
    word = _word(value)
    parts = [name, *([short] if short else []), word]
    wanted = "-".join(part for part in parts if part)
    candidate, number = wanted, 1
    while candidate.casefold() in {one.casefold() for one in taken}:
        number += 1
        candidate = f"{wanted}-{number}"
    return candidate


def _word(value: Any) -> str:
    """A value as a part of a file's name."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        text = f"{value:g}"
        if 0 < abs(value) < 0.001:
            mantissa, _, exponent = f"{value:e}".partition("e")
            text = f"{float(mantissa):g}e{int(exponent)}"
    elif isinstance(value, (list, tuple)):
        text = "_".join(_word(item) for item in value)
    else:
        text = re.split(r"[\\/]", str(value).rstrip("\\/"))[-1].removesuffix(".safetensors").removesuffix(".ckpt")
    plain = re.sub(r"[^\w.+-]+", "_", text).strip("._") or "x"
    return plain.encode("utf-8")[:_LONGEST].decode("utf-8", errors="ignore")


async def _variants(service: Service, request: Request) -> Response:
    body = await json_body(request)
    values, option, queue = body.get("list"), text_of(body, "option"), flag_of(body, "queue")
    if not isinstance(values, list):
        raise answers.Refusal(400, 'Expected {"option": name, "list": [value, ...], "values": {...}}.')
    asked = {key: value for key, value in body.items() if key not in ("list", "option", "queue")}
    if queue:
        return answer({"runs": await service.change(submit_all, service, asked, option, values)}, 201)
    return answer({"variants": await service.look(check_all, service, asked, option, values)})


def bodies(body: Mapping[str, Any], option: str, values: list[Any]) -> list[tuple[Variant, dict[str, Any]]]:
    """Each variant with the request that makes its run. Raises InputErrors, and Refusal for a body of no known form."""
    draft = drafts.read(body)
    if option in SIMPLE_BY_NAME and not draft.is_form:
        raise InputErrors(
            [InputError(f"{option} cannot be varied.", field="option", advice="It is a field of the page alone.")]
        )
    if not draft.name:
        advice = "It is what the names of all of them begin with."
        raise InputErrors([InputError("The result has no name yet.", field="output_name", advice=advice)])
    form = "values" if draft.is_form else "options"
    made = variants_of(draft.name, option, values)
    return [(one, {**body, form: {**body[form], option: one.value, "output_name": one.name}}) for one in made]


def check_all(service: Service, body: Mapping[str, Any], option: str, values: list[Any]) -> list[dict[str, Any]]:
    """What each variant would be called, and what is wrong with it."""
    found = []
    for variant, asked in bodies(body, option, values):
        checked = checks.check(service, asked)
        wrong = [one for one in checked.problems if one["level"] == "error"]
        found.append({"value": variant.value, "name": checked.saved_as or variant.name, "problems": wrong})
    return found


def submit_all(service: Service, body: Mapping[str, Any], option: str, values: list[Any]) -> list[dict[str, Any]]:
    """Queue all of them, or none: everything is checked before the first. Raises InputErrors."""
    wanted = bodies(body, option, values)
    errors = []
    for variant, asked in wanted:
        for one in checks.check(service, asked).problems:
            if one["level"] == "error":
                errors.append(InputError(one["message"], field=one["field"], where=variant.name, advice=one["advice"]))
    if errors:
        raise InputErrors(errors)
    queued = []
    for variant, asked in wanted:
        run = submitting.submit(service, asked)
        queued.append({"id": run.id, "name": run.name, "value": variant.value})
    return queued


TABLE: list[tuple[str, str, Callable[[Service, Request], Awaitable[Response]]]] = [("POST", "variants", _variants)]
