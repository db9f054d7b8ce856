"""The Tools page's routes: what can be chosen, what is refused, and a tool from the request to the file."""

import json
import math
import random
import re
import struct
import sys
import time
from array import array
from importlib.util import find_spec

import pytest

from lora_trainer.options import tool_cli
from lora_trainer.options.tool_page import TOOLS, arguments, page_tools
from lora_trainer.runs.tool_jobs import progress_in

from .conftest import API, get, picture, post
from .test_runs import posix

LAYER = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"


def make_lora(path, rank=8, seed=0):
    """A LoRA of one layer, 320 x 320, written byte by byte: importing torch takes longer than all of these tests."""
    draw = random.Random(seed)
    shapes = {"lora_down.weight": [rank, 320], "lora_up.weight": [320, rank], "alpha": []}
    header, data = {}, b""
    for part, shape in shapes.items():
        values = array("f", [draw.gauss(0, 0.1) for _ in range(math.prod(shape))] if shape else [float(rank)])
        offsets = [len(data), len(data) + 4 * len(values)]
        header[f"{LAYER}.{part}"] = {"dtype": "F32", "shape": shape, "data_offsets": offsets}
        data += values.tobytes()
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def shape_of(path, part):
    data = path.read_bytes()
    return json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])[f"{LAYER}.{part}"]["shape"]


needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="the tools need torch")


@pytest.fixture
def loras(host):
    """Two small LoRAs, of rank 8 and 4, one of them in a sub-folder; the tools run in this interpreter."""
    host.python = sys.executable
    folder = host.paths().lora_dir
    return make_lora(folder / "frog.safetensors"), make_lora(folder / "styles" / "ink.safetensors", rank=4, seed=1)


def run(client, service, tool, values, output="small", **more):
    answer = post(client, "tools", {"tool": tool, "values": values, "output": output, **more})
    assert answer.status_code == 201, answer.text
    service.tools.wait(answer.json()["id"], 300)
    return get(client, f"tools/{answer.json()['id']}").json()


def problems(client, body):
    answer = post(client, "tools", body)
    assert answer.status_code == 422, answer.text
    return {one["field"]: one["message"] for one in answer.json()["problems"]}


def test_the_table_names_options_that_there_are_in_both_languages():
    english, korean = page_tools("en"), page_tools("ko")
    assert json.loads(json.dumps(english)) == english
    for tool, other, declared in zip(english, korean, TOOLS, strict=True):
        assert set(declared.required) <= set(declared.fields)
        assert tool["title"] and other["title"] and tool["help"] != other["help"]
        for one, two in zip(tool["fields"], other["fields"], strict=True):
            assert one["help"] and two["help"] != one["help"] and (one["name"], one["kind"]) == (two["name"], two["kind"])


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_each_command_line_is_one_that_the_tool_takes(tool, tmp_path):
    files = {kind: {"a": tmp_path / "a.safetensors", "b": tmp_path / "b.safetensors"} for kind in ("lora", "checkpoint")}
    for path in files["lora"].values():
        path.touch()
    given = {"model": "a", "sd_model": "a", "model_org": "a", "model_tuned": "b", "unit": "4", "to": "peft", "concat": True}
    given |= {"models": [{"name": "b", "ratio": "-0.00001"}, {"name": "a", "ratio": 2}], "save_precision": "bf16", "dim": 7}
    given |= {"train_data_dir": str(tmp_path), "existing_captions": "after", "thresh": "0.5", "undesired_tags": "--a, b"}
    given |= {"repo_id": "some/tagger", "caption_weights": str(tmp_path), "tag_replacement": "a,b", "num_beams": 2}
    given |= {"new_rank": "16", "new_conv_rank": "", "kept_energy": "0.5", "dynamic_method": "sv_fro", "dynamic_param": "0.9"}
    given |= {"folder": str(tmp_path), "show": True}
    given |= {"in_json": str(files["lora"]["a"]), "out_json": str(tmp_path / "new.json"), "caption_extension": ".tags"}
    if any(shown.kind == "path" for shown in tool.shown):  # typed, not chosen from a list
        given["model"] = str(files["lora"]["a"])
    words = arguments(tool, {name: given.get(name) for name in tool.fields}, files)
    words += ["--save_to", str(tmp_path / "c.safetensors")] if tool.writes in ("lora", "checkpoint") else []
    options = tool_cli.parse(tool.declared, tool.command, words)
    for name in tool.fields:
        if name == "models":
            assert options.models == (str(files["lora"]["b"]), str(files["lora"]["a"])) and options.ratios == (-1e-5, 2.0)
        elif given.get(name) in ("a", "b"):
            assert getattr(options, name) == str(files["lora"][given[name]])
        elif given.get(name) is not None or tool.writes not in (
            "captions",
            "metadata",
        ):  # else what the command line has without it
            assert str(getattr(options, name)) == str(given.get(name) or None), name


