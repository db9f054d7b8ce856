"""A worker that trains nothing: `python -m lora_trainer worker FOLDER` of the fake package beside the tests.

What it does is in the run's request.json, key "script": a list of words; see `main`.
"""

import json
import os
import signal
import struct
import sys
import time
import types
import zlib
from pathlib import Path

from lora_trainer.paths import write_text_atomic
from lora_trainer.runs import events, resuming
from lora_trainer.runs.events import RunReporter
from lora_trainer.runs.progress import ProgressBook


def _png(side: int = 64) -> bytes:
    """A grey picture, made without Pillow."""
    rows = zlib.compress((b"\0" + b"\x80" * side) * side)
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = [b"IHDR" + header, b"IDAT" + rows, b"IEND"]
    parts = [struct.pack(">I", len(one) - 4) + one + struct.pack(">I", zlib.crc32(one)) for one in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


PICTURE = _png()
events._SECONDS_BETWEEN_LOOKS = 0.02  # nothing else is done between two looks


def wait_for(condition, seconds=200.0):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("waited too long")
        time.sleep(0.02)


def save(reporter, step, *, final, name=None):
    path = reporter.folder.output / f"{name or 'frog'}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)  # as paths.write_atomic does, when somebody deleted the folder
    path.write_bytes(f"weights of step {step}".encode())
    reporter.emit({"type": "saved", "path": str(path), "step": step, "epoch": 1, "final": final})
    return path


def main(folder: str) -> int:
    reporter = RunReporter(folder)
    folder = reporter.folder.path
    resumed = resuming.is_asked(reporter.folder)
    script = list(reporter.folder.request().get("script_resumed" if resumed else "script", []))
    total = 10
    begins = reporter.folder.request().get("begins") if resumed else None
    if begins == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if begins == "waits":
        wait_for((folder / "begin").exists)
    reporter.emit({"type": "started", "pid": os.getpid(), "device": "cpu", "total_steps": total, "epochs": 1})
    saves = 0
    step = 0
    if resumed:
        progress, _ = ProgressBook().look(reporter.folder.events)
        step = resuming.last_state(reporter.folder, progress)["step"]
        reporter.emit({"type": "resumed", "step": step, "epoch": 0})
    for word in script:
        if word == "step":
            step += 1
            told = {"step": step, "epoch": 1, "loss": 1.0 / step, "lr": {"unet": 1e-4}}
            reporter.emit({"type": "step", **told, "memory": reporter.folder.request().get("memory")})
        elif word == "save":
            save(reporter, step, final=False, name=f"frog-step{step:08d}")
        elif word == "forget":  # as save_last_n_steps has it removed
            next(iter(sorted(reporter.folder.output.glob("frog-step*.safetensors")))).unlink()
        elif word == "live":
            path = reporter.folder.output / "frog-live.safetensors"
            path.write_bytes(f"weights of step {step}".encode())
            reporter.emit({"type": "live", "path": str(path), "step": step})
            wait_for((folder / f"go-on-{step}").exists)
        elif word == "state":
            path = reporter.folder.output / f"step{step}-state"
            path.mkdir(parents=True)
            reporter.emit({"type": "state", "path": str(path), "step": step, "epoch": 0, "rolling": True})
        elif word == "parks":
            answered, shared = None, 0
            while not (folder / "go-on").exists() and not reporter.control().stop:
                asked = reporter.control()
                if (folder / "deaf").exists() and not (folder / "die").exists():
                    time.sleep(0.02)
                    continue
                if (folder / "die").exists():
                    os.kill(os.getpid(), signal.SIGKILL)
                if asked.is_shared and asked.share != shared:
                    shared = asked.share
                    told = {"share": shared, "memory": reporter.folder.request().get("memory")}
                    reporter.emit({"type": "shared", "step": step, **told})
                if asked.is_shared and (folder / "crowd").exists():
                    (folder / "crowd").unlink()
                    reporter.emit({"type": "crowded", "step": step, "share": shared})
                if (asked.park, asked.paused) != answered:
                    answered = (asked.park, asked.paused)
                    kind = "parked" if asked.is_off_the_card else "unparked"
                    reporter.emit({"type": kind, "step": step, "park": asked.park, "paused": asked.paused})
                time.sleep(0.02)
        elif word == "keeps":
            wait_for(lambda: reporter.control().park)
            message = "The training keeps the card: no room."
            reporter.emit({"type": "not_parked", "park": reporter.control().park, "message": message})
            wait_for((folder / "go-on").exists)
        elif word == "print":
            heard = sys.stdin.read() or "nothing to read"
            sys.stdout.write(f"key {os.environ.get('FAKE_KEY')}, {heard}, command {sys.argv[1]}\n")
        elif word == "talk":
            sys.stderr.write("the last thing it said\n")
            sys.stderr.flush()
        elif word == "nan":
            reporter.emit({"type": "step", "step": step, "loss": float("nan"), "lr": 1e-4})
            reporter.emit(
                {"type": "failed", "kind": "NotFiniteError", "message": "The loss became NaN.", "advice": "Lower it."}
            )
            return 1
        elif word == "sample":
            path = reporter.folder.samples / f"{step:06d}.png"
            path.write_bytes(PICTURE)
            reporter.emit({"type": "sample", "path": str(path), "step": step, "prompt": "a frog", "seed": 1})
        elif word == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif word == "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True:
                time.sleep(0.1)
        elif word == "wait-for-file":
            wait_for((reporter.folder.path / "go-on").exists)
        elif word == "obey":
            while not reporter.control().stop:
                if reporter.control().save > saves:
                    saves = reporter.control().save
                    save(reporter, step, final=False, name=f"saved-{saves}")
                time.sleep(0.02)
            path = save(reporter, step, final=True)
            reporter.emit({"type": "finished", "reason": "stopped", "path": str(path), "step": step})
            return 0
    path = save(reporter, step, final=True)
    reporter.emit({"type": "finished", "reason": "done", "path": str(path), "step": step})
    return 0


def serve(folder: Path) -> int:
    """A generating process: a prompt's words say what becomes of it."""
    say = lambda path, **status: write_text_atomic(path / "status.json", json.dumps(status))  # noqa: E731
    while not (folder / "quit").exists():
        for path in sorted((folder / "requests").glob("*.json")):
            request, result = json.loads(path.read_text()), folder / "results" / path.stem
            if "leave" in request["prompt"] and not (folder / "left").exists():
                (folder / "left").touch()
                return 0
            if (folder / "wait").exists():
                break
            if (folder / "crowded").exists() and (folder / "shared").exists():
                break
            (folder / "crowded").unlink(missing_ok=True)
            if "heavy" in request["prompt"] and (folder / "shared").exists():
                (folder / "crowded").touch()
                break
            say(result, state="running", done=1, total=2)
            if "die" in request["prompt"]:
                sys.stderr.write("out of something\n")
                os._exit(3)
            while "wait" in request["prompt"] and not (result / "stop").exists() and not (folder / "quit").exists():
                time.sleep(0.02)
            state = "stopped" if "wait" in request["prompt"] else "finished"
            names = [f"{number}.png" for number in range(int(request.get("batch_count", 1)))]
            for name in names:
                (result / name).write_bytes(PICTURE)
            images = [{"name": name, "seed": 1, "prompt": request["prompt"]} for name in names]
            say(result, state=state, done=2, total=2, images=images, peak_memory=2 << 30)
            path.unlink()
        (folder / "off").unlink(missing_ok=True)
        time.sleep(0.02)
    return 0


def stand_by() -> int:
    """The true process that waits (training.standby), which imports nothing and becomes the worker of this file. How it behaves
    is in the environment: `FAKE_STANDBY` is "short" (of main memory), "gets short", "dies" or "slow"."""
    from lora_trainer.training import standby

    way = os.environ.get("FAKE_STANDBY", "")
    ways = {"dies": lambda: sys.exit(3), "slow": lambda: time.sleep(300)}
    standby._bring = ways.get(way, lambda: sys.stdout.write("packages say something\n"))
    standby._is_room = lambda needed: way != "short" and not (way == "gets short" and needed == standby._LEFT_FREE)
    standby._LOOK_SECONDS = 0.05
    standby.worker.main = lambda argv: main(argv[0])
    measuring = types.ModuleType("lora_trainer.training.rehearsal.command")
    measuring.main = lambda argv: sys.stdout.write("measured\n") and 0
    room = types.ModuleType("lora_trainer.training.rehearsal")
    room.command = measuring
    sys.modules.update({"lora_trainer.training.rehearsal": room, measuring.__name__: measuring})
    return standby.main([])


if __name__ == "__main__":
    if sys.argv[-1] == "standby":
        sys.exit(stand_by())
    if sys.argv[-2] == "generate_server":
        sys.exit(serve(Path(sys.argv[-1])))
    sys.exit(main(sys.argv[-1]))
