"""Whatever is typed as a path, and whatever lies in the folders, the page gets an answer: no 500, no traceback."""

from __future__ import annotations

import json
import struct

import pytest
import torch
from safetensors.torch import save_file

from lora_trainer.options import OPTIONS
from lora_trainer.options.simple import SIMPLE

from .conftest import API, get, post

ODD_PATHS = [
    "x" * 5000,
    "x/" * 2500,
    "/" + "é" * 4000,
    "a\0b",
    "~nobody-is-called-so/x",
    " ",
    "\\\\?\\",
    "x" * 300 + ".safetensors",
]
FIELDS = ("image_dir", "reg_dir", "pretrained_model_name_or_path", "vae", "network_weights", "output_dir", "sample_prompts")


def header(content: bytes) -> bytes:
    return struct.pack("<Q", len(content)) + content


BROKEN = {
    "deep.safetensors": header(b"[" * 5000),
    "text.safetensors": header(b'{"__metadata__": "text"}'),
    "list.safetensors": header(b'{"__metadata__": [1, 2]}'),
    "number.safetensors": header(b'{"__metadata__": {"ss_network_dim": 4}}'),
    "half.safetensors": header(b'{"__metadata__": {"ss_network_dim": "\\ud800"}}'),
    "endless.safetensors": header(b"9" * 5000),
    "cut.safetensors": b"\x10",
    "code.pt": b"cos\nsystem\n(S'x'\ntR.",
}


@pytest.fixture
def folder(tmp_path, service):
    lora_dir = service.paths.lora_dir
    lora_dir.mkdir(parents=True, exist_ok=True)
    for name, content in BROKEN.items():
        (lora_dir / name).write_bytes(content)
    pair = {f"lora_unet_x.lora_{half}.weight": torch.ones(2, 2) for half in ("down", "up")}
    save_file(pair, lora_dir / "good.safetensors", {"ss_network_dim": "2"})
    (lora_dir / "good.json").write_text('{"preferred weight": 1e999, "activation text": ' + "[" * 5000)
    save_file(pair, lora_dir / "carded.safetensors")
    (lora_dir / "carded.json").write_text(json.dumps({"preferred weight": [[[0.8]]], "activation text": {"a": 1}}))
    return lora_dir


def test_a_broken_file_is_one_row_with_its_problem_in_every_list(client, folder):
    rows = {row["name"]: row for row in get(client, "loras").json()["loras"]}
    form = {row["name"]: row for row in get(client, "form").json()["loras"]}
    tools = get(client, "tools").json()
    for name in BROKEN:
        stem = name.partition(".")[0]
        assert str(folder / name) in rows[stem]["problem"] and form[stem]["problem"] == rows[stem]["problem"]
        assert tools["problems"][name] == rows[stem]["problem"]
    assert not rows["good"]["problem"] and rows["good"]["rank"] == "2" and rows["good"]["weight"] is None
    assert not rows["carded"]["problem"] and rows["carded"]["activation"] == ""
    assert {"good.safetensors", "carded.safetensors"} <= {*tools["loras"]} - {*tools["problems"]}


def test_a_broken_base_model_is_one_row_with_its_problem(client, service):
    path = service.paths.checkpoint_dirs[0] / "broken.safetensors"
    path.write_bytes(header(b"[" * 5000))
    rows = {row["title"]: row for row in get(client, "form").json()["checkpoints"]}
    assert "broken.safetensors is damaged" in next(row["problem"] for title, row in rows.items() if "broken" in title)
    assert not next(row["problem"] for title, row in rows.items() if "base" in title)


@pytest.mark.parametrize("path", ODD_PATHS, ids=range(len(ODD_PATHS)))
@pytest.mark.parametrize("form", ["values", "options"])
def test_no_path_is_too_odd_for_a_check(client, form, path):
    for field in FIELDS:
        answer = post(client, "check", {form: {"output_name": "x", field: path}})
        assert answer.status_code in (200, 400, 403), (field, answer.text[:500])
    for route in ("images", "images/thumb"):
        assert client.get(API + route, params={"folder": path, "name": "a.png"}).status_code in (400, 403, 404)


def test_no_value_of_any_field_is_a_bug(client, values):
    """Names longer than a file system takes, endless and enormous numbers, objects: each is said at its field, or taken."""
    odd = ("가" * 120, "x" * 5000, "1e400", "9" * 5000, {})
    for number, name in enumerate(option.name for option in (*SIMPLE, *OPTIONS)):
        for value in odd[number % 2 :: 2]:
            answer = post(client, "check", {"values": {**values, name: value}})
            assert answer.status_code in (200, 400, 403), (name, str(value)[:9], answer.text[:300])


def test_a_request_of_half_characters_endless_depth_or_digits_is_refused(client):
    for content in (
        '{"values": {"output_name": "\\ud800"}}',
        '{"values": ' + "[" * 100_000,
        '{"values": ' + "9" * 100_000 + "}",
    ):
        answer = client.post(API + "check", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400, answer.text[:300]
