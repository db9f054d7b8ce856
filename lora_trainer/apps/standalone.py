"""`python -m lora_trainer ui`: the page standing alone, served by this process.

Our routes, and gradio's page at "/" with our scripts and styles written into its head on the way out, which works alike with
every version of gradio. Nothing is asked of the internet.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import sys
import threading
import urllib.request
import webbrowser
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from .. import log
from ..api import routes
from ..api.service import forget, service_for
from ..errors import HostError, InputError
from ..hosts.base import LOOPBACK, host_names
from ..hosts.standalone import StandaloneHost
from ..log import logger
from .arguments import parser
from .gates import Gates
from .page_head import PageHead

if TYPE_CHECKING:
    from fastapi import FastAPI


def main(argv: Sequence[str]) -> int:
    """Serve the page until Ctrl-C; returns the exit code."""
    given = parser().parse_args(list(argv))
    log.setup()
    host = _host(given)
    with _listen(given.host, given.port) as listener:
        address = f"http://{'127.0.0.1' if given.host in {'0.0.0.0', '::', *LOOPBACK} else given.host}:{given.port}"
        app = make_app(host)
        logger.info("LoRA Trainer is ready at %s  (Ctrl-C ends it; a training goes on)", address)
        if given.host not in LOOPBACK:
            who = "with the password" if host.auth else "WITHOUT a password (--auth user:password sets one)"
            logger.warning("it listens on %s: other machines can use it %s", given.host, who)
        if not given.no_browser:
            threading.Timer(1.0, webbrowser.open, [address]).start()
        try:
            _serve(app, listener)
        finally:
            forget(host)
    return 0


def make_app(host: StandaloneHost) -> FastAPI:
    """The whole program as an ASGI app: our routes and gradio's page, with its head and our gates around them."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    import gradio as gr
    from fastapi import FastAPI

    from ..ui.assets import head
    from ..ui.page import build

    service = service_for(host)

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        yield

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    routes.mount(app, service)
    mounted: FastAPI = gr.mount_gradio_app(app, build(host), path="/")
    mounted.add_middleware(PageHead, head=head)
    mounted.add_middleware(Gates, host=host)
    return mounted


def _host(given: argparse.Namespace) -> StandaloneHost:
    """Raises InputError for folders that are files and for a login without a password."""
    if given.auth and not all(given.auth.partition(":")):
        raise InputError(f"--auth is {given.auth!r}.", field="auth", advice="Expected user:password.")
    for name in ("data_dir", "ckpt_dir", "lora_dir"):
        folder = getattr(given, name)
        if folder is not None and folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is a file, expected a folder.", field=name)
    if given.ckpt_dir is not None and not given.ckpt_dir.is_dir():
        raise InputError(f"there is no folder {given.ckpt_dir}.", field="ckpt_dir", advice="Check the path.")
    for folder in given.allow_folder:
        if not folder.is_dir():
            raise InputError(f"there is no folder {folder}.", field="allow_folder", advice="Check the path.")
    host = StandaloneHost(
        checkpoint_dir=given.ckpt_dir,
        lora_dir=given.lora_dir,
        auth=given.auth,
        listens_to=given.host,
        names=host_names(given.allow_host),
        folders=tuple(given.allow_folder),
        pictures=given.pictures,
        standby=not given.no_standby,
        **({"data_dir": given.data_dir} if given.data_dir else {}),
    )
    host.make_folders()
    return host


def _listen(address: str, port: int) -> socket.socket:
    """A listening socket. Raises HostError when the port is taken (naming a free one) or the address is not ours."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    if os.name == "posix":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    else:  # on Windows that option would let two programs have one port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)  # type: ignore[attr-defined,unused-ignore]
    try:
        listener.bind((address, port))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        if _is_ours(address, port):
            advice = f"Open http://127.0.0.1:{port}, or start a second one with another --port and --data-dir."
            raise HostError(f"LoRA Trainer runs on port {port} already.", advice=advice) from error
        free = _free_port(address, port)
        advice = f"Start it with --port {free}, or end the program that has the port." if free else "Choose another --host."
        raise HostError(f"Port {port} of {address} cannot be had: {error}.", advice=advice) from error
    return listener


def _free_port(address: str, taken: int) -> int | None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for port in range(taken + 1, min(taken + 100, 65536)):
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.bind((address, port))
            return port
    return None


def _is_ours(address: str, port: int) -> bool:
    """Whether what answers there is this program: it says who it is to everybody, with or without a login."""
    target = "127.0.0.1" if address in {"0.0.0.0", "::"} else address
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(f"http://{target}:{port}{routes.PREFIX}/api/state")
    try:
        with opener.open(request, timeout=2) as answer:
            return answer.headers.get("X-Lora-Trainer") is not None
    except urllib.error.HTTPError as error:
        return error.headers.get("X-Lora-Trainer") is not None
    except OSError:
        return False


def _serve(app: FastAPI, listener: socket.socket) -> None:
    import uvicorn

    # Windows' console gives Ctrl-C to uvicorn's own handler; timeout: an open page must not keep the program from ending.
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2, proxy_headers=False)
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
