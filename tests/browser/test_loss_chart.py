"""The loss chart of a run's page."""

from __future__ import annotations

import time

import pytest

from .conftest import MODULE

expect = pytest.importorskip("playwright.sync_api").expect


def test_the_loss_on_pictures_kept_aside_is_drawn_and_read(open_page, address, api):
    api.add_run("r1", total=100)
    api.advance("r1", 10)
    page = open_page(address + "#lora-run=r1")
    key = page.locator(".lt-key-validation")
    expect(page.locator(".lt-run-under")).to_contain_text("10 / 100")
    expect(key).to_be_hidden()
    api.events["r1"].append({"type": "validation", "step": 10, "epoch": 1, "loss": 0.321, "time": time.time()})
    expect(key).to_be_visible()
    page.locator(".lt-chart-canvas").focus()
    page.keyboard.press("End")
    expect(page.locator(".lt-chart-tip")).to_contain_text("0.321")
    page.reload()  # the host tells it again
    expect(key).to_be_visible()


def test_a_hundred_thousand_steps_are_drawn_quickly(open_page, address):
    page = open_page(address)
    milliseconds = page.evaluate(
        "async () => {"
        + MODULE
        + """
        const { lossChart } = await module("runs/chart.js");
        const count = 100000, steps = Array.from({length: count}, (_, i) => i + 1);
        const chart = lossChart(new AbortController().signal);
        document.querySelector(".lt-app").append(chart.element);
        const data = {steps, loss: steps.map((i) => 0.1 + 0.05 * Math.sin(i * 1.7)), lr: steps.map(() => 1e-4), total: count};
        const times = [1, 2, 3].map(() => {  // the shortest: the machine may be busy with other tests
            const start = performance.now();
            chart.update(data);
            return performance.now() - start;
        });
        return Math.min(...times);
    }"""
    )
    assert milliseconds < 4000
