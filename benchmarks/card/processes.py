"""A function called in a new process that has imported everything already, with a limit on its time."""

from __future__ import annotations

import multiprocessing
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Results = dict[str, Any]
LEAST_SECONDS = 5.0  # with less nothing is begun
NO_TIME: Results = {"error": "no time was left"}
_SERVER = "forkserver" in multiprocessing.get_all_start_methods()  # Windows has none: there each process imports anew
_PRELOAD = ["benchmarks.card.child", "diffusers.models.unets.unet_2d_condition", "lora_trainer.training.train"]


def call(function: Callable[..., Results], arguments: Mapping[str, Any], *, seconds: float, log: Path) -> Results:
    """Return `function(**arguments)`; {"error": ...} where it raises, dies or takes longer than `seconds` (details in `log`).

    The processes are forked from one that has imported the packages but never touched the card, so that each measurement costs
    no imports and still begins with an empty card.
    """
    if seconds < LEAST_SECONDS:
        return NO_TIME
    context = multiprocessing.get_context("forkserver" if _SERVER else "spawn")
    if _SERVER:
        context.set_forkserver_preload(_PRELOAD)  # type: ignore[union-attr]
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(function, dict(arguments), theirs, str(log)), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(seconds):
            return {"error": f"not ready within {seconds:.0f} s"}
        return dict(ours.recv())
    except EOFError:
        process.join()
        return {"error": f"the process ended with exit code {process.exitcode}"}
    finally:
        process.kill()
        process.join()


def _answer(function: Callable[..., Results], arguments: Results, pipe: Any, log: str) -> None:
    try:
        pipe.send(function(**arguments))
    except BaseException as error:
        with Path(log).open("a", encoding="utf-8") as file:
            traceback.print_exc(file=file)
        pipe.send({"error": f"{type(error).__name__}: {error}"[:300]})
        sys.exit(1)
