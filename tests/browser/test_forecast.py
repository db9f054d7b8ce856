"""What a training will need is measured before its start, where that takes seconds; what would need less is set there."""

from __future__ import annotations

from pathlib import Path

import pytest

from lora_trainer.api import digests

from ..runs.harness import measuring
from .conftest import MODULE
from .real_api import fill_form, running

expect = pytest.importorskip("playwright.sync_api").expect

GB = 1 << 30
REPORT = {
    "device": "a card",
    "on_card": True,
    "measured": 1.0,
    "took": 20.0,
    "warnings": [],
    "memory": {
        "needed": 8 * GB,
        "free": 6 * GB,
        "total": 12 * GB,
        "fits": False,
        "tight": False,
        "estimated": True,
        "full_in": "step",
        "phases": [{"name": "loading", "peak": 5 * GB}, {"name": "step", "peak": 8 * GB}],
        "parts": {"model": 5 * GB, "working": 3 * GB},
        "others": [{"pid": 1, "name": "game.exe", "bytes": 4 * GB}],
        "savings": [
            {"values": {"gradient_checkpointing": True}, "needed": 5 * GB, "fits": True, "measured": True},
            {"values": {"train_batch_size": 2}, "needed": 7 * GB, "fits": False, "measured": False},
        ],
    },
    "time": {"total": 3700.0, "per_step": 1.25, "steps": 3000, "parts": {"loading": 12.0, "steps": 3688.0}},
    "files": {"one": 36 << 20, "count": 2, "state": 0, "states": 0, "needed": 72 << 20, "cached": 0},
}
FITS = {**REPORT, "memory": {**REPORT["memory"], "needed": 5 * GB, "fits": True, "savings": []}}


def test_what_is_measured_before_a_start_says_what_to_set_and_a_start_goes_on_when_it_fits(open_page, tmp_path, monkeypatch):
    monkeypatch.setattr(digests, "has_card", lambda: True)
    monkeypatch.setattr("lora_trainer.api.rehearsing.has_card", lambda: True)
    with running(tmp_path) as place:
        host, jobs = place.service.host, place.service.rehearsals.jobs

        def go():
            """Let the measuring that was asked for last go on; its folder comes a moment after the page shows it."""
            for _ in range(6000):
                if waiting := [folder for folder in jobs.folder.glob("*/") if not (folder / "go").exists()]:
                    return (max(waiting) / "go").touch()
                page.wait_for_timeout(10)
            raise AssertionError("nothing was begun")

        host.python = measuring(tmp_path / "bin", REPORT)
        page = open_page(place.address)
        fill_form(page, place)
        need = page.locator(".lt-need")
        train = page.locator(".lt-btn-train")
        expect(train).to_be_enabled()
        train.click()
        expect(need.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "50")
        expect(need).to_contain_text("Making the largest steps")
        go()
        expect(need).to_contain_text("It does not fit: about 8.0 GB are needed, 6.0 GB are free.")
        expect(need).to_contain_text("game.exe")
        expect(need).to_contain_text("1 h 1 min")
        assert not place.service.store.runs(), "what does not fit is not started without a word"
        small = need.locator(".lt-savings li", has_text="Batch size: 2")
        expect(small).to_contain_text("7.0 GB in all · computed")

        host.python = measuring(tmp_path / "bin", FITS)
        small.get_by_role("button", name="Measure").click()
        expect(need.get_by_role("progressbar")).to_be_visible()
        go()
        expect(small).to_contain_text("5.0 GB in all · measured · fits")
        small.get_by_role("button", name="Set").click()
        script = f'async () => {{ {MODULE} return (await module("train/values.js")).values.get("train_batch_size"); }}'
        assert page.evaluate(script) == 2, "the form has it"
        expect(need).to_contain_text("It fits: 5.0 GB of the 6.0 GB that are free.")  # this very draft was measured
        host.python = str(tmp_path / "bin" / "fails")
        Path(host.python).write_text("#!/bin/sh\necho 'all is lost'\nexit 3\n")
        Path(host.python).chmod(0o755)
        need.get_by_role("button", name="Measure again").click()
        expect(need).to_contain_text("all is lost")
        expect(need).not_to_contain_text("It fits")
        host.python = measuring(tmp_path / "bin", FITS)
        page.fill("#lt-max_train_steps", "77")
        expect(need).not_to_contain_text("all is lost")
        go()  # that one has ended, and is not what is waited for next
        expect(need.get_by_role("button", name="Measure memory and time")).to_be_enabled()
        expect(train).to_be_enabled()
        train.click()
        expect(need.get_by_role("button", name="Start without measuring")).to_be_visible()
        go()
        expect(page.locator(".lt-run-page")).to_be_visible()
        run = place.service.store.runs()[0]
        assert place.service.supervisor.folder(run.id).request()["forecast"] == {"needed": 5 * GB, "seconds": 3700.0}
