"""Who may ask what. Neither the Web UI nor gradio guards an extension's route, so each request passes these gates:

1. Host   a name this program is known by, when it serves this machine alone (a foreign page whose name was bound anew to
          127.0.0.1 sends its own name)
2. site   browsers say where a request comes from: another site is refused, for GET as well
3. Origin when there is one, it equals Host, or its name was allowed by whoever runs the program (a reverse proxy may put
          another name into Host): a page of another site cannot change anything
4. login  the host's own
5. body   a change is a POST with a JSON content type, or an upload with our own header: neither can be sent by a foreign
          page without a preflight, which nobody answers

Standing alone, the first three stand around the whole program (apps.gates): gradio's own routes have none.
"""

from __future__ import annotations

from starlette.requests import HTTPConnection, Request

from ..hosts.base import Access, Host, host_name
from .answers import Refusal

UPLOAD_HEADER = "x-lora-trainer"


def check(request: Request, host: Host, *, upload: bool = False) -> None:
    """Raises Refusal (401, 403 or 415) when the request may not pass."""
    check_source(request, host.access())
    if not host.authorize(request):
        raise Refusal(401, "Log in first.")
    if request.method == "POST":
        _check_kind(request, upload)


def check_source(connection: HTTPConnection, access: Access) -> None:
    """The first three gates. Raises Refusal (403) when the request comes under a foreign name, or from a foreign page."""
    check_name(connection, access)
    if connection.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise Refusal(403, "Requests from other sites are not served.")
    origin, header = connection.headers.get("origin"), connection.headers.get("host", "")
    if origin is None or host_name(origin) in access.allowed or (header and origin.lower().endswith(f"://{header.lower()}")):
        return
    raise Refusal(
        403,
        f"Requests from {origin} are not served: this program was reached as {header!r}.",
        advice="Open the page at the address it is served at. Is there a reverse proxy between that puts another name into "
        f"Host? Let it pass Host on, or allow the name that the browser shows: {access.how_to_allow}",
    )


def check_name(connection: HTTPConnection, access: Access) -> None:
    """The first gate alone."""
    name = host_name(connection.headers.get("host", ""))
    if access.host_names is not None and name not in access.host_names:
        raise Refusal(
            403,
            f"This program does not answer to the name {name!r}.",
            advice=f"Open it as http://127.0.0.1 with its port, or allow the name: {access.how_to_allow}",
        )


def _check_kind(request: Request, upload: bool) -> None:
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if upload:
        if kind != "multipart/form-data" or UPLOAD_HEADER not in request.headers:
            raise Refusal(415, "An upload is multipart/form-data with the header X-Lora-Trainer: 1.")
    elif kind != "application/json":
        raise Refusal(415, f"The content type is {kind or 'missing'}, expected application/json.")
