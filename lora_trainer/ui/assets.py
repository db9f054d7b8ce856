"""The browser files, as they lay on the disk when this program began to serve them.

The Web UI loads `javascript/lora_trainer.mjs` and `style.css` by itself; a host of our own asks for them here. All else of the
page is modules in `web/`, which import each other by relative addresses below one folder that carries their version. They are
kept in memory: an update of the extension under a running program changes nothing of what it serves, so that no tab has
modules of two versions, nor modules of another version than the routes that they ask.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

from ..paths import ROOT_DIR

ENTRY = ROOT_DIR / "javascript" / "lora_trainer.mjs"
STYLESHEET = ROOT_DIR / "style.css"
MODULES_DIR = Path(__file__).resolve().parent / "web"

# Said by us, because a system may know another one: a browser runs a module of no other kind.
_KINDS = {".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css"}


@dataclass(frozen=True)
class Assets:
    """The files by their address below the version: "page.js", "runs/chart.js", "style.css"."""

    version: str
    files: Mapping[str, bytes]


@functools.cache
def assets() -> Assets:
    """The files of this program, read once."""
    paths = {path.relative_to(MODULES_DIR).as_posix(): path for path in sorted(MODULES_DIR.rglob("*.js"))}
    return bundle(
        {name: path.read_bytes() for name, path in [*paths.items(), (ENTRY.name, ENTRY), (STYLESHEET.name, STYLESHEET)]}
    )


def bundle(files: Mapping[str, bytes]) -> Assets:
    """`files` under the version that their names and contents give."""
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return Assets(digest.hexdigest()[:16], files)


def kind_of(name: str) -> str:
    """The media type of the file `name`."""
    return _KINDS[Path(name).suffix]


def head(prefix: str = "lora-trainer/assets/") -> str:
    """HTML for a page's `<head>` that loads what the Web UI loads by itself, from `prefix`.

    Relative, for a host below a sub-path.
    """

    def address(path: Path) -> str:
        return escape(f"{prefix}{assets().version}/{path.name}", quote=True)

    # What gradio writes below its pages (of itself, its settings, its API) is of no use below ours; every version names it so.
    footer = "<style>gradio-app footer, .gradio-container footer { display: none !important }</style>"
    viewport = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    style = f'<link rel="stylesheet" href="{address(STYLESHEET)}">'
    return "\n".join([viewport, style, footer, f'<script type="module" src="{address(ENTRY)}"></script>'])