def test_the_page_is_told_what_can_be_chosen(client, loras):
    view = get(client, "tools").json()
    assert view["loras"] == ["frog.safetensors", "styles/ink.safetensors"]
    assert view["checkpoints"] == ["base"] and view["active"] is None
    assert [one["name"] for one in view["spec"]["ko"]] == [tool.name for tool in TOOLS]


@pytest.mark.parametrize("name", ["../x", "a/b", "..", "", "CON", "a:b", "a\\b", "\0", " a", None, 3, ["a"]])
def test_a_result_has_a_plain_name(client, service, loras, name):
    body = {"tool": "resize_lora", "values": {"model": "frog.safetensors"}, "output": name}
    assert set(problems(client, body)) == {"output"}
    assert not list(service.paths.tools.glob("*"))


@pytest.mark.parametrize(
    "name", ["../models/base.safetensors", "/etc/passwd", "frog", "gone.safetensors", "base", 3, ["frog.safetensors"], {}]
)
def test_only_listed_files_are_read(client, tmp_path, loras, name):
    refused = problems(client, {"tool": "resize_lora", "values": {"model": name}, "output": "x"})["model"]
    assert refused.startswith(("There is no file", "Nothing is chosen"))
    whole = str(tmp_path / "models" / "base.safetensors")
    body = {"tool": "check_lora", "values": {"model": "frog.safetensors", "sd_model": whole}}
    assert "sd_model" in problems(client, body)


def test_everything_that_is_wrong_is_told_at_once_and_nothing_starts(client, service, loras):
    values = {"models": [{"name": "frog.safetensors", "ratio": "much"}], "new_rank": 0, "kept_energy": "1.5", "nwe_rank": 4}
    found = problems(client, {"tool": "svd_merge_lora", "values": values, "output": "a/b"})
    assert set(found) == {"models", "new_rank", "kept_energy", "nwe_rank", "output"}
    resize = {"model": "frog.safetensors", "dynamic_method": "sv_fro", "dynamic_param": ""}
    assert set(problems(client, {"tool": "resize_lora", "values": resize, "output": "x"})) == {"dynamic_param"}
    for models in ("frog", [3], [{}], [{"name": "frog.safetensors"}], [{"name": "frog.safetensors", "ratio": 1}] * 33):
        assert "models" in problems(client, {"tool": "svd_merge_lora", "values": {"models": models}, "output": "x"})
    assert not list(service.paths.tools.glob("*"))
    for body in (
        {},
        {"tool": "rm"},
        {"tool": "resize_lora"},
        {"tool": ["x"], "values": {}},
        {"tool": "check_lora", "values": 3},
    ):
        assert post(client, "tools", body).status_code == 400


def test_an_existing_file_stays_unless_overwriting_is_asked(client, host, loras):
    taken = make_lora(host.paths().lora_dir / "taken.safetensors")
    before = taken.read_bytes()
    body = {"tool": "resize_lora", "values": {"model": "frog.safetensors"}, "output": "taken"}
    assert "already" in problems(client, body)["output"]
    assert post(client, "tools", {**body, "overwrite": "yes"}).status_code == 400
    assert taken.read_bytes() == before


