"""Starts without network: the first is held up by pip, the next ones are not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from lora_trainer.installing import retries, worker_packages
from lora_trainer.paths import ROOT_DIR


class Starts:
    """Starts of the Web UI one after the other; `tried` counts how often pip was called."""

    def __init__(self, root, monkeypatch) -> None:
        self.root, self.online, self.time, self.tried, self.said = root, False, 1e9, 0, []

        def pip(command, **_):
            self.tried += 1
            code, text = (0, "") if self.online else (1, "ERROR: Could not find a version (from versions: none)")
            return subprocess.CompletedProcess(command, code, "", text)

        monkeypatch.setattr(worker_packages.subprocess, "run", pip)

    def start(self, after=60.0, **how) -> int:
        """How often pip is called by a start so many seconds later."""
        before, self.time, self.said = self.tried, self.time + after, []
        retries.install_at_start(self.said.append, self.root, is_online=lambda: self.online, clock=lambda: self.time, **how)
        return self.tried - before


@pytest.fixture
def starts(tmp_path, monkeypatch):
    return Starts(tmp_path, monkeypatch)


def test_a_start_soon_after_one_that_failed_does_not_wait_for_pip_again(starts):
    assert starts.start() == 1
    assert "not installed yet" in starts.said[1] and "Could not find a version" in starts.said[1]
    assert [starts.start() for _ in range(5)] == [0] * 5
    assert "next full try" in starts.said[0] and "install.py" in starts.said[1] and retries.NOW in starts.said[1]


def test_it_is_tried_again_after_a_while_which_grows_to_a_day(starts):
    waits = []
    assert starts.start() == 1
    for _ in range(8):
        hours = 0.0
        while not starts.start(after=1800):
            hours += 0.5
        waits.append(hours + 0.5)
    assert waits == [1, 2, 4, 8, 16, 24, 24, 24]


def test_with_the_network_back_the_next_start_installs_and_then_nothing_is_left_to_do(starts):
    starts.start()
    starts.online = True
    assert starts.start() == 2 and worker_packages.is_complete("worker", starts.root)
    assert starts.start() == 0 and starts.said == []


def test_by_hand_it_is_tried_in_any_case(starts):
    starts.start()
    assert starts.start(now=True) == 1


def test_other_pins_are_tried_at_once(starts, monkeypatch):
    starts.start()
    monkeypatch.setattr(retries.requirements, "read", lambda group: ["another==1"])
    assert starts.start() == 1


@pytest.mark.parametrize("text", ["", "[]", "{", '{"failures": "x"}', '{"failures": 1}'])
def test_a_damaged_memory_is_no_memory(starts, text):
    starts.start()
    (starts.root / "worker-packages" / "failed.json").write_text(text)
    assert starts.start() == 1


def test_a_clock_that_was_set_back_does_not_put_it_off_for_good(starts):
    starts.start()
    assert starts.start(after=-1e8) == 1


def test_an_index_that_nobody_serves_is_found_out_at_once():
    environment = {**os.environ, "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PYTHONPATH": str(ROOT_DIR)}
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        environment.pop(name, None)
    code = "from lora_trainer.installing.retries import index_answers; print(index_answers())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout == "False\n", done.stderr
