"""A benchmark as a command: it measures in a folder of its own, which goes, and prints what came of it."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


def measured(parser: argparse.ArgumentParser, measure: Callable[[argparse.Namespace, Path], Any]) -> None:
    """Print `measure(arguments, folder)` as JSON."""
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sys.stdout.write(json.dumps(measure(arguments, Path(folder)), indent=1) + "\n")
