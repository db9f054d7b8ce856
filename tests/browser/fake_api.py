"""An API with canned answers in the shapes of docs/api.md, for tests of the page alone. No torch, no store, no worker.

Uploads and checks follow simple rules; runs and pictures are what a test puts into `FakeApi`.
"""

from __future__ import annotations

import json
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lora_trainer.api.changes import Changes
from lora_trainer.ui.assets import assets
from lora_trainer.ui.form import specification

from .fake_images import FakeImages
from .fake_runs import FakeRuns
from .fake_tools import FakeTools

IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
PREFIX = "/lora-trainer/api"


class FakeApi(FakeImages, FakeRuns, FakeTools):
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
        self.every: dict[str, dict[str, Any]] = {}  # request for pictures, by its id
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
        self.generating = None  # a request that is at work
        self.policy = "automatic"
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
            "settings": self.choose,
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
            "generating": self.generating,
            "pictures_policy": self.policy,
            "time": time.time(),
        }

    async def choose(self, request: Request) -> Any:
        self.policy = (await request.json())["pictures_policy"]
        return {"pictures_policy": self.policy}

    async def form(self, request: Request) -> Any:
        return {
            "checkpoints": self.checkpoints,
            "vaes": [],
            "loras": [],
            "lora_dir": "/loras",
            "checkpoint_dirs": ["/models"],
            "host": self.host,
            "uploads": {"images": list(IMAGES), "captions": [".txt", ".caption"]},
            "spec": specification(cuda=True),
        }
