import io
import json
import struct
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from starlette.applications import Starlette
from starlette.testclient import TestClient

from lora_trainer.api import routes
from lora_trainer.api.service import Service
from lora_trainer.hosts.fake import FakeHost

from ..runs.harness import fake_python

API = "/lora-trainer/api/"


def picture(size=(64, 48), color="red", kind="PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, kind)
    return buffer.getvalue()


def fake_checkpoint(path: Path, width: int = 320) -> Path:
    """A file that has the tensor names and shapes by which an SD1 checkpoint is known, all of them empty of data; `width` is
    its UNet's."""
    shapes = {
        "model.diffusion_model.input_blocks.0.0.weight": [width, 4, 3, 3],
        "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": [320, 768],
        "model.diffusion_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight": [320, 768],
        "model.diffusion_model.output_blocks.11.0.out_layers.3.weight": [1, 1],
        "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight": [49408, 768],
        "cond_stage_model.transformer.text_model.encoder.layers.0.self_attn.k_proj.weight": [768, 768],
        "first_stage_model.decoder.conv_in.weight": [512, 4, 3, 3],
        "first_stage_model.encoder.conv_in.weight": [128, 3, 3, 3],
    }
    header, offset = {}, 0
    for name, shape in shapes.items():
        size = 2
        for side in shape:
            size *= side
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + offset)
    return path


@pytest.fixture
def host(tmp_path):
    host = FakeHost(tmp_path)
    host.python = fake_python(tmp_path / "bin")
    fake_checkpoint(tmp_path / "models" / "base.safetensors")
    return host


@pytest.fixture
def service(host):
    service = Service(host)
    yield service
    service.close()


@pytest.fixture
def app(service):
    app = Starlette()
    routes.mount(app, service)
    return app


@pytest.fixture
def client(app):
    return TestClient(app, base_url="http://127.0.0.1:7861")


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "frogs"
    folder.mkdir()
    for number in range(3):
        image = Image.open(io.BytesIO(picture((300, 260), color=(number * 40, 90, 30))))
        ImageDraw.Draw(image).ellipse((number * 90, 40, number * 90 + 80, 200), fill="white")
        image.save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"a sls frog, number {number}")
    return folder


@pytest.fixture
def values(tmp_path, images):
    return {
        "pretrained_model_name_or_path": str(tmp_path / "models" / "base.safetensors"),
        "image_dir": str(images),
        "identifier": "sls",
        "class_name": "frog",
        "output_name": "frog",
        "max_train_steps": 20,
        "resolution": "256",
    }


def post(client, path, body=None, **named):
    return client.post(API + path, json=body if body is not None else {}, **named)


def get(client, path, **named):
    return client.get(API + path, **named)


def problems_of(answer, level="error"):
    return {one["field"]: one["message"] for one in answer["problems"] if one["level"] == level}
