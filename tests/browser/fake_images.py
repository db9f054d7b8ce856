"""Uploads and the check of the fake API: simple rules for what a test has dropped."""

from __future__ import annotations

import math
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lora_trainer.api.upload_names import clean_name
from lora_trainer.modelfile import TITLES
from lora_trainer.options.network_findings import block_findings, network_args_problems


class FakeImages:
    """What was dropped, and what a check says of the form."""

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
                "left_out": False,
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
