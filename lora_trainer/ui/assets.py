"""The browser files. The Web UI loads `javascript/*.js` and `style.css` by itself; a host of our own asks here."""

from __future__ import annotations

from html import escape
from pathlib import Path

from ..paths import ROOT_DIR

JAVASCRIPT_DIR = ROOT_DIR / "javascript"


def scripts() -> list[Path]:
    """All JavaScript files, sorted by name. They may be loaded in any order."""
    return sorted(JAVASCRIPT_DIR.glob("*.js"))


def stylesheet() -> Path:
    """The one style sheet."""
    return ROOT_DIR / "style.css"


def files() -> dict[str, Path]:
    """File name -> path of everything that a host has to serve."""
    return {path.name: path for path in [*scripts(), stylesheet()]}


def head(prefix: str = "lora-trainer/assets/") -> str:
    """HTML for a page's `<head>` that loads all files from `prefix` (relative, for a host below a sub-path).

    Each address carries the file's modification time, so that a browser never keeps an old one.
    """

    def address(path: Path) -> str:
        return escape(f"{prefix}{path.name}?{path.stat().st_mtime_ns // 1_000_000}", quote=True)

    links = [f'<link rel="stylesheet" href="{address(stylesheet())}">']
    links += [f'<script defer src="{address(path)}"></script>' for path in scripts()]
    viewport = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    return "\n".join([viewport, *links])
