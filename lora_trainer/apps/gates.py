"""Around the whole program standing alone, gradio's own routes with it: who may come in. Plain ASGI.

Of gradio only the page is used, so nothing of it but what is read by GET is served: no upload, no queue, no file of this
machine, no request made for others. What our own routes take is said in api.routes.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.requests import HTTPConnection
from starlette.responses import Response

from ..api import security
from ..api.answers import FRAME_HEADERS, Refusal, error_answer
from ..api.routes import PREFIX
from ..hosts.base import Host

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# gradio's routes that hand out files of this machine, or fetch addresses for whoever asks
_NOT_SERVED = re.compile(r"/(?:file|proxy)[=/]")


class Gates:
    """Refuses foreign names and pages (api.security) and whoever has not logged in; forbids other pages to frame ours."""

    def __init__(self, app: App, host: Host) -> None:
        self.app = app
        self.host = host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        refused = self._refusal(scope)
        if refused is None:
            await self.app(scope, receive, _unframed(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await refused(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        connection = HTTPConnection(scope)
        try:
            self._check(connection, scope)
        except Refusal as error:
            answer = error_answer(error)
            if error.status == 401:
                answer.headers["WWW-Authenticate"] = 'Basic realm="LoRA Trainer", charset="UTF-8"'
            return answer
        return None

    def _check(self, connection: HTTPConnection, scope: Scope) -> None:
        is_ours = _path(scope).startswith(PREFIX + "/")
        if is_ours or not _is_followed_link(connection, scope):
            security.check_source(connection, self.host.access())
        else:
            security.check_name(connection, self.host.access())
        if not self.host.authorize(connection):
            raise Refusal(401, "Log in first.")
        if not is_ours and (scope.get("method") not in {"GET", "HEAD"} or _NOT_SERVED.search(_path(scope))):
            raise Refusal(404, "This is not served here.")


def _path(scope: Scope) -> str:
    """The path inside the program, with or without the sub-path that it may be served below."""
    return str(scope["path"]).removeprefix(str(scope.get("root_path", "")))


def _is_followed_link(connection: HTTPConnection, scope: Scope) -> bool:
    """Whether somebody followed a link to the page, wherever it stood: that reads nothing and changes nothing."""
    said = [connection.headers.get(f"sec-fetch-{name}") for name in ("mode", "dest")]
    return scope.get("method") == "GET" and said == ["navigate", "document"]


def _unframed(send: Send) -> Send:
    """Every answer says that no other site may show it in a frame (and so lead a person's clicks)."""
    added = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in FRAME_HEADERS.items()]
    names = {name for name, _ in added}

    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [pair for pair in message.get("headers", []) if pair[0].lower() not in names]
            message = {**message, "headers": [*kept, *added]}
        await send(message)

    return wrapped
