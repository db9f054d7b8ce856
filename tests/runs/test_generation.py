"""Asking for pictures, with a process that draws nothing."""

import os
import time

import pytest

from lora_trainer.errors import HostError, InputError
from lora_trainer.hosts.fake import FakeHost
from lora_trainer.runs.generation import OVER, Generation
from lora_trainer.runs.lending import Standing

from . import harness

FREE, TAKEN = Standing(is_free=True), Standing()
pytestmark = pytest.mark.skipif(os.name != "posix", reason="the fake worker is started by a shell script")


@pytest.fixture
def generation(tmp_path):
    host = FakeHost(tmp_path)
    host.python = harness.fake_python(tmp_path / "bin")
    made = Generation(host, tmp_path / "generated", standing=lambda: made.card)
    made.card = FREE
    yield made
    made.release_card()


def wait(generation, request_id, *states):
    end = time.monotonic() + 200
    while generation.status(request_id)["state"] not in states:
        assert time.monotonic() < end, generation.status(request_id)
        time.sleep(0.02)
    return generation.status(request_id)


def test_pictures_are_drawn_one_request_after_the_other_by_one_process(generation):
    first, second = generation.submit({"prompt": "a"}), generation.submit({"prompt": "b"})
    server = generation._server()
    assert wait(generation, first, *OVER)["images"][0]["prompt"] == "a"
    assert wait(generation, second, *OVER)["images"][0]["prompt"] == "b"
    assert generation._server() == server
    assert generation.file(first, "0.png").read_bytes()
    assert generation.active() is None
    for name in ("../status.json", "status.json", "1.png", ".."):
        assert generation.file(first, name) is None


def test_stop_breaks_a_request_off(generation):
    request_id = generation.submit({"prompt": "wait"})
    wait(generation, request_id, "running")
    assert generation.active() == request_id
    generation.stop(request_id)
    assert wait(generation, request_id, *OVER)["state"] == "stopped"


def test_a_process_that_dies_fails_the_request_with_its_last_lines_and_the_next_one_works(generation):
    status = wait(generation, generation.submit({"prompt": "die"}), *OVER)
    assert status["state"] == "failed"
    assert "out of something" in status["message"]
    for path in (generation.folder / "requests").glob("*.json"):
        path.unlink()  # the real server marks what an earlier one began
    assert wait(generation, generation.submit({"prompt": "again"}), *OVER)["state"] == "finished"


def test_a_request_that_came_as_the_idle_process_left_starts_another(generation):
    assert wait(generation, generation.submit({"prompt": "leave"}), *OVER)["state"] == "finished"


def test_a_training_that_begins_gets_the_card_and_requests_wait_until_it_leaves_it(generation):
    request_id = generation.submit({"prompt": "wait"})
    wait(generation, request_id, "running")
    generation.card = TAKEN
    generation.release_card()
    assert not generation._is_alive()
    for path in (generation.folder / "requests").glob("*.json"):
        path.unlink()  # the real server marks what it broke off
    waiting = generation.submit({"prompt": "a"})
    generation.tick()
    assert not generation._is_alive() and generation.wants_card()
    status = generation.status(waiting)
    assert status["state"] == "waiting" and "make room" in status["message"]
    generation.card = FREE
    generation.tick()
    assert wait(generation, waiting, *OVER)["state"] == "finished"
    assert not generation._is_open(waiting)


def test_a_training_that_cannot_leave_the_card_fails_the_request_with_its_reason(generation):
    generation.card = TAKEN
    request_id = generation.submit({"prompt": "a"})
    generation.card = Standing(refusal="no room")
    generation.tick()
    status = generation.status(request_id)
    assert (status["state"], status["message"]) == ("failed", "no room") and not generation.wants_card()


def test_a_process_that_cannot_start_while_a_training_waits_is_not_started_for_ever(generation):
    generation.card = TAKEN
    request_id = generation.submit({"prompt": "leave"})
    generation.card = FREE
    generation._host.python = "/bin/false"
    end = time.monotonic() + 200
    while generation.wants_card() and time.monotonic() < end:
        generation.tick()
        time.sleep(0.02)
    assert generation.status(request_id)["state"] == "failed" and generation._starts[request_id] == 3


def test_what_lies_on_the_card_is_sent_off_it_but_not_while_pictures_are_made(generation):
    assert generation.leave_card(), "there is no server"
    request_id = generation.submit({"prompt": "wait"})
    wait(generation, request_id, "running")
    assert not generation.leave_card()
    generation.stop(request_id)
    wait(generation, request_id, *OVER)
    assert generation.leave_card() and generation._is_alive() and not (generation.folder / "off").exists()


def test_unknown_requests_are_refused(generation):
    for request_id in ("nothing", "..", "20200101-000000-abcdef"):
        with pytest.raises(InputError, match="no request"):
            generation.status(request_id)


def test_a_server_that_cannot_be_started_is_a_clear_error(generation):
    generation._host.python = "/nowhere/python"
    with pytest.raises(HostError, match="could not be started"):
        generation.submit({"prompt": "a"})
