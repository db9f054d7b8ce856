"""Where the Web UI tells an extension that it may add something."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import settings


def register(*, tabs: Callable[[], list[tuple[Any, str, str]]], started: Callable[[Any, Any], None]) -> None:
    """Ask to be called for our settings, for `tabs` (blocks, title, id), and with (demo, app) at each start of the page."""
    from modules import script_callbacks

    script_callbacks.on_ui_settings(settings.add)
    script_callbacks.on_ui_tabs(tabs)
    script_callbacks.on_app_started(started)
