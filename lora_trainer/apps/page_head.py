"""Around gradio's page: our tags in its head, and fonts of this machine. Plain ASGI, no framework's own classes."""

from __future__ import annotations

import re
from collections.abc import Callable

from .gates import App, Message, Receive, Scope, Send

# gradio's page asks Google for its fonts (as style sheets and as connections made beforehand); the page must work offline.
_FOREIGN = re.compile(
    rb"<(?:link|script)\b[^>]*\b(?:href|src)=[\"']https?://[^\"']*[\"'][^>]*>(?:\s*</script>)?", re.IGNORECASE
)
# The list of style sheets in gradio's configuration, which its script loads: the fonts again, nothing else.
_STYLE_SHEETS = re.compile(rb'"stylesheets":\s*\["https?:[^\]]*\]')


class PageHead:
    """Writes `head()` into the HTML of "/", and takes out what would be loaded from elsewhere."""

    def __init__(self, app: App, head: Callable[[], str]) -> None:
        self.app = app
        self.head = head

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in {"/", ""} or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        # A compressed body could not be written into.
        plain = {**scope, "headers": [pair for pair in scope["headers"] if pair[0] != b"accept-encoding"]}
        start: Message = {}
        body = bytearray()

        async def collect(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            if message["type"] != "http.response.body":
                await send(message)
                return
            body.extend(message.get("body", b""))
            if message.get("more_body"):
                return
            headers = list(start["headers"])
            page = bytes(body)
            if any(name.lower() == b"content-type" and value.startswith(b"text/html") for name, value in headers):
                page = with_head(page, self.head())
                headers = [pair for pair in headers if pair[0].lower() not in {b"content-length", b"etag"}]
                headers.append((b"content-length", str(len(page)).encode()))
            await send({**start, "headers": headers})
            await send({"type": "http.response.body", "body": page})

        await self.app(plain, receive, collect)


def with_head(page: bytes, head: str) -> bytes:
    """The page with `head` at the end of its head and without links and scripts of other servers."""
    page = _FOREIGN.sub(b"", page)
    page = _STYLE_SHEETS.sub(b'"stylesheets":[]', page, count=1)
    before, end, after = page.partition(b"</head>")
    return before + head.encode("utf-8") + end + after if end else head.encode("utf-8") + page