def test_missing_packages_are_told(client, host, loras):
    from lora_trainer.hosts.base import HostProblem

    host.missing = [HostProblem(message="torch is missing.")]
    answer = post(client, "tools", {"tool": "check_lora", "values": {"model": "frog.safetensors"}})
    assert answer.status_code == 409 and answer.json()["error"]["message"] == "torch is missing."


@needs_torch
def test_from_the_request_to_the_file(client, service, host, loras):
    done = run(client, service, "resize_lora", {"model": "frog.safetensors", "new_rank": "2"})
    path = host.paths().lora_dir / "small.safetensors"
    assert done["state"] == "finished", done
    assert done["command"].startswith("python -m lora_trainer resize_lora --model ") and str(path) in done["command"]
    assert [one["name"] for one in done["files"]] == ["small.safetensors"]
    assert done["files"][0]["prompt"] == "<lora:small:0.8>"
    assert client.get(API + done["files"][0]["url"]).content == path.read_bytes()
    assert get(client, f"tools/{done['id']}/file/job.json").status_code == 404
    assert host.calls == [("lora_changed", path)]
    assert get(client, "tools").json()["active"] is None
    assert shape_of(path, "lora_down.weight") == [2, 320]


@needs_torch
def test_the_tools_own_message_is_told_and_a_check_brings_its_picture(client, service, host, loras):
    models = [{"name": "frog.safetensors", "ratio": "1"}, {"name": "styles/ink.safetensors", "ratio": "0.5"}]
    failed = run(client, service, "merge_lora", {"models": models})
    assert failed["state"] == "failed" and "rank" in failed["message"] and failed["files"] == []
    assert failed["message"] not in failed["log"]
    assert host.calls == [] and not (host.paths().lora_dir / "small.safetensors").exists()
    checked = run(client, service, "check_lora", {"model": "styles/ink.safetensors"})
    assert checked["state"] == "finished" and "rank" in checked["log"], checked
    (picture,) = checked["files"]
    assert client.get(API + picture["url"]).headers["content-type"] == "image/png"


@needs_torch
def test_caches_are_shown_and_removed_on_the_page(client, service, host, loras, tmp_path):
    kept = tmp_path / "frogs" / ".lora_trainer_cache"
    kept.mkdir(parents=True)
    (kept / "0.png-1.safetensors").write_bytes(bytes(1_500_000))
    (tmp_path / "frogs" / "0.png").write_bytes(b"a picture")
    shown = run(client, service, "clear_cache", {"folder": str(tmp_path), "show": True})
    assert shown["state"] == "finished" and shown["files"] == []
    assert shown["report"] == [{"level": "info", "message": "Kept on the disk: 1 file, 1.5 MB."}]
    told = client.get(f"{API}tools/{shown['id']}", headers={"Accept-Language": "ko"}).json()["report"]
    assert told[0]["message"] == "디스크에 남아 있습니다: 파일 1개, 1.5 MB."
    (tool,) = [one for one in get(client, "tools").json()["spec"]["en"] if one["name"] == "clear_cache"]
    assert shown["writes"] == tool["writes"] == "removal", "no report that finds nothing wrong"
    assert tool["confirm"]["unless"] == "show" and "Remove" in tool["confirm"]["question"]
    removed = run(client, service, "clear_cache", {"folder": str(tmp_path), "show": False})
    assert [one["message"] for one in removed["report"]] == ["Removed: 1 file, 1.5 MB."]
    assert not kept.exists() and (tmp_path / "frogs" / "0.png").exists()


@pytest.fixture
def pretend(host, loras, tmp_path):
    """A function that puts some code in place of every tool; `target` is the path that it is to write."""

    def put(code):
        start = "import pathlib, sys, time\ntarget = pathlib.Path(sys.argv[sys.argv.index('--save_to') + 1])\n"
        (tmp_path / "tool.py").write_text(start + code)
        shell = tmp_path / "python"
        shell.write_text(f'#!/bin/sh\nshift 2\nexec "{sys.executable}" "{tmp_path / "tool.py"}" "$@"\n')
        shell.chmod(0o755)
        host.python = str(shell)

    return put


