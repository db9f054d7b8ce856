"""The options of the page standing alone. Standard library only: `ui --help` lists them before anything is installed."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..hosts.base import POLICIES

DEFAULT_PORT = 7861


def parser() -> argparse.ArgumentParser:
    """What `ui` takes."""
    made = argparse.ArgumentParser(prog="lora-trainer ui", description="Open the page in the browser.")
    made.add_argument("--port", type=_port, default=DEFAULT_PORT, help=f"port of the page (default: {DEFAULT_PORT})")
    made.add_argument(
        "--host", default="127.0.0.1", metavar="ADDRESS", help="address to listen on (default: this machine alone)"
    )
    made.add_argument("--listen", action="store_const", const="0.0.0.0", dest="host", help="let other machines use it too")
    made.add_argument("--auth", default="", metavar="USER:PASSWORD", help="ask for this name and password")
    made.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a further name that the page is opened under, for example behind a reverse proxy; may be given several times",
    )
    made.add_argument(
        "--allow-folder",
        action="append",
        default=[],
        type=Path,
        metavar="FOLDER",
        help="a folder that the page may look into besides those of the program; may be given several times (default: every "
        "folder, but none for a page that other machines can use without a password)",
    )
    made.add_argument("--data-dir", type=Path, metavar="FOLDER", help="folder of runs, models and LoRA files (default: user)")
    made.add_argument("--ckpt-dir", type=Path, metavar="FOLDER", help="a further folder of base models")
    made.add_argument("--lora-dir", type=Path, metavar="FOLDER", help="folder that finished LoRA files go to")
    made.add_argument(
        "--pictures",
        choices=POLICIES,
        default="",
        help="what becomes of pictures that are wanted during a training (default: as chosen on the Generate page): "
        "automatic: both use the card where its memory is enough for both, as measured, else they take turns; share: both use "
        "it; hand_over: they take turns; refuse",
    )
    made.add_argument(
        "--no-standby",
        action="store_true",
        help="keep no process ready for the next training while its form is filled in: it takes about 300 MB of main memory, "
        "and lets a training begin some seconds sooner",
    )
    made.add_argument("--no-browser", action="store_true", help="do not open the browser")
    return made


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; expected 1 to 65535")
    return int(text)
