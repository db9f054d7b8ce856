"""What scripts/lora_trainer.py calls: the tab, the settings and the routes, registered anew at each "Reload UI".

Reload UI runs the script again in the same process and drops the old callbacks; the host object, the service with its
supervisor thread, and a training at work live in this package and stay.
"""

from __future__ import annotations

import sys
from html import escape
from typing import Any

from ..hosts.webui import callbacks
from ..hosts.webui.host import WebuiHost
from ..installing import retries, worker_packages
from ..log import logger, setup

TAB_ID = "lora_trainer"

_host = WebuiHost()


def register() -> None:
    """Register with the host. Never raises for missing packages: the tab says what is missing."""
    if not logger.handlers:
        setup()
    callbacks.register(tabs=_tabs, started=_mount)


def _host_packages_are_here() -> bool:
    """Whether our few packages for this process are installed; puts them at the end of its path (the host's own win).

    Not done while the script is being loaded: the host puts the old path back afterwards.
    """
    folder = str(worker_packages.folder("host"))
    if worker_packages.is_complete("host") and folder not in sys.path:
        sys.path.append(folder)
    return worker_packages.is_complete("host")


def _tabs() -> list[tuple[Any, str, str]]:
    from ..ui import page

    if not _host_packages_are_here():
        return [(_missing(), page.TITLE, TAB_ID)]
    return [(page.build(_host), page.TITLE, TAB_ID)]


def _mount(_demo: Any, app: Any) -> None:
    """Callback of on_app_started: a new app at each Reload UI; without a page (--nowebui) there are the routes alone."""
    if not _host_packages_are_here():
        return
    from ..api.routes import mount
    from ..api.service import service_for

    service = service_for(_host)
    _host.describe_training = lambda: _name_of_training(service)
    mount(app, service)


def _name_of_training(service: Any) -> str:
    run = service.store.active()
    return run.name if run else "a LoRA"


def _missing() -> Any:
    """A tab that says what is missing, made without any package of ours."""
    import gradio as gr

    with gr.Blocks(analytics_enabled=False) as blocks:
        text = gr.HTML(
            "<h2>LoRA Trainer is not installed completely</h2><p>Its packages could not be downloaded (offline, or the "
            "installation was interrupted). The Web UI itself is not affected.</p><p>Connect to the internet and restart the "
            f"Web UI, or run this once and then use <b>Reload UI</b>:</p><pre>{escape(retries.by_hand())}</pre>"
        )
        text.do_not_save_to_config = True
    return blocks
