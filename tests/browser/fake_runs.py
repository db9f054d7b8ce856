"""The runs of the fake API: a test puts them in, and lets them go on."""

from __future__ import annotations

import copy
import math
import random
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lora_trainer.api.changes import changed_parts
from lora_trainer.api.trial import picture

from .frogs import frog, png

CARD = {"is_free": False, "is_asked": False, "paused": False, "seconds_left": None, "refusal": ""}
PARTS = ("samples", "files", "warnings")  # of a run, which no list holds


class FakeRuns:
    """Runs with their curves, pictures and files."""

    def add_run(
        self, run_id: str, *, state: str = "running", step: int = 0, total: int = 1500, name: str = "sls_frog", **changes: Any
    ) -> dict[str, Any]:
        """Put a run into the list, with a loss curve up to `step`."""
        self.events[run_id] = []
        run = {
            "id": run_id,
            "name": name,
            "state": state,
            "active": state in ("running", "stopping"),
            "created": time.time() - 600,
            "started": time.time() - 590,
            "ended": None,
            "queue_position": None,
            "message": "",
            "advice": "",
            "phase": None if step else {"name": "training", "done": 0, "total": 0},
            "step": step,
            "total_steps": total,
            "epoch": 1 + step // 40,
            "epochs": math.ceil(total / 40),
            "steps_per_epoch": 40,
            "loss": 0.11,
            "smoothed_loss": 0.1083,
            "lr": 8.7e-5,
            "lrs": {"unet": 8.7e-5, "text_encoder": 4.3e-5},
            "samples_per_second": 5.12,
            "seconds_per_step": 0.39,
            "seconds_left": (total - step) * 0.39,
            "peak_memory": int(6.4 * 2**30),
            "device": "NVIDIA GeForce RTX 3060",
            "last_sign_of_life": time.time(),
            "samples": [],
            "files": [],
            "warnings": [],
            "lora": None,
            "resumable": None,
            "card": CARD if state == "running" else None,
            **changes,
        }
        self.runs = {run_id: run, **self.runs}
        return run

    def waiting(self) -> list[dict[str, Any]]:
        """The queued runs, the next one first."""
        return sorted((run for run in self.runs.values() if run["state"] == "queued"), key=lambda run: run["queue_position"])

    def advance(self, run_id: str, to: int) -> None:
        """Let a run take steps; the events are what its worker would write."""
        run = self.runs[run_id]
        noise = random.Random(to)
        for step in range(run["step"] + 1, to + 1):
            lr = 1e-4 * 0.5 * (1 + math.cos(math.pi * step / run["total_steps"]))
            loss = 0.09 + 0.07 * math.exp(-step / 260) + abs(noise.gauss(0, 0.035))
            self.events[run_id].append({"type": "step", "time": time.time(), "step": step, "epoch": 1, "loss": loss, "lr": lr})
        run.update(
            step=to,
            phase=None,
            seconds_left=(run["total_steps"] - to) * 0.39,
        )

    def add_sample(self, run_id: str, step: int, count: int = 2) -> None:
        for index in range(count):
            name = f"frog_{step:06}_{index}.png"
            self.runs[run_id]["samples"].append(
                {
                    "name": name,
                    "url": f"runs/{run_id}/file/{name}",
                    "thumb": f"runs/{run_id}/thumb/{name}",
                    "step": step,
                    "prompt": f"photo of sls frog {('on a leaf', 'in the rain', 'at night')[index % 3]}",
                    "seed": 42 + index,
                }
            )

    def add_file(self, run_id: str, *, final: bool = False) -> None:
        """Save what was learned so far, as its worker would."""
        run = self.runs[run_id]
        name = f"{run['name']}.safetensors" if final else f"{run['name']}-step{run['step']:08d}.safetensors"
        about = {"step": run["step"], "epoch": 1, "final": final}
        run["files"] = [*run["files"], {"name": name, "url": f"runs/{run_id}/file/{name}", "bytes": 19 << 20, **about}]
        self.events[run_id].append({"type": "saved", "time": time.time(), "path": f"/runs/1/output/{name}", **about})

    def finish(self, run_id: str, state: str = "finished") -> None:
        run = self.runs[run_id]
        self.add_file(run_id, final=True)
        self.used = {"name": run["name"], "file": f"{run['name']}.safetensors", "there": True, "chosen": False}
        is_model = run.get("trains") == "model"
        lora = {
            "name": run["name"],
            "path": f"/loras/{run['name']}.safetensors",
            "prompt": "sls frog" if is_model else f"sls frog <lora:{run['name']}:0.8>",
            "activation": "sls frog",
            "is_model": is_model,
        }
        run.update(state=state, active=False, ended=time.time(), seconds_left=None, phase=None, lora=lora)

    async def list_runs(self, request: Request) -> Any:
        return self.news(request)

    def news(self, request: Request) -> dict[str, Any]:
        """The runs that have changed since the page asked last."""
        shown = {
            run["id"]: {**run, "picture": run["samples"][-1]["thumb"] if run["samples"] else ""} for run in self.runs.values()
        }
        for run in shown.values():
            for part in PARTS:
                run.pop(part)
        changed, token = self.changes.news(copy.deepcopy(shown), request.query_params.get("since", ""))
        return {"runs": [shown[run_id] for run_id in changed], "order": list(shown), "token": token}

    async def run(self, request: Request) -> Any:
        run = self.runs.get(request.path_params["id"])
        if run is None:
            return JSONResponse({"error": {"message": "There is no such run.", "advice": "", "field": ""}}, 404)
        events = self.events[run["id"]]
        steps = [event for event in events if event["type"] == "step"]
        log = "step 1 loss 0.14\nstep 2 loss 0.13"
        if "after" in request.query_params:
            after = int(request.query_params["after"])
            whole = {name: run[name] for name in PARTS} | {"lora": run["lora"], "log": log}
            parts, have = changed_parts(whole, request.query_params.get("have", ""))
            log = parts.pop("log", None)
            rest = {key: value for key, value in run.items() if key not in whole}
            seen = {"events": events[after:], "offset": len(events), "more": False, "log": log, "have": have}
            return {"run": {**rest, **parts}, **seen}
        curve = {
            "steps": [event["step"] for event in steps],
            "loss": [event["loss"] for event in steps],
            "smoothed": [event["loss"] for event in steps],
            "lr": [event["lr"] for event in steps],
            "validation": {
                name: [event[key] for event in events if event["type"] == "validation"]
                for name, key in (("steps", "step"), ("loss", "loss"))
            },
        }
        texts = {
            "config": run.get("config", 'output_name = "sls_frog"\n'),
            "dataset": "[[datasets]]\n",
            "prompts": run.get("prompts", "photo of sls frog\n"),
            "command": "python -m lora_trainer train_network --config_file config.toml",
        }
        values = run.get("values") or {
            "image_dir": "/uploads/up1",
            "identifier": "sls",
            "class_name": "frog",
            "output_name": "sls_frog",
            "network_dim": 24,
        }
        return {
            "run": {**run, "curve": curve, "log": log, "values": values, "folder": "/runs/1", **texts},
            "offset": len(events),
        }

    async def start(self, request: Request) -> Any:
        values = (await request.json())["values"]
        self.add_run("r1", name=values["output_name"])
        return JSONResponse({"id": "r1", "name": values["output_name"]}, 201)

    async def start_trial(self, request: Request) -> Any:
        self.trial = False
        self.add_run("r1", name="sks_heart")
        return JSONResponse({"id": "r1", "name": "sks_heart"}, 201)

    async def trial_picture(self, request: Request) -> Any:
        return Response(picture(), media_type="image/png")

    async def differences(self, request: Request) -> Any:
        self.further.append(request.query_params.get("steps"))
        replaces = self.used if self.used["chosen"] else None
        return {"state": self.runs[request.path_params["id"]]["resumable"], "problems": self.changed, "replaces": replaces}

    async def in_use(self, request: Request) -> Any:
        return {"used": self.used}

    async def list_grids(self, request: Request) -> Any:
        return {"grids": self.grids}

    async def act(self, request: Request) -> Any:
        run = self.runs[request.path_params["id"]]
        action = request.path_params["action"]
        if action == "stop":
            run.update(state="stopping")
        if action == "pause":
            paused = (await request.json())["paused"]
            run["card"] = {**CARD, "is_free": paused, "is_asked": paused, "paused": paused}
        if action == "resume":
            step = run["resumable"]["step"]
            run.update(state="running", active=True, ended=None, message="", step=step, resumable=None, card=CARD)
        if action == "delete":
            del self.runs[run["id"]]
        if action == "use" and (asked := await request.json()).get("as_result"):
            self.used = {"name": run["name"], "file": asked["file"], "there": True, "chosen": True}
        if action == "move":
            waiting = [one for one in self.waiting() if one is not run]
            waiting.insert((await request.json())["position"] - 1, run)
            for position, one in enumerate(waiting, 1):
                one["queue_position"] = position
        return {"run": run, "lora": run["lora"] or {"name": run["name"]}}

    async def picture(self, request: Request) -> Any:
        name = request.path_params["name"]
        parts = [int(part) for part in name.removesuffix(".png").split("_") if part.isdigit()]
        step, index = [*parts, 0, 0][:2]
        return Response(png(frog(7 + index, 256, 256, detail=min(1.0, step / 900))), media_type="image/png")
