"""The page over the real routes, with a host of test folders and no worker: what a test of the page need not imitate."""

from __future__ import annotations

import contextlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from lora_trainer.api import routes
from lora_trainer.api.service import Service
from lora_trainer.hosts.fake import FakeHost
from lora_trainer.ui import assets, page

from ..api.conftest import fake_checkpoint
from .conftest import served
from .frogs import folder_of_frogs


class Place:
    """What a test has: the address, the service, and the folders of the host."""

    def __init__(self, address: str, service: Service, folder: Path) -> None:
        self.address, self.service, self.folder = address, service, folder
        self.model, self.images = folder / "models" / "base.safetensors", folder / "10_sls frog"


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Place]:
    """Serve it from `folder`, which gets a base model and a folder of images."""
    fake_checkpoint(folder / "models" / "base.safetensors")
    folder_of_frogs(folder / "10_sls frog", 4, size=64)
    service = Service(FakeHost(folder))  # its supervisor is not started: what is queued waits
    app = FastAPI()
    routes.mount(app, service)
    body = f'<body><div id="{page.ROOT_ID}">{page.mount_point(FakeHost(folder))}</div></body>'

    @app.get("/")
    def bare() -> HTMLResponse:
        return HTMLResponse(f"<!doctype html><html><head><title>LoRA Trainer</title>{assets.head()}</head>{body}</html>")

    try:
        with served(app) as address:
            yield Place(address, service, folder)
    finally:
        service.close()


def fill_form(page, place: Place, *, identifier: str = "sls", class_name: str = "frog") -> None:
    """What the form needs of a person before it can be trained: its pictures and words."""
    page.get_by_text("Use a folder on this machine").first.click()
    page.fill("#lt-image_dir", str(place.images))
    page.fill("#lt-identifier", identifier)
    page.fill("#lt-class_name", class_name)


def lora(path: Path, metadata: dict) -> Path:
    """A LoRA file of one module with this metadata."""
    entries, offset = {}, 0
    for name, shape in (("lora_down.weight", [4, 64]), ("lora_up.weight", [64, 4])):
        size = 2 * shape[0] * shape[1]
        module = "lora_unet_mid_block_attentions_0_proj_in"
        entries[f"{module}.{name}"] = {"dtype": "F16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps({"__metadata__": {key: str(value) for key, value in metadata.items()}, **entries}).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"\0" * offset)
    return path
