"""The Web UI runs this at every start: put the worker's packages into the extension's own folder when they are missing.

It changes no package of the Web UI, and a failure does not keep the Web UI from starting: the tab says what is missing.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lora_trainer.installing import worker_packages  # noqa: E402


def say(line):
    sys.stdout.write(f"LoRA Trainer: {line}\n")
    sys.stdout.flush()


try:
    worker_packages.install(say)
except (worker_packages.PackagesError, OSError) as error:
    say(f"its packages are not installed yet: {error}")
    say("The Web UI works as before. The LoRA Trainer tab says how to install them; the next start tries again.")
