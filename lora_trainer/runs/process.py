"""Processes known by id and start: an id alone is given to another process sooner or later.

`start_mark(pid)` is a text that two processes with the same id never share. Standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()[:8]
    except OSError:
        return ""


def _mark_from_proc(pid: int) -> str | None:
    try:
        # The name stands in brackets and may hold spaces and brackets itself: count the fields from the last one.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    state, start_ticks = fields[0], fields[19]
    return None if state in "ZX" else f"{_boot_id()}:{start_ticks}"


def _mark_from_ps(pid: int) -> str | None:
    answer = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    state, _, started = answer.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else started.strip()


def _mark_on_windows(pid: int) -> str | None:
    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined,unused-ignore]
    kernel.OpenProcess.restype = ctypes.c_void_p
    handle = kernel.OpenProcess(0x1000, False, pid)  # PROCESS_QUERY_LIMITED_INFORMATION
    if not handle:
        return None
    try:
        times = [ctypes.c_ulonglong() for _ in range(4)]  # created, ended, kernel, user
        exit_code = ctypes.c_ulong()
        process = ctypes.c_void_p(handle)
        if not kernel.GetProcessTimes(process, *(ctypes.byref(time) for time in times)):
            return None
        kernel.GetExitCodeProcess(process, ctypes.byref(exit_code))
        return str(times[0].value) if exit_code.value == 259 else None  # STILL_ACTIVE
    finally:
        kernel.CloseHandle(ctypes.c_void_p(handle))


def start_mark(pid: int) -> str | None:
    """A text for "this very process": None when no process of that id runs (a zombie does not run)."""
    if pid <= 0:
        return None
    if sys.platform == "win32":
        return _mark_on_windows(pid)
    if Path("/proc/self/stat").exists():
        return _mark_from_proc(pid)
    return _mark_from_ps(pid)


def is_alive(pid: int, mark: str) -> bool:
    """Whether the process that had `mark` when it was noted still runs."""
    return start_mark(pid) == mark


def end_leftovers(pid: int, group: int) -> None:
    """Force what the ended process `pid` left behind in its own group to end (data loaders of a killed worker)."""
    if os.name == "posix" and group == pid > 1 and start_mark(pid) is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


def end_group(pid: int, group: int, mark: str, *, hard: bool) -> None:
    """Ask (SIGTERM) or force (SIGKILL, `hard`) the process and what it started to end; nothing when it has gone.

    `group` is its POSIX process group. On Windows there is no asking: both end it at once, with its children.
    """
    if start_mark(pid) != mark:
        return
    if sys.platform == "win32":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(pid)], capture_output=True, check=False)
        return
    kind = signal.SIGKILL if hard else signal.SIGTERM
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if group > 1 and group != os.getpgrp():
            os.killpg(group, kind)
        else:
            os.kill(pid, kind)
