"""Fixtures for all rooms."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lora_trainer import repeatable
from lora_trainer.log import logger

repeatable.set_up()  # as in every process of the program; before a test imports torch


@pytest.fixture(autouse=True)
def untouched_logger() -> Iterator[None]:
    """Give every test the logger as it is before log.setup, whose handlers keep a stream that pytest closes."""
    logger.handlers[:] = []
    logger.propagate = True
    logger.setLevel(logging.NOTSET)
    yield
    logger.handlers[:] = []


@pytest.fixture(scope="session")
def tiny_sd1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SD1 checkpoint (tests/tiny.py), made once a session. Never write to it or beside it."""
    from tests.tiny import make_checkpoint

    return make_checkpoint(tmp_path_factory.mktemp("tiny") / "tiny.safetensors")


@pytest.fixture(scope="session")
def tiny_model(tiny_sd1: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """tiny_model(family): a tiny checkpoint of tests.tiny.FAMILIES, made once a session. Never write to it or beside it."""
    from tests.tiny import make_checkpoint

    folder, made = tmp_path_factory.mktemp("families"), {"sd1": tiny_sd1}

    def make(family: str) -> Path:
        if family not in made:
            made[family] = make_checkpoint(folder / f"{family}.safetensors", family)
        return made[family]

    return make


@pytest.fixture
def hub_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Without a way to Hugging Face, and what was fetched before in the folder that this gives."""
    from huggingface_hub import constants
    from huggingface_hub.utils import reset_sessions

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    reset_sessions()  # a thread keeps its connections, and with them whether they lead out
    yield tmp_path
    reset_sessions()


LONG = "LORA_TRAINER_LONG"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The suite has its 25 minutes: what takes minutes and is shown by numbers elsewhere, too, is run when it is asked for."""
    if os.environ.get(LONG):
        return
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason=f"takes minutes; {LONG}=1 runs it, as python -m benchmarks.outcomes does"))


# CI sets this: a run in which no browser test passed (no Chromium, tests not found) has then failed.
REQUIRE_BROWSER = "LORA_TRAINER_REQUIRE_BROWSER"
_passed_in_browser: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and report.passed and "browser" in report.keywords:
        _passed_in_browser.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if hasattr(session.config, "workerinput"):
        return  # one of several processes; the one that gathers their reports decides
    if os.environ.get(REQUIRE_BROWSER) and not _passed_in_browser and not session.config.option.collectonly:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        reporter.write_line(f"\nno browser test passed, and {REQUIRE_BROWSER} is set: install chromium", red=True)
