"""The Gradio tab. It holds one element; the modules of `web/` draw the page inside it from the JSON routes.

One element, because each version of gradio draws its own components differently, a Web UI freezes the defaults of those
it knows in `ui-config.json`, and a page that polls JSON costs the host's queue nothing.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import gradio as gr

from .assets import assets

if TYPE_CHECKING:
    from ..hosts.base import Host

ROOT_ID = "lora_trainer_root"
TITLE = "LoRA Trainer"

_MOUNT = """<div class="lt-mount" data-host="{host}" data-key="{key}" data-version="{version}">
<p class="lt-loading" role="status">Loading LoRA Trainer…</p><noscript>LoRA Trainer needs JavaScript.</noscript></div>"""


def mount_point(host: Host) -> str:
    """The element's HTML: what the page has to know before it can ask anything."""
    return _MOUNT.format(host=escape(host.name), key=escape(host.page_key()), version=assets().version)


def build(host: Host) -> gr.Blocks:
    """Return the tab's Blocks: one `gr.HTML` with elem_id `lora_trainer_root`.

    The element is kept out of the Web UI's `ui-config.json` (`do_not_save_to_config`), so that a new version's page
    always arrives. Building it twice (Reload UI) gives two independent Blocks.
    """
    with gr.Blocks(analytics_enabled=False, title=TITLE) as blocks:
        mount = gr.HTML(mount_point(host), elem_id=ROOT_ID)
        mount.do_not_save_to_config = True
    return blocks
