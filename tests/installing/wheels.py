"""Wheels made for a test, in place of the package index."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path

NAME, MODULE = "lion-pytorch", "lion_pytorch"


def wheel(folder: Path, version: str = "9.9", code: str = "VALUE = 7\n") -> Path:
    """A wheel of this name that asks for a torch that there is not."""
    info = f"{MODULE}-{version}.dist-info"
    parts = {
        f"{MODULE}/__init__.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {version}\nRequires-Dist: torch==0.0.1\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for name, text in parts.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(text.encode())}\n"
    parts[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    path = folder / f"{MODULE}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return path
