"""The Web UI runs this at every start: put the worker's packages into the extension's own folder when they are missing.

It changes no package of the Web UI, and a failure does not keep the Web UI from starting: the tab says what is missing.
By hand, `install.py --now` tries also when it failed a moment ago.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lora_trainer.installing import retries  # noqa: E402


def say(line):
    sys.stdout.write(f"LoRA Trainer: {line}\n")
    sys.stdout.flush()


retries.install_at_start(say, now=retries.NOW in sys.argv[1:])
