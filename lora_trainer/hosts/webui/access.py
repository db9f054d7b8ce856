"""Who may use our routes. The host guards no extension's route, so its two logins are asked here.

A request may pass when the host has no login at all, when it has the cookie of the page's login (--gradio-auth), the name
and password of the API (--api-auth), or the page's own key: the page is behind its login, so who has the key has seen it.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from typing import Any

PAGE_KEY_COOKIE = "lora-trainer-key"

_page_key = secrets.token_urlsafe(24)


def page_key() -> str:
    """A secret of this process, written into the page, which sends it back as the cookie `lora-trainer-key`."""
    return _page_key


def allowed(request: Any) -> bool:
    """Whether the starlette HTTPConnection `request` may use our routes."""
    from modules import shared

    api_auth = getattr(shared.cmd_opts, "api_auth", None)
    tokens = getattr(request.app, "tokens", None) or {}
    has_login = bool(getattr(request.app, "auth", None))
    if not has_login and not api_auth:
        return True
    if _same(request.cookies.get(PAGE_KEY_COOKIE, ""), _page_key):
        return True
    if has_login and any(name.startswith("access-token") and value in tokens for name, value in request.cookies.items()):
        return True
    return bool(api_auth) and _basic(request.headers.get("authorization", ""), api_auth)


def _basic(header: str, api_auth: str) -> bool:
    """Whether HTTP Basic credentials are among `user:password,user:password`."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return False
    try:
        given = base64.b64decode(encoded, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return False
    # every pair is compared, so that the time tells nothing
    return any([_same(given, pair.strip()) for pair in api_auth.split(",") if ":" in pair])


def _same(one: str, other: str) -> bool:
    return secrets.compare_digest(one.encode("utf-8"), other.encode("utf-8"))
