"""An API with canned answers in the shapes of docs/api.md, for tests of the page alone. No torch, no store, no worker.

Uploads and checks follow simple rules; runs and pictures are what a test puts into `FakeApi`.
"""

from __future__ import annotations

import copy
import json
import math
import random
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lora_trainer.api.changes import Changes, changed_parts
from lora_trainer.api.trial import picture
from lora_trainer.api.upload_names import clean_name
from lora_trainer.modelfile import TITLES
from lora_trainer.options.network_findings import block_findings, network_args_problems
from lora_trainer.options.tool_page import page_tools
from lora_trainer.ui.assets import assets
from lora_trainer.ui.form import specification

from .frogs import frog, png

IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
PREFIX = "/lora-trainer/api"
CARD = {"is_free": False, "is_asked": False, "paused": False, "seconds_left": None, "refusal": ""}
PARTS = ("samples", "files", "warnings")  # of a run, which no list holds


class FakeApi:
    """The state of a host; a test reads and changes its attributes while the page is open."""

    def __init__(self, host: str = "standalone") -> None:
        self.host = host
        self.problems: list[dict[str, Any]] = []
        self.checkpoints = [
            {"title": "v1-5-pruned-emaonly.safetensors", "path": "/models/v1-5-pruned-emaonly.safetensors", "is_current": True},
            {"title": "anime/counterfeit.safetensors", "path": "/models/anime/counterfeit.safetensors", "is_current": False},
        ]
        self.files: dict[str, bytes] = {}
        self.captions: dict[str, str] = {}
        self.shown = 500  # images of a folder that are told one by one
        self.runs: dict[str, dict[str, Any]] = {}
        self.changes = Changes()
        self.events: dict[str, list[dict[str, Any]]] = {}
        self.loras: list[dict[str, Any]] = []
        self.posted: list[tuple[str, Any]] = []
        self.generated: dict[str, Any] | None = None
        self.lending = ""  # what is said while pictures wait for a training
        self.trial = False
        self.found: list[dict[str, Any]] = []  # problems that a check finds besides its own
        self.family = "sd1"  # of the base model; "" where the host cannot tell
        self.job: dict[str, Any] = {}
        self.package: dict[str, Any] | None = None  # that the chosen optimizer lacks
        self.fetching: dict[str, Any] = {}
        self.is_gone = False
        self.changed: list[dict[str, Any]] = []  # what is another than when a run's state was saved
        self.used: dict[str, Any] = {"name": None, "file": None, "there": False, "chosen": False}  # of the run's files
        self.grids: list[dict[str, Any]] = []
        self.further: list[str | None] = []  # by how many steps, of what was asked about that
        self.page = assets().version  # of the host's page files
        self.slow_start = 0  # so many requests are answered with 404, as gradio does before the routes are there

    def routes(self) -> list[Route]:
        """All routes, to be added to a starlette or FastAPI application."""
        gets = {
            "state": self.state,
            "form": self.form,
            "runs": self.list_runs,
            "runs/{id}": self.run,
            "runs/{id}/resume": self.differences,
            "runs/{id}/use": self.in_use,
            "runs/{id}/grids": self.list_grids,
            "grids/{id}/file/{name}": self.picture,
            "images": self.images,
            "runs/{id}/file/{name}": self.picture,
            "runs/{id}/thumb/{name}": self.picture,
            "images/thumb": self.thumb,
            "uploads/{id}": self.images,
            "loras": self.list_loras,
            "trial/picture": self.trial_picture,
            "generate/{id}": self.generation,
            "generate/{id}/file/{name}": self.picture,
            "tools": self.tools,
            "tools/{id}": self.tool_job,
            "packages": self.packages,
            "packages/{id}": self.package_job,
        }
        posts = {
            "check": self.check,
            "runs": self.start,
            "trial": self.start_trial,
            "runs/{id}/{action}": self.act,
            "uploads": self.upload,
            "uploads/{id}/delete": self.remove,
            "uploads/{id}/caption": self.set_caption,
            "generate": self.generate,
            "generate/{id}/stop": self.generation,
            "tools": self.run_tool,
            "packages": self.fetch_package,
            "packages/{id}/stop": self.stop_package,
        }
        return [
            *(Route(f"{PREFIX}/{path}", self.guarded(action), methods=["GET"]) for path, action in gets.items()),
            *(Route(f"{PREFIX}/{path}", self.guarded(action), methods=["POST"]) for path, action in posts.items()),
        ]

    def guarded(self, action):
        async def route(request: Request) -> Response:
            if self.is_gone:
                return Response("bad gateway", 502)
            if self.slow_start > 0:
                self.slow_start -= 1
                return Response("Not Found", 404, media_type="text/plain")
            if request.method == "POST" and "multipart" not in request.headers.get("content-type", ""):
                text = await request.body()
                self.posted.append((request.url.path.removeprefix(PREFIX + "/"), json.loads(text) if text else {}))
            answer = await action(request)
            return answer if isinstance(answer, Response) else JSONResponse(answer)

        return route

    async def state(self, request: Request) -> Any:
        active = next((run["id"] for run in self.runs.values() if run["active"]), None)
        return {
            "version": "0.1.0",
            "page": self.page,
            "host": self.host,
            "problems": self.problems,
            "ready": not self.problems,
            "read_only": "",
            "user_dir": "/user",
            "lora_dir": "/loras",
            "active": active,
            **self.news(request),
            "trial": self.trial,
            "generating": None,
            "time": time.time(),
        }

    async def form(self, request: Request) -> Any:
        return {
            "checkpoints": self.checkpoints,
            "vaes": [],
            "loras": [],
            "lora_dir": "/loras",
            "host": self.host,
            "uploads": {"images": list(IMAGES), "captions": [".txt", ".caption"]},
            "spec": specification(cuda=True),
        }

    async def upload(self, request: Request) -> Any:
        assert request.headers.get("x-lora-trainer") == "1", "a form on a foreign page could do this"
        form = await request.form()
        saved, refused = [], []
        for part in form.getlist("files"):
            data, name = await part.read(), clean_name(part.filename)
            if data:
                self.files[name] = data
                saved.append(name)
            else:
                refused.append({"name": part.filename, "message": "the file is empty"})
        for name in saved:
            if name.endswith((".txt", ".caption")):
                self.captions[name.rsplit(".", 1)[0]] = self.files.pop(name).decode()
        return {
            "id": "up1",
            "folder": "/uploads/up1",
            "saved": saved,
            "refused": refused,
            "noted": [],
            "images": len(self.files),
            "captions": len(self.captions),
            "without_caption": [],
        }

    def caption_of(self, name: str) -> str | None:
        return self.captions.get(name.rsplit(".", 1)[0])

    async def images(self, request: Request) -> Any:
        folder = request.query_params.get("folder", "/uploads/up1")
        if folder != "/uploads/up1":
            return JSONResponse(
                {"error": {"message": f"The folder {folder} does not exist.", "advice": "", "field": "image_dir"}}, 404
            )
        shown = [
            {
                "name": name,
                "thumb": f"images/thumb?folder=up1&name={name}",
                "width": 512,
                "height": 512,
                "caption": self.caption_of(name),
                "problem": "",
            }
            for name in sorted(self.files)
        ]
        return {
            "id": "up1",
            "folder": "/uploads/up1",
            "images": shown[: self.shown],
            "more": max(0, len(shown) - self.shown),
            "unused": [],
            "subfolders": [],
        }

    async def thumb(self, request: Request) -> Any:
        return Response(self.files[request.query_params["name"]], media_type="image/png")

    async def remove(self, request: Request) -> Any:
        name = (await request.json()).get("name")
        if name:
            self.files.pop(name)
        else:
            self.files.clear()
            self.captions.clear()
        return {"id": "up1", "folder": "/uploads/up1"} if name else {}

    async def set_caption(self, request: Request) -> Any:
        body = await request.json()
        self.captions[body["name"].rsplit(".", 1)[0]] = body["caption"]
        return {"id": "up1", "folder": "/uploads/up1"}

    async def check(self, request: Request) -> Any:
        values = (await request.json())["values"]
        problems = [*self.found]

        def wrong(field: str, message: str, advice: str = "", level: str = "error") -> None:
            problems.append({"field": field, "level": level, "message": message, "advice": advice, "where": ""})

        folder = values.get("image_dir")
        if not folder:
            wrong("image_dir", "There are no images yet.", "Choose a folder, or drop images here.")
        elif folder != "/uploads/up1":
            wrong("image_dir", f"The folder {folder} does not exist.", "Check the path.")
        if not values.get("output_name"):
            wrong("output_name", "The name is missing.")
        elif "/" in values["output_name"]:
            wrong(
                "output_name",
                f"the name {values['output_name']!r} contains a character that a file name cannot have.",
                "Use letters, digits, spaces, '-' and '_'.",
            )
        if str(values.get("resolution", "512")) not in ("512", "640", "768", "1024", "64"):
            wrong("resolution", f"the resolution {values['resolution']} is not divisible by 64.", "Try 512.")
        module, args = values.get("network_module", "networks.lora"), values.get("network_args")
        errors, notes = block_findings(module, args, self.family)
        for error in [*network_args_problems(module, args, values.get("network_dim", 16)), *errors]:
            wrong(error.field, error.message, error.advice)
        for note in notes:
            wrong("network_args", note, level="warning")
        missing = [name for name in self.files if self.caption_of(name) is None]
        if missing and not problems:
            wrong(
                "image_dir",
                f"{len(missing)} of {len(self.files)} images have no caption; identifier and class are used for them.",
                level="warning",
            )
        plan = None
        if folder == "/uploads/up1":
            repeats, batch, total = (
                values.get("num_repeats", 10),
                values.get("train_batch_size", 1),
                values.get("max_train_steps", 1500),
            )
            per_epoch = max(1, math.ceil(len(self.files) * repeats / batch))
            plan = {
                "images": len(self.files),
                "reg_images": 0,
                "steps_per_epoch": per_epoch,
                "epochs": math.ceil(total / per_epoch),
                "total_steps": total,
                "batch_size": batch,
                "subsets": [
                    {
                        "folder": folder,
                        "is_reg": False,
                        "images": len(self.files),
                        "repeats": repeats,
                        "captions": len(self.files) - len(missing),
                        "class_tokens": " ".join(filter(None, [values.get("identifier"), values.get("class_name")])),
                    }
                ],
                "buckets": [
                    {"width": 512, "height": 512, "images": 30},
                    {"width": 384, "height": 576, "images": 30},
                    {"width": 576, "height": 384, "images": 20},
                ],
                "examples": [{"image": name, "caption": self.caption_of(name) or ""} for name in sorted(self.files)[:3]],
            }
        return {
            "ok": not any(problem["level"] == "error" for problem in problems),
            "problems": problems,
            "plan": plan,
            "base_model": {"family": self.family, "message": TITLES[self.family], "is_demo": False} if self.family else None,
            "output": {
                "name": values.get("output_name", ""),
                "exists": False,
                "saved_as": values.get("output_name", ""),
            },
            "disk": {"free": 90 << 30, "needed": 40 << 20},
            "package": self.package,
            "command": "python -m lora_trainer train_network --config_file config.toml" if plan else "",
            "config": f"network_dim = {values.get('network_dim', 16)}\n" if plan else "",
            "dataset": '[[datasets]]\n\n[[datasets.subsets]]\nimage_dir = "/uploads/up1"\n' if plan else "",
        }

    # --- runs ---
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
        lora = {
            "name": run["name"],
            "path": f"/loras/{run['name']}.safetensors",
            "prompt": f"sls frog <lora:{run['name']}:0.8>",
            "activation": "sls frog",
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
        return {"run": run, "lora": {"name": run["name"]}}

    async def picture(self, request: Request) -> Any:
        name = request.path_params["name"]
        parts = [int(part) for part in name.removesuffix(".png").split("_") if part.isdigit()]
        step, index = [*parts, 0, 0][:2]
        return Response(png(frog(7 + index, 256, 256, detail=min(1.0, step / 900))), media_type="image/png")

    # --- generate ---
    async def list_loras(self, request: Request) -> Any:
        return {"folder": "/loras", "loras": self.loras}

    async def generate(self, request: Request) -> Any:
        body = (await request.json())["request"]
        seed = body["seed"] if body["seed"] >= 0 else 1234567
        count = body["batch_size"] * body["batch_count"]
        images = [
            {
                "name": f"picture_9{index:02}_{index}.png",
                "url": f"generate/g1/file/picture_9{index:02}_{index}.png",
                "seed": seed + index,
                "prompt": body["prompt"],
            }
            for index in range(count)
        ]
        self.generated = {
            "id": "g1",
            "state": "running",
            "done": 0,
            "total": count,
            "message": "",
            "advice": "",
            "images": images,
        }
        return JSONResponse({"id": "g1"}, 201)

    async def generation(self, request: Request) -> Any:
        assert self.generated is not None
        if self.lending:
            return {**self.generated, "state": "waiting", "total": 0, "message": self.lending, "images": []}
        self.generated.update(done=self.generated["total"], state="finished")
        return self.generated

    # --- tools ---
    async def tools(self, request: Request) -> Any:
        spec = {language: page_tools(language) for language in ("en", "ko")}
        names = [f"{one['name']}.safetensors" for one in self.loras]
        return {"spec": spec, "loras": names, "checkpoints": [one["title"] for one in self.checkpoints], "active": None}

    async def run_tool(self, request: Request) -> Any:
        """A tool that has ended at once, with the file that was asked for."""
        asked = await request.json()
        self.loras.append({"name": asked["output"], "modified": 2})
        prompt = f"<lora:{asked['output']}:0.8>"
        name = f"{asked['output']}.safetensors"
        self.job = {
            "id": "t1",
            "tool": asked["tool"],
            "writes": "lora",
            "state": "finished",
            "message": "",
            "done": 264,
            "total": 264,
            "log": f"written: /loras/{name}",
            "command": f"python -m lora_trainer {asked['tool']} --save_to /loras/{name}",
            "files": [{"name": name, "url": f"tools/t1/file/{name}", "bytes": 38 << 20, "prompt": prompt}],
        }
        return JSONResponse({**self.job, "state": "running", "done": 0, "total": 0, "files": []}, 201)

    async def packages(self, request: Request) -> Any:
        return {"packages": [], "active": None}

    async def fetch_package(self, request: Request) -> Any:
        """Half of it is there already; a test says how it goes on."""
        name = (await request.json())["name"]
        self.fetching = {"id": "p1", "tool": name, "state": "running", "message": "", "done": 5500, "total": 11000, "log": ""}
        return self.fetching

    async def stop_package(self, request: Request) -> Any:
        self.fetching["state"] = "stopped"
        return self.fetching

    async def package_job(self, request: Request) -> Any:
        return self.fetching

    async def tool_job(self, request: Request) -> Any:
        return self.job
