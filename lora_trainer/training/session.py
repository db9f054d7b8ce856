"""A training whose end, good or bad, is told to a reporter; what the worker process runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError, InputErrors, LoraTrainerError
from ..importing import undisturbed
from ..log import logger
from ..options import TrainOptions
from ..runs.control import Control
from ..runs.events import Reporter
from ..runs.preparing import FIRST
from . import early

EXIT_OK, EXIT_FAILED, EXIT_INPUT, EXIT_INTERRUPTED = 0, 1, 2, 130


class SafeReporter:
    """Passes events on and remembers the last step. An event that cannot be written (disk full) costs no training."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._lost = 0
        self.step = 0

    def emit(self, event: Mapping[str, Any]) -> None:
        """Pass `event` on."""
        if event.get("type") == "step":
            self.step = int(event.get("step", 0))
        try:
            self._reporter.emit(event)
        except OSError as error:
            self._lost += 1
            if self._lost == 1:
                logger.warning("What happens cannot be written down any more: %s", error)

    def control(self) -> Control:
        """What the user asks for."""
        return self._reporter.control()


def run(
    read_options: Callable[[], TrainOptions], reporter: Reporter, *, losses_to: Path | None = None, of_run: bool = False
) -> int:
    """Read the options, train, and return the exit code; a failure is told as a `failed` event, never raised.

    `losses_to` is where the loss of each picture is written, `of_run` see `train`.
    """
    safe = SafeReporter(reporter)
    try:
        safe.emit({"type": "phase", "name": FIRST, "done": 0, "total": 0})
        options = read_options()
        early.read_file(options.model.pretrained_model_name_or_path)
        with undisturbed():
            from .train import train  # brings torch: seconds

        train(options, reporter=safe, losses_to=losses_to, of_run=of_run)
    except LoraTrainerError as error:
        logger.error("%s", error)
        safe.emit(failed(error, safe.step))
        return EXIT_INPUT if isinstance(error, (InputError, InputErrors)) else EXIT_FAILED
    except KeyboardInterrupt:
        safe.emit(
            {
                "type": "failed",
                "kind": "Interrupted",
                "message": "The training was interrupted.",
                "advice": "",
                "step": safe.step,
            }
        )
        return EXIT_INTERRUPTED
    except Exception as error:
        logger.exception("The training ended unexpectedly.")
        safe.emit(failed(error, safe.step))
        return EXIT_FAILED
    return EXIT_OK


def failed(error: Exception, step: int) -> dict[str, Any]:
    """Return the `failed` event for `error`; one that is not ours is a mistake of the program."""
    event: dict[str, Any] = {"type": "failed", "kind": type(error).__name__, "step": step}
    if isinstance(error, InputErrors):
        fields = [{"field": one.field, "message": str(one)} for one in error.errors]
        return {**event, "message": str(error), "advice": "", "errors": fields}
    if isinstance(error, LoraTrainerError):
        message = str(error).removesuffix(error.advice).strip()
        return {**event, "message": message, "advice": error.advice}
    return {
        **event,
        "message": f"{type(error).__name__}: {error}",
        "advice": "This should not happen. Please report it with the end of the log.",
    }
