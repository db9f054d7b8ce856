"""Pictures, tools and packages of the fake API."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from lora_trainer.options.tool_page import page_tools


class FakeTools:
    """What the Generate and the Tools page ask for."""

    # --- generate ---
    async def list_loras(self, request: Request) -> Any:
        return {"folder": "/loras", "loras": self.loras}

    async def generate(self, request: Request) -> Any:
        body = (await request.json())["request"]
        seed = body["seed"] if body["seed"] >= 0 else 1234567
        count = body["batch_size"] * body["batch_count"]
        number = f"g{len(self.every) + 1}"
        images = [
            {
                "name": f"picture_9{index:02}_{index}.png",
                "url": f"generate/{number}/file/picture_9{index:02}_{index}.png",
                "seed": seed + index,
                "prompt": body["prompt"],
            }
            for index in range(count)
        ]
        self.generated = {
            "id": number,
            "state": "running",
            "done": 0,
            "total": count,
            "message": "",
            "advice": "",
            "images": images,
        }
        self.every[number] = self.generated
        return JSONResponse({"id": number}, 201)

    async def generation(self, request: Request) -> Any:
        self.generated = self.every[request.path_params["id"]]
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
