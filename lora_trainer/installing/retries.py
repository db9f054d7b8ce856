"""A failed installation is remembered, so that starts without network are not held up by pip's waiting each time.

pip waits through five retries, twelve seconds in all, before it says that it is offline. After a failure the next starts
try again only when the package index answers within a second, or after a while that doubles with each failure.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from ..paths import ROOT_DIR, write_text_atomic
from . import requirements, worker_packages

NOW = "--now"
_FIRST_WAIT, _LONGEST_WAIT = 3600.0, 24 * 3600.0  # seconds
_PROXIES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


def install_at_start(
    say: Callable[[str], None],
    root: Path = ROOT_DIR,
    *,
    now: bool = False,
    is_online: Callable[[], bool] | None = None,
    clock: Callable[[], float] = time.time,
) -> None:
    """Install what is missing, unless it failed lately and still would; `now` tries in any case.

    Never raises for a failed installation: it is said, with what to do.
    """
    if all(worker_packages.is_complete(group, root) for group in worker_packages.GROUPS):
        return
    memory = root / worker_packages.GROUPS["worker"] / "failed.json"
    failures, last = _remembered(memory)
    again = last + min(_FIRST_WAIT * 2 ** max(failures - 1, 0), _LONGEST_WAIT)
    if failures and not now and last <= clock() < again and not (is_online or index_answers)():
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(again))
        say(f"its packages are still missing, and the package index does not answer; the next full try is at {when}.")
        say(f"To try at once: {by_hand()}")
        return
    try:
        worker_packages.install(say, root)
    except (worker_packages.PackagesError, OSError) as error:
        _remember(memory, failures + 1, clock())
        say(f"its packages are not installed yet: {error}")
        say("The Web UI works as before. The LoRA Trainer tab says how to install them; a later start tries again.")
    else:
        memory.unlink(missing_ok=True)


def by_hand() -> str:
    """The command line that installs what is missing at once, for any folder it is called from."""
    return f'"{sys.executable}" "{ROOT_DIR / "install.py"}" {NOW}'


def index_answers() -> bool:
    """Whether the package index can be reached within a second. Behind a proxy nobody knows, and it counts as not."""
    if any(os.environ.get(name) for name in _PROXIES):
        return False
    address = urlsplit(os.environ.get("PIP_INDEX_URL") or "https://pypi.org/simple")
    try:
        port = address.port or (80 if address.scheme == "http" else 443)
        with socket.create_connection((address.hostname or "pypi.org", port), timeout=1):
            return True
    except (OSError, ValueError):
        return False


def _mark() -> str:
    """Other pins are tried at once."""
    return requirements.fingerprint([line for group in worker_packages.GROUPS for line in requirements.read(group)])


def _remembered(memory: Path) -> tuple[int, float]:
    """How often these pins could not be installed, and when the last time was (seconds since 1970)."""
    try:
        found = json.loads(memory.read_text(encoding="utf-8"))
        return (int(found["failures"]), float(found["time"])) if found["pins"] == _mark() else (0, 0.0)
    except (OSError, ValueError, KeyError, TypeError):
        return 0, 0.0


def _remember(memory: Path, failures: int, when: float) -> None:
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomic(memory, json.dumps({"pins": _mark(), "failures": failures, "time": when}))
    except OSError:
        return  # a folder that cannot be written is the reason of the failure, and is said
