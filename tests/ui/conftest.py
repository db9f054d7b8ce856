"""Functions of the page's modules that need no page, run by node. Skipped where there is none."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from lora_trainer.ui.assets import MODULES_DIR

# What a browser has, as far as modules ask for it when they are loaded.
_BROWSER = 'globalThis.navigator ??= { language: LANGUAGE }; globalThis.location ??= { hash: "", href: "http://x/" };'


@pytest.fixture(scope="session")
def modules(tmp_path_factory):
    """The modules where node takes them for what they are."""
    if not shutil.which("node"):
        pytest.skip("no node on this machine")
    folder = tmp_path_factory.mktemp("web") / "web"
    shutil.copytree(MODULES_DIR, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    return folder


@pytest.fixture
def evaluated(modules):
    """A function: the value of an expression with what `module` exports as `m`, in the language of a page."""

    def evaluate(module: str, expression: str, language: str = "en"):
        script = f"""{_BROWSER.replace("LANGUAGE", json.dumps(language))}
            const m = await import("./{module}");
            console.log(JSON.stringify({expression}, (_, value) => (Number.isNaN(value) ? "NaN" : value)));"""
        command = ["node", "--input-type=module", "-e", script]
        done = subprocess.run(command, cwd=modules, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return evaluate
