"""Fetching a package that an optimizer needs: only listed ones, by a process of ours, told, cancelled, offered."""

from __future__ import annotations

import hashlib
import os
import sys
import time

import pytest

from lora_trainer.api import packages
from lora_trainer.installing import extras
from lora_trainer.options.optimizer_kinds import OPTIMIZERS
from tests.installing.wheels import MODULE, NAME, wheel

from .conftest import get, post
from .test_runs import posix

# Runs at the start of every Python of the job: another list of versions, another folder, and no network.
STARTED = """
import os, sys, time
from pathlib import Path
from lora_trainer.installing import extras, requirements
requirements.read = lambda name: [{pin!r}]
extras.install.__kwdefaults__["root"] = Path({root!r})
{more}
"""


@pytest.fixture
def job(host, tmp_path, monkeypatch):
    """job(more="") -> the folder that a job installs into, from a wheel; `more` is code that its process runs first."""

    def prepare(more: str = ""):
        index, root, path = tmp_path / "index", tmp_path / "ours", tmp_path / "path"
        for folder in (index, path):
            folder.mkdir()
        digest = hashlib.sha256(wheel(index).read_bytes()).hexdigest()
        pin = f"{NAME}==9.9 --hash=sha256:{digest}"
        (path / "sitecustomize.py").write_text(STARTED.format(pin=pin, root=str(root), more=more))
        for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index), "PIP_CONFIG_FILE": os.devnull}.items():
            monkeypatch.setenv(name, value)
        host.python, host.python_path = sys.executable, [path]
        return root / extras.FOLDER

    return prepare


def test_a_package_is_fetched_by_a_job_that_tells_how_it_stands(client, service, job):
    folder = job()
    answer = post(client, "packages", {"name": NAME})
    assert answer.status_code == 201, answer.text
    started = answer.json()
    service.packages.wait(started["id"], 120)
    ended = get(client, f"packages/{started['id']}").json()
    assert ended["state"] == "finished", ended
    assert f"{NAME} 9.9 is installed" in ended["log"] and ended["command"].endswith(f"install_packages {NAME}")
    assert [path.name for path in folder.iterdir()] == [f"{NAME}-9.9"] and (folder / f"{NAME}-9.9" / MODULE).is_dir()


@posix
def test_one_that_is_cancelled_leaves_nothing(client, service, job):
    folder = job("extras._pip = lambda *given: (print('FILLING', flush=True), time.sleep(600))")
    started = post(client, "packages", {"name": NAME}).json()
    assert post(client, "packages", {"name": NAME}).status_code == 409, "one at a time"
    deadline = time.monotonic() + 60
    while "FILLING" not in get(client, f"packages/{started['id']}").json()["log"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert get(client, "packages").json()["active"] == started["id"]
    post(client, f"packages/{started['id']}/stop", {})
    service.packages.wait(started["id"], 60)
    assert get(client, f"packages/{started['id']}").json()["state"] == "stopped"
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["torch", "../x", "", "lion-pytorch==1", "--index-url=http://x", None, 3, [NAME]])
def test_nothing_else_can_be_fetched(client, name):
    assert post(client, "packages", {"name": name}).status_code == 400
    assert get(client, "packages").json()["active"] is None


def test_the_page_is_told_what_there_is_and_what_it_is_for(client):
    found = get(client, "packages").json()["packages"]
    assert [one["name"] for one in found] == list(extras.BY_NAME)
    for one in found:
        assert one["bytes"] > 0 and one["version"] and one["purpose"]
        assert one["optimizers"] == [kind.name for kind in OPTIMIZERS if kind.package == one["name"]]


@pytest.mark.parametrize(
    ("optimizer", "card", "level", "package"),
    [
        ("Prodigy", False, "error", "prodigyopt"),
        ("AdamW8bit", True, "warning", "bitsandbytes"),
        ("AdamW8bit", False, "", ""),
        ("Lion8bit", False, "error", "lion-pytorch"),
        ("AdaFactor", False, "", ""),
    ],
)
def test_a_check_offers_what_the_chosen_optimizer_lacks(client, monkeypatch, tmp_path, optimizer, card, level, package):
    monkeypatch.setattr(extras, "is_there", lambda name: False)
    monkeypatch.setattr(packages.shutil, "which", lambda name: "nvidia-smi" if card else None)
    checked = post(client, "check", {"values": {"optimizer_type": optimizer, "image_dir": str(tmp_path)}}).json()
    found = [one for one in checked["problems"] if one["field"] == "optimizer_type"]
    assert [one["level"] for one in found] == ([level] if level else [])
    assert (checked["package"] or {}).get("name", "") == package
    if package:
        assert package in found[0]["message"] and "install_packages" in found[0]["advice"]
        assert optimizer in extras_needed_by(package) or optimizer == "Lion8bit"


def extras_needed_by(package: str) -> list[str]:
    return packages.package_view(package)["optimizers"]
