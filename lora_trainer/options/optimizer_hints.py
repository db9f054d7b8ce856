"""What is allowed, but not what the chosen optimizer was made for: said by the page, and by a training at its start."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .optimizer import OptimizerOptions
from .optimizer_kinds import ADAFACTOR, kind_of, makes_its_rate

_USUAL_SCHEDULES = ("constant", "constant_with_warmup")
_LOW = 0.1  # rates up to this are for optimizers that do not find theirs


def optimizer_hints(options: OptimizerOptions) -> Iterator[tuple[str, str, str]]:
    """Yield (option, message, advice)."""
    kind = kind_of(options.optimizer_type)
    schedule = options.lr_scheduler_type or options.lr_scheduler
    if kind == ADAFACTOR:
        yield from _adafactor(options)
    for name, rate in _rates(options) if kind.finds_its_rate else ():
        if 0 < rate <= _LOW:
            message = f"{kind.name} finds the learning rate by itself; {name} {rate:g} makes it tiny."
            yield name, message, "1 is usual with this optimizer."
    if kind.averages and schedule not in _USUAL_SCHEDULES:
        yield "lr_scheduler", f"{kind.name} needs no schedule, but lr_scheduler is {schedule}.", "constant is usual with it."
    if options.fused_backward_pass and options.max_grad_norm:
        message = "With fused_backward_pass max_grad_norm limits the gradient of each tensor, not that of all together."
        yield "max_grad_norm", message, "max_grad_norm 0 trains the same as without fused_backward_pass."


def _rates(options: OptimizerOptions) -> Iterator[tuple[str, float]]:
    """The rates that count: learning_rate does for each part that has none of its own."""
    texts = options.text_encoder_lr or ()
    if options.unet_lr is None or not texts:
        yield "learning_rate", options.learning_rate
    if options.unet_lr is not None:
        yield "unet_lr", options.unet_lr
    yield from [("text_encoder_lr", min(texts))] if texts else []


def _adafactor(options: OptimizerOptions) -> Iterator[tuple[str, str, str]]:
    """What sd-scripts documents of Adafactor."""
    if _given(options, "relative_step", "False") and _given(options, "warmup_init", "True"):
        yield "optimizer_args", "warmup_init=True needs relative_step=True, which is used.", ""
    if makes_its_rate(options.optimizer_type, options.optimizer_args):
        rates = [name for name in ("unet_lr", "text_encoder_lr") if getattr(options, name)]
        message = "Adafactor makes its learning rate by itself (relative_step=True): {} no effect."
        named = ", ".join(["learning_rate", *rates])
        yield "learning_rate", message.format(f"{named} {'have' if rates else 'has'}"), "Give relative_step=False to set it."
        if options.lr_scheduler_type or not re.match(r"adafactor|constant$", options.lr_scheduler) or options.lr_warmup_steps:
            message = "Adafactor has its own schedule (relative_step=True): lr_scheduler and lr_warmup_steps have no effect."
            yield "lr_scheduler", message, "Leave them out, or give relative_step=False."
        return
    if options.max_grad_norm:
        message = f"Adafactor limits its changes by itself; max_grad_norm {options.max_grad_norm:g} limits gradients as well."
        yield "max_grad_norm", message, "max_grad_norm 0 is recommended with relative_step=False."
    if options.lr_scheduler_type or options.lr_scheduler != "constant_with_warmup":
        message = f"lr_scheduler is {options.lr_scheduler_type or options.lr_scheduler}."
        yield "lr_scheduler", message, "constant_with_warmup is recommended for Adafactor with relative_step=False."
    if any(_name(text) == "clip_threshold" and text.partition("=")[2].strip() not in ("1", "1.0") for text in _args(options)):
        yield "optimizer_args", "clip_threshold is not 1.", "1 is recommended with relative_step=False."


def _args(options: OptimizerOptions) -> tuple[str, ...]:
    return options.optimizer_args or ()


def _name(text: str) -> str:
    return text.partition("=")[0].strip()


def _given(options: OptimizerOptions, name: str, value: str) -> bool:
    return any(_name(text) == name and text.partition("=")[2].strip() == value for text in _args(options))
