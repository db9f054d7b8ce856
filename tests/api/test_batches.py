"""See the batches: the first batches of a draft as pictures, made by a process of its own; no base model is needed."""

import io
import sys
from importlib.util import find_spec

import pytest
from PIL import Image

from .conftest import get, post, problems_of

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="the batches are made by the training's own code")


def drawn(client, service, values):
    answer = post(client, "batches", {"values": values})
    assert answer.status_code == 201, answer.text
    service.batches.wait(answer.json()["id"], 300)
    return get(client, f"batches/{answer.json()['id']}").json()


@needs_torch
def test_the_batches_of_a_draft_without_a_base_model_are_drawn(client, service, host, values, images):
    host.python = sys.executable
    mask = Image.new("L", (300, 260), 0)
    mask.paste(255, (100, 0, 300, 260))
    mask.save(images / "1-masklabel.png")
    draft = {name: value for name, value in values.items() if name not in ("pretrained_model_name_or_path", "output_name")}
    found = drawn(client, service, {**draft, "masked_loss": True, "num_repeats": 2, "train_batch_size": 2})
    assert (found["state"], found["message"], found["of"]) == ("finished", "", 3), found
    samples = [one for batch in found["batches"] for one in batch["samples"]]
    assert [len(batch["samples"]) for batch in found["batches"]] == [2, 2, 2]
    assert sorted(one["image"] for one in samples) == sorted(["0.png", "1.png", "2.png"] * 2)
    assert {one["image"]: one["mask"] for one in samples} == {"0.png": "", "1.png": "1-masklabel.png", "2.png": ""}
    for one in samples:
        assert one["caption"] == f"a sls frog, number {one['image'][0]}" and one["repeats"] == 2
        shown = Image.open(io.BytesIO(get(client, one["url"]).content))
        assert shown.size == (found["batches"][0]["width"], found["batches"][0]["height"])
        red, green, blue = shown.convert("RGB").getpixel((2, shown.height - 2))
        assert (red > 120 and blue > 80) == bool(one["mask"]), "what the mask hides is dyed"
    name = samples[0]["url"].rpartition("/")[0]
    for wrong in ("batches.json", "..%2fbatches.json", "9999-9.png"):
        assert get(client, f"{name}/{wrong}").status_code == 404


def test_what_is_wrong_with_the_data_is_said(client, values, tmp_path):
    answer = post(client, "batches", {"values": {**values, "image_dir": str(tmp_path / "gone")}})
    assert answer.status_code == 422 and "does not exist" in problems_of(answer.json())["image_dir"]
    assert get(client, "batches/20200101-000000-abcdef").status_code == 400
