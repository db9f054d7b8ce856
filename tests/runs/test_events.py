import json
import os
import time

import pytest

from lora_trainer.errors import StoreError
from lora_trainer.log import logger
from lora_trainer.runs import control
from lora_trainer.runs.events import ConsoleReporter, EventWriter, RunReporter, read_events
from lora_trainer.runs.folder import RunFolder, create


def test_events_come_back_in_order_from_any_offset(tmp_path):
    path = tmp_path / "events.jsonl"
    writer = EventWriter(path)
    writer.write({"type": "step", "step": 1})
    first, offset = read_events(path)
    writer.write({"type": "step", "step": 2})
    second, end = read_events(path, offset)
    assert [event["step"] for event in first + second] == [1, 2]
    assert read_events(path, end) == ([], end)
    assert first[0]["time"] == pytest.approx(time.time(), abs=5)


def test_a_half_written_last_line_waits_for_its_end(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"type":"a"}\n{"type":"b"')
    events, offset = read_events(path)
    assert [event["type"] for event in events] == ["a"]
    with path.open("ab") as file:
        file.write(b"}\n")
    assert [event["type"] for event in read_events(path, offset)[0]] == ["b"]


def test_lines_that_are_no_events_are_skipped(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'nonsense\n[1]\n{"no": "type"}\n\xff\xfe\n\n{"type":"a"}\n')
    assert [event["type"] for event in read_events(path)[0]] == ["a"]


def test_an_offset_beyond_the_end_starts_again(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"type":"a"}\n')
    assert read_events(path, 1000)[0]
    assert read_events(path, -3)[0]
    assert read_events(tmp_path / "missing", 7) == ([], 0)


def test_a_long_file_is_read_in_parts_without_losing_a_line(tmp_path):
    path = tmp_path / "events.jsonl"
    writer = EventWriter(path)
    for number in range(50):
        writer.write({"type": "x", "number": number, "filling": "é" * number})
    found, offset = [], 0
    while True:
        events, end = read_events(path, offset, limit=100)
        if end == offset:
            break
        found, offset = found + events, end
    assert [event["number"] for event in found] == list(range(50))


def test_a_new_writer_closes_the_line_that_a_killed_one_left(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"type":"cut o')
    EventWriter(path).write({"type": "whole"})
    assert [event["type"] for event in read_events(path)[0]] == ["whole"]


def test_numbers_that_json_does_not_know_become_null(tmp_path):
    path = tmp_path / "events.jsonl"
    EventWriter(path).write({"type": "step", "loss": float("nan"), "lr": {"unet": float("inf")}, "path": tmp_path})
    line = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(name))
    assert (line["loss"], line["lr"], line["path"]) == (None, {"unet": None}, str(tmp_path))


@pytest.fixture
def folder(tmp_path):
    return create(tmp_path / "run", config="", dataset="", prompts="", request={"name": "frog"})


def test_the_reporter_sees_what_the_host_asks(folder, monkeypatch):
    monkeypatch.setattr("lora_trainer.runs.events._SECONDS_BETWEEN_LOOKS", 0.0)
    reporter = RunReporter(folder.path)
    assert reporter.control() == control.Control()
    control.ask(folder.control, save=True)
    control.ask(folder.control, save=True, sample=True)
    assert reporter.control() == control.Control(save=2, sample=1)
    control.ask(folder.control, stop=True)
    assert reporter.control() == control.Control(stop=True, save=2, sample=1)
    assert folder.heartbeat.exists()


def test_asking_costs_next_to_nothing_at_every_step(folder):
    reporter = RunReporter(folder.path)
    reporter.control()
    began = time.process_time()
    for _ in range(1000):
        reporter.control()
    assert (time.process_time() - began) / 1000 < 1e-4


def test_a_damaged_control_file_asks_nothing(folder):
    for text in ("", "{", "[]", '{"save": "x"}'):
        folder.control.write_text(text)
        assert control.read_control(folder.control) == control.Control()


def test_a_worker_may_follow_a_dead_one_but_not_join_a_living_one(folder):
    init = {"pid": 1, "group": 1, "mark": "a process that is gone"}
    (folder.path / "worker.json").write_text(json.dumps(init))
    RunReporter(folder.path)
    assert folder.worker().pid == os.getpid()
    from lora_trainer.runs.process import start_mark

    (folder.path / "worker.json").write_text(json.dumps({**init, "mark": start_mark(1)}))
    with pytest.raises(StoreError, match="Another worker"):
        RunReporter(folder.path)


def test_a_run_that_shall_not_outlive_its_host_stops_when_it_is_gone(tmp_path, monkeypatch):
    monkeypatch.setattr("lora_trainer.runs.events._SECONDS_BETWEEN_LOOKS", 0.0)
    folder = create(tmp_path / "run", config="", dataset="", prompts="", request={"when_host_ends": "stop"})
    reporter = RunReporter(folder.path)
    folder.host_heartbeat.touch()
    assert not reporter.control().stop
    long_ago = time.time() - 121
    os.utime(folder.host_heartbeat, (long_ago, long_ago))
    assert reporter.control().stop


def test_files_outside_the_run_are_not_found(folder):
    (folder.samples / "1.png").write_bytes(b"x")
    (folder.path.parent / "secret.png").write_bytes(b"x")
    (folder.samples / "link.png").symlink_to(folder.path.parent / "secret.png")
    assert folder.file("1.png") == folder.samples / "1.png"
    for name in ("../secret.png", "..", "", ".", "samples/1.png", "..\\secret.png", "link.png", "request.json", "worker.json"):
        assert folder.file(name) is None, name


def test_the_log_ends_with_its_last_lines_and_progress_bars_are_resolved(folder):
    folder.log.write_bytes(b"".join(f"line {n}\n".encode() for n in range(100)) + b"10%\r50%\r100%\nend \xff\n")
    assert folder.log_tail(3) == "line 99\n100%\nend �"
    assert RunFolder(folder.path / "nowhere").log_tail() == ""


def test_a_run_folder_is_never_made_over_another(folder):
    with pytest.raises(StoreError, match="is there already"):
        create(folder.path, config="", dataset="", prompts="", request={})


def test_a_phase_told_again_with_another_time_left_is_one_line_in_the_log(monkeypatch):
    lines = []
    monkeypatch.setattr(logger, "info", lambda text, *values: lines.append(text % values))
    reporter = ConsoleReporter(seconds=0)
    for left in (30.0, 20.0, 10.0):
        reporter.emit({"type": "phase", "name": "drawing samples", "done": 1, "total": 1, "seconds_left": left})
    reporter.emit({"type": "phase", "name": "training", "done": 0, "total": 0})
    for name in ("saving x.safetensors", ""):  # told by what comes of it
        reporter.emit({"type": "phase", "name": name, "done": 0, "total": 0, "aside": True})
    reporter.emit({"type": "phase", "name": "drawing samples", "done": 1, "total": 1})
    assert lines == ["drawing samples 1/1", "training", "drawing samples 1/1"]


def test_without_a_card_the_log_speaks_of_none(monkeypatch):
    lines = []
    monkeypatch.setattr(logger, "info", lambda text, *values: lines.append(text % values))
    reporter = ConsoleReporter(seconds=0)
    for device in ("CPU", "NVIDIA RTX 3060"):
        reporter.emit({"type": "started", "device": device, "total_steps": 4, "epochs": 1})
        reporter.emit({"type": "parked", "step": 1})
    assert lines[1::2] == ["waiting", "waiting off the card"]


def test_the_console_says_first_and_last_step_but_not_each(monkeypatch):
    lines = []
    monkeypatch.setattr(logger, "info", lambda text, *values: lines.append(text % values))
    reporter = ConsoleReporter(seconds=60)
    reporter.emit({"type": "started", "device": "cpu", "total_steps": 9, "epochs": 1})
    reporter._last_line = -1e9
    for step in range(1, 10):
        reporter.emit({"type": "step", "step": step, "loss": 0.5})
    reporter.emit({"type": "finished", "reason": "done", "step": 9, "path": "x.safetensors"})
    assert lines == [
        "training on cpu: 9 steps, 1 epochs",
        "step 1/9, loss 0.5000",
        "step 9/9, loss 0.5000",
        "finished at step 9: x.safetensors",
    ]
    assert not reporter.control().stop


def test_a_card_lent_to_a_host_that_is_gone_is_taken_back_but_a_pause_stays(folder, monkeypatch):
    reporter = RunReporter(folder.path)
    monkeypatch.setattr("lora_trainer.runs.events._SECONDS_BETWEEN_LOOKS", 0.0)
    folder.beat(of_host=True)
    control.ask(folder.control, park=True)
    assert reporter.control().is_off_the_card
    os.utime(folder.host_heartbeat, (1.0, 1.0))
    assert not reporter.control().is_off_the_card
    folder.beat(of_host=True)
    assert reporter.control().is_off_the_card, "it only slept, and waits for the card"
    control.ask(folder.control, park=False, share=True)
    assert reporter.control().is_shared and not reporter.control().is_off_the_card
    os.utime(folder.host_heartbeat, (1.0, 1.0))
    assert not reporter.control().is_shared and not reporter.control().is_off_the_card
    folder.beat(of_host=True)
    control.ask(folder.control, park=True, share=False)
    assert reporter.control().is_off_the_card
    control.ask(folder.control, paused=True)
    os.utime(folder.host_heartbeat, (1.0, 1.0))
    assert reporter.control().is_off_the_card and reporter.control().paused
    reporter.close()
