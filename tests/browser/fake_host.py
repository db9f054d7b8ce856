"""The page in a real gradio of any version, with the fake API behind it: `python -m tests.browser.fake_host PORT`."""

from __future__ import annotations

import sys
from pathlib import Path

import gradio
import uvicorn
from fastapi import FastAPI
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from lora_trainer.hosts.fake import FakeHost
from lora_trainer.ui import assets, page

from .fake_api import FakeApi


class Head(BaseHTTPMiddleware):
    """Puts our files into the page's head, as the Web UI does with those of its extensions."""

    async def dispatch(self, request: Request, call_next) -> Response:
        response = await call_next(request)
        if request.url.path != "/" or "html" not in response.headers.get("content-type", ""):
            return response
        text = b"".join([part async for part in response.body_iterator]).decode()
        return HTMLResponse(text.replace("</head>", assets.head() + "</head>", 1), response.status_code)


def application(api: FakeApi, *, with_gradio: bool = True) -> FastAPI:
    """A host: our files, the fake API, and the page in gradio (or, faster, the bare mount point)."""
    app = FastAPI()
    app.router.routes.extend(api.routes())

    @app.get("/lora-trainer/assets/{version}/{name:path}")
    def asset(version: str, name: str) -> Response:
        ours = assets.assets()
        return Response(ours.files[name] if version == ours.version else b"", media_type=assets.kind_of(name))

    if not with_gradio:
        body = f'<body><div id="{page.ROOT_ID}">{page.mount_point(FakeHost(Path()))}</div></body>'

        @app.get("/")
        def bare() -> HTMLResponse:
            return HTMLResponse(f"<!doctype html><html><head><title>LoRA Trainer</title>{assets.head()}</head>{body}</html>")

        return app
    app.add_middleware(Head)
    blocks = page.build(FakeHost(Path()))
    blocks.queue()
    return gradio.mount_gradio_app(app, blocks, path="/")


def main(port: int) -> None:
    uvicorn.run(application(FakeApi()), host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main(int(sys.argv[1]))
