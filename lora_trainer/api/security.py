"""Who may ask what. Neither the Web UI nor gradio guards an extension's routes, so each request passes these gates:

1. Host   a name this program is known by, when it serves this machine alone (a foreign page whose name was bound anew to
          127.0.0.1 sends its own name)
2. site   browsers say where a request comes from: another site is refused, for GET as well
3. Origin when there is one, it equals Host: a page of another site cannot change anything
4. login  the host's own
5. body   a change is a POST with a JSON content type, or an upload with our own header: neither can be sent by a foreign
          page without a preflight, which nobody answers
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import Request

from ..hosts.base import Host
from .answers import Refusal

UPLOAD_HEADER = "x-lora-trainer"


def check(request: Request, host: Host, *, upload: bool = False) -> None:
    """Raises Refusal (401, 403 or 415) when the request may not pass."""
    named = request.headers.get("host", "")
    known = host.access().host_names
    if known is not None and host_name(named) not in known:
        raise Refusal(
            403,
            f"This program does not answer to the name {host_name(named)!r}.",
            advice="Open it as http://127.0.0.1 with its port. Standing alone, --allow-host names a further one.",
        )
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise Refusal(403, "Requests from other sites are not served.")
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != named.lower():
        raise Refusal(403, f"Requests from {origin} are not served.", advice="Open the page at the address it is served at.")
    if not host.authorize(request):
        raise Refusal(401, "Log in first.")
    if request.method == "POST":
        _check_kind(request, upload)


def _check_kind(request: Request, upload: bool) -> None:
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if upload:
        if kind != "multipart/form-data" or UPLOAD_HEADER not in request.headers:
            raise Refusal(415, "An upload is multipart/form-data with the header X-Lora-Trainer: 1.")
    elif kind != "application/json":
        raise Refusal(415, f"The content type is {kind or 'missing'}, expected application/json.")


def host_name(header: str) -> str:
    """The name in a Host header, without port and brackets, lower case: `[::1]:7861` -> `::1`."""
    try:
        return (urlsplit(f"//{header}").hostname or "").rstrip(".")
    except ValueError:
        return ""