@posix
def test_a_checkpoint_goes_to_the_checkpoints(client, service, host, pretend):
    pretend("target.write_bytes(b'x')")
    values = {"sd_model": "base", "models": [{"name": "frog.safetensors", "ratio": 1}], "save_precision": "fp16"}
    done = run(client, service, "merge_into_checkpoint", values, output="base-frog")
    assert (host.folder / "models" / "base-frog.safetensors").read_bytes() == b"x"
    assert [(one["name"], one["prompt"]) for one in done["files"]] == [("base-frog.safetensors", "")]
    assert host.calls == [("checkpoints_changed", host.folder / "models" / "base-frog.safetensors")]
    assert set(get(client, "tools").json()["checkpoints"]) == {"base", "base-frog"}


@posix
def test_of_a_split_the_new_files_are_the_result(client, service, host, pretend):
    folder = host.paths().lora_dir
    make_lora(folder / "small-0004.safetensors"), make_lora(folder / "small-0016.safetensors")
    pretend("[target.with_name(f'{target.stem}-{rank:04d}.safetensors').write_bytes(b'x') for rank in (4, 8)]")
    done = run(client, service, "extract_lora_from_dylora", {"model": "frog.safetensors", "unit": 4}, overwrite=True)
    new = ["small-0004.safetensors", "small-0008.safetensors"]
    assert [one["name"] for one in done["files"]] == new
    assert host.calls == [("lora_changed", folder / name) for name in new]


@posix
def test_a_tool_that_breaks_is_told_with_its_last_lines(client, service, host, pretend):
    pretend("print('reading'); raise MemoryError('too large')")
    failed = run(client, service, "resize_lora", {"model": "frog.safetensors"})
    assert failed["state"] == "failed"
    assert "(exit code 1)" in failed["message"] and failed["message"].endswith("MemoryError: too large")
    assert "reading" in failed["log"]


@posix
def test_a_tool_can_be_cancelled_leaves_no_halves_and_one_runs_at_a_time(client, service, host, pretend):
    pretend(
        "target.with_name(target.name + '.abc.tmp').write_bytes(b'half')\n"
        "print('12:00:00 INFO    3 / 9', file=sys.stderr, flush=True)\n"
        "time.sleep(900)\n"
    )
    body = {"tool": "resize_lora", "values": {"model": "frog.safetensors"}, "output": "small"}
    job = post(client, "tools", body).json()["id"]
    deadline = time.monotonic() + 200
    while get(client, f"tools/{job}").json()["total"] != 9:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert get(client, f"tools/{job}").json()["done"] == 3
    assert get(client, "tools").json()["active"] == job
    assert post(client, "tools", body).status_code == 409
    post(client, f"tools/{job}/stop")
    service.tools.wait(job, 300)
    ended = get(client, f"tools/{job}").json()
    assert (ended["state"], ended["files"]) == ("stopped", [])
    assert not list(host.paths().lora_dir.glob("*.tmp")) and host.calls == []


def test_another_host_tells_the_end_of_a_job_from_its_result(client, service, host, loras):
    """As after a restart of the host: the process is nobody's child, and has ended."""
    folder = service.paths.tools / "20260101-000000-abcdef"
    folder.mkdir(parents=True)
    job = {"tool": "resize_lora", "writes": "lora", "target": str(loras[0]), "words": ["resize_lora"], "started": 0.0}
    (folder / "worker.json").write_text(json.dumps({"pid": 2**22 + 5, "group": 2**22 + 5, "mark": "ended"}))
    for name, before, state in (("written", {}, "finished"), ("not", {"frog.safetensors": None}, "failed")):
        before = before and {"frog.safetensors": loras[0].stat().st_mtime_ns}
        other = folder.with_name(folder.name[:-1] + name[0].replace("w", "1").replace("n", "2"))
        other.mkdir()
        (other / "worker.json").write_bytes((folder / "worker.json").read_bytes())
        (other / "job.json").write_text(json.dumps({**job, "before": before}))
        assert get(client, f"tools/{other.name}").status_code == 200
        service.tools.wait(other.name, 300)
        assert get(client, f"tools/{other.name}").json()["state"] == state


