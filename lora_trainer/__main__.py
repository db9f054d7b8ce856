"""`python -m lora_trainer COMMAND ...`"""

from __future__ import annotations

import importlib.util
import sys

from . import repeatable


def main() -> int:
    if importlib.util.find_spec("toml") is None:  # what every command needs: this Python has none of the packages
        from .installing.elsewhere import run_elsewhere

        return run_elsewhere(sys.argv[1:])
    from . import optional_packages
    from .commands import run

    repeatable.set_up()
    if sys.argv[1:2] != ["ui"]:  # the page's own process needs gradio and what gradio needs
        optional_packages.hide()
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
