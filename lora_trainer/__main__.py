"""`python -m lora_trainer COMMAND ...`"""

from __future__ import annotations

import sys


def main() -> int:
    from .commands import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