def test_a_long_report_is_shown_from_its_beginning(client, service):
    folder = service.paths.tools / "20260101-000000-abcdef"
    folder.mkdir(parents=True)
    (folder / "job.json").write_text(json.dumps({"tool": "check_lora", "writes": "", "words": ["check_lora"]}))
    (folder / "outcome.json").write_text(json.dumps({"state": "finished", "message": ""}))
    (folder / "log.txt").write_text("\n".join(["LoRA for SDXL", *(f"PROBLEM: layer {i}" for i in range(400))]))
    lines = get(client, f"tools/{folder.name}").json()["log"].splitlines()
    assert lines[0] == "LoRA for SDXL" and lines[-1] == f"… and {401 - len(lines) + 1} more lines"


@pytest.mark.parametrize("job", ["x", "..", "20260101-000000-abcdef", "%2e%2e"])
def test_unknown_jobs(client, job):
    for path in (f"tools/{job}", f"tools/{job}/file/job.json"):
        assert get(client, path).status_code in {400, 404}


def test_progress_is_read_from_its_lines_alone():
    assert progress_in("12:00:00 INFO    3 / 9\nfoo 4 / 9\n12:00:01 INFO    5 / 9\nwritten") == (5, 9)
    assert progress_in("a / b") == (0, 0)


def test_the_page_knows_a_first_name_for_the_result_of_every_tool(client):
    for tool in get(client, "tools").json()["spec"]["en"]:
        names = {field["name"] for field in tool["fields"]}
        asked = re.findall(r"\{(\w+)\}", " ".join(tool["suggest"]))
        assert tool["writes"] in ("", "captions", "metadata", "removal") or (asked and set(asked) <= names), tool["name"]


def test_a_number_of_0_is_held_against_its_bounds_and_not_called_missing(client, host):
    make_lora(host.paths().lora_dir / "frog.safetensors")
    for unit in (0, "0"):
        body = {"tool": "extract_lora_from_dylora", "values": {"model": "frog.safetensors", "unit": unit}, "output": "x"}
        (said,) = post(client, "tools", body).json()["problems"]
        assert said["field"] == "unit" and "too small" in said["message"]


@needs_torch
def test_a_metadata_file_is_made_cleaned_and_kept_inside_the_folders(client, service, host, tmp_path):
    host.python = sys.executable
    folder = tmp_path / "frogs"
    folder.mkdir()
    (folder / "a.png").write_bytes(picture())
    (folder / "a.txt").write_text("1girl, long_hair")
    values = {"train_data_dir": str(folder), "out_json": str(folder / "meta.json"), "full_path": True}
    job = run(client, service, "merge_tags", values, output=None)
    assert job["state"] == "finished", job
    assert [one["message"] for one in job["report"]] == [
        f"The tags of 1 image were written into {folder / 'meta.json'}, which names 1 image."
    ]
    names = {"in_json": str(folder / "meta.json"), "out_json": str(folder / "clean.json")}
    cleaned = run(client, service, "clean_metadata", names, output=None)
    assert cleaned["report"][0]["message"].endswith("names 1 image; captions and lists of tags that were changed: 1.")
    assert json.loads((folder / "clean.json").read_text()) == {str(folder / "a.png"): {"tags": "1girl, long hair"}}
    host.folders = host.paths().all
    for tool, given in (("merge_tags", values), ("clean_metadata", names)):
        answer = post(client, "tools", {"tool": tool, "values": given})
        assert answer.status_code in (400, 422) and "may look into" in answer.text, answer.text
