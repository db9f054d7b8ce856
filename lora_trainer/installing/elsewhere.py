"""`python -m lora_trainer COMMAND` in a Python that has none of the packages: they are where launch.py has put them."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence

from ..paths import ROOT_DIR
from .environment import Environment

_NEEDED = 1  # the exit code where nothing was done


def run_elsewhere(words: Sequence[str], environment: Environment | None = None) -> int:
    """Run the command `words` in the environment that launch.py made; without one, say how to get it. Returns the exit code."""
    environment = environment or Environment()
    inside = os.path.realpath(sys.prefix) == os.path.realpath(environment.folder)
    if inside or not environment.is_whole():
        sys.stderr.write(
            f"The packages of LoRA Trainer are not installed in this Python ({sys.executable}).\n"
            f"Run the same with launch.py, which installs them into an environment of its own:\n"
            f"  python {shlex.quote(str(ROOT_DIR / 'launch.py'))} {' '.join(words[:1]) or 'COMMAND'} ...\n"
        )
        return _NEEDED
    path = os.pathsep.join([str(ROOT_DIR), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [str(environment.python), "-m", "lora_trainer", *words]
    try:
        return subprocess.run(command, env={**os.environ, "PYTHONPATH": path}).returncode
    except KeyboardInterrupt:
        return 130
