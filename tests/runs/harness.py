"""A store, a fake host and a supervisor whose workers are the fake worker of tests/runs/fake_worker.py."""

import json
import stat
import sys
import time
from pathlib import Path

from lora_trainer.hosts.fake import FakeHost
from lora_trainer.runs import folder as run_folder
from lora_trainer.runs.store import Store
from lora_trainer.runs.supervisor import Supervisor

FAKE_WORKER = Path(__file__).with_name("fake_worker.py")


def fake_python(folder: Path) -> str:
    """A program that takes `-m lora_trainer worker FOLDER` and runs the fake worker instead."""
    path = folder / "python"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{FAKE_WORKER}" "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def measuring(folder: Path, report: dict) -> str:
    """A program that takes `-m lora_trainer rehearse FOLDER` and measures nothing: it waits for the file `go` in FOLDER, then
    writes `report` there."""
    folder.mkdir(parents=True, exist_ok=True)
    script, path = folder / "measures.py", folder / "measuring"
    script.write_text(
        "import pathlib, sys, time\n"
        "folder = pathlib.Path(sys.argv[-1])\n"
        "print('2026-01-01 INFO 3 / 6', flush=True)\n"
        "end = time.monotonic() + 200\n"
        "while not (folder / 'go').exists() and time.monotonic() < end:\n"
        "    time.sleep(0.02)\n"
        f"(folder / 'report.json').write_text({json.dumps(json.dumps(report))})\n"
    )
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def make(tmp_path: Path, **options) -> Supervisor:
    host = FakeHost(tmp_path)
    host.python = fake_python(tmp_path / "bin")
    store = Store(host.paths().store)
    return Supervisor(store, host, host.paths().runs, poll=0.05, **options)


def submit(supervisor: Supervisor, *script: str, run_id: str = "run-1", name: str = "frog", **request):
    target = supervisor.host.paths().lora_dir / f"{name}.safetensors"
    asked = {"name": name, "target": str(target), "activation": "sls frog", "script": list(script), **request}

    def fill(path):
        return run_folder.create(path, config="a = 1\n", dataset="", prompts="", request=asked)

    return supervisor.submit(run_id, name, fill)


def until(supervisor: Supervisor, condition, seconds: float = 200.0, *, tick: bool = True) -> None:
    """Look again and again until `condition()`; the supervisor too, unless its host is away."""
    end = time.monotonic() + seconds
    while True:
        if tick:
            supervisor.tick()
        if condition():
            return
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def run_until(supervisor: Supervisor, *states: str, run_id: str = "run-1"):
    until(supervisor, lambda: supervisor.store.get(run_id).state in states)
    return supervisor.store.get(run_id)
