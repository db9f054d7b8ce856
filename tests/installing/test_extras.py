"""Packages that some optimizers need go into our own folder, whole or not at all, and nothing else with them. No network."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lora_trainer import optional_packages
from lora_trainer.errors import InputError, NotInstalledError
from lora_trainer.installing import extras, extras_command, requirements
from lora_trainer.options.optimizer import OptimizerOptions
from lora_trainer.paths import ROOT_DIR
from lora_trainer.training import optimizers
from tests.installing.wheels import MODULE, NAME, wheel

SAID: list[str] = []


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder of wheels in place of the package index; `pin(path)` lets the requirements ask for that wheel."""
    folder = tmp_path / "index"
    folder.mkdir()

    def pin(path: Path, digest: str = "") -> None:
        version = path.name.split("-")[1]
        digest = digest or hashlib.sha256(path.read_bytes()).hexdigest()
        monkeypatch.setattr(requirements, "read", lambda name: [f"{NAME}=={version} --hash=sha256:{digest}"])

    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder, pin


def content(root: Path) -> list[str]:
    return sorted(path.name for path in (root / extras.FOLDER).iterdir())


def test_a_package_goes_into_a_folder_of_its_own_without_what_it_asks_for(tmp_path, index, monkeypatch):
    folder, pin = index
    pin(wheel(folder))
    root = tmp_path / "root"
    said: list[str] = []
    target = extras.install(NAME, said.append, root=root)
    assert target == extras.own_folder(NAME, root) and content(root) == [f"{NAME}-9.9"]
    assert sorted(path.name for path in target.iterdir()) == [MODULE, f"{MODULE}-9.9.dist-info"]
    assert NAME in said[0] and "10 kB" in said[0] and str(target) in said[0]
    assert extras.install(NAME, said.append, root=root) == target and len(said) == 2, "it is there already"
    for name in [name for name in sys.modules if name.split(".")[0] == MODULE]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert optional_packages.load(MODULE, target).VALUE == 7, "ours comes before that of the environment"
    del sys.modules[MODULE]  # not by monkeypatch, which would put it back for the tests that follow


def test_a_new_version_takes_the_place_of_the_old_one(tmp_path, index):
    folder, pin = index
    for version in ("9.9", "10.0"):
        pin(wheel(folder, version))
        extras.install(NAME, SAID.append, root=tmp_path)
    assert content(tmp_path) == [f"{NAME}-10.0"]


def test_a_file_of_another_hash_is_refused_and_nothing_of_it_is_left(tmp_path, index):
    folder, pin = index
    pin(wheel(folder), digest="0" * 64)
    with pytest.raises(NotInstalledError, match=f"pip could not install {NAME}") as error:
        extras.install(NAME, SAID.append, root=tmp_path)
    assert error.value.advice and extras.own_folder(NAME, tmp_path) is None and content(tmp_path) == []


def test_an_installation_that_was_ended_does_not_count_and_is_cleared_away(tmp_path, index, monkeypatch):
    """pip is killed in the middle; then this process, which leaves what it was filling."""
    folder, pin = index
    pin(wheel(folder))

    def stopped(arguments, name, progress):
        new = Path(arguments[arguments.index("--target") + 1])
        (new / MODULE).mkdir(parents=True)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(extras, "_pip", stopped)
        with pytest.raises(KeyboardInterrupt):
            extras.install(NAME, SAID.append, root=tmp_path)
    assert content(tmp_path) == [] and extras.own_folder(NAME, tmp_path) is None
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    living = tmp_path / extras.FOLDER / f".part-{os.getpid()}-x"
    for half in (living, tmp_path / extras.FOLDER / f".part-{ended.pid}-x"):
        (half / "new" / MODULE).mkdir(parents=True)
    extras.install(NAME, SAID.append, root=tmp_path)
    assert content(tmp_path) == [living.name, f"{NAME}-9.9"], "another installation at work is left alone"


def test_the_environments_own_package_counts_and_a_hidden_one_too(tmp_path, monkeypatch):
    assert extras.is_there("lion-pytorch", tmp_path) and not extras.own_folder("lion-pytorch", tmp_path)
    monkeypatch.setitem(sys.modules, "schedulefree", None)
    assert extras.is_there("schedulefree", tmp_path)


@pytest.mark.effect("install_packages")
def test_what_the_optimizer_lacks_is_fetched_when_that_was_asked_for(monkeypatch):
    fetched = []
    monkeypatch.setattr(extras, "install", lambda name, *rest, **more: fetched.append(name))
    monkeypatch.setattr(extras, "is_there", lambda name: False)
    monkeypatch.setattr(optimizers.torch.cuda, "is_available", lambda: False)
    for name in ("Prodigy", "AdamW8bit", "Lion8bit", "RAdam"):  # without a card AdamW stands in, and Lion
        optimizers.install_packages(OptimizerOptions(optimizer_type=name, install_packages=True))
    assert fetched == ["prodigyopt", "lion-pytorch"]
    optimizers.install_packages(OptimizerOptions(optimizer_type="Prodigy"))
    assert len(fetched) == 2, "nothing is fetched unasked"
    monkeypatch.setattr(optimizers.torch.cuda, "is_available", lambda: True)
    optimizers.install_packages(OptimizerOptions(optimizer_type="AdamW8bit", install_packages=True))
    assert fetched[2:] == ["bitsandbytes"]


def test_the_command_installs_what_is_named_and_lists_what_there_is(monkeypatch, caplog):
    fetched = []
    monkeypatch.setattr(extras, "install", lambda name, *rest: fetched.append(name))
    assert extras_command.main(["prodigyopt", "schedulefree"]) == 0 and fetched == ["prodigyopt", "schedulefree"]
    with pytest.raises(InputError, match="no package 'torch'"):
        extras_command.main(["prodigyopt", "torch"])
    assert len(fetched) == 2


def test_every_package_has_a_version_and_hashes_and_the_tests_use_that_version():
    files = {path.stem for path in (ROOT_DIR / "requirements" / "extras").glob("*.txt")}
    named = set()
    for extra in extras.EXTRAS:
        for version in ((99, 0), (2, 1)):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(extras, "_torch_version", lambda version=version: version)
                named.add(extra.pins)
                pin, *hashes = extra.requirement.split()
        assert pin.startswith(f"{extra.name}==") and hashes
        assert all(one.startswith("--hash=sha256:") and len(one) == 14 + 64 for one in hashes)
        if extra.name != "bitsandbytes":
            assert pin in requirements.read("test")
    assert named == files
