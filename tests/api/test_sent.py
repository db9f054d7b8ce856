"""Pictures of the Web UI's galleries on their way into a data set."""

from __future__ import annotations

import io

import pytest
from PIL import Image, PngImagePlugin

from .conftest import get, picture, post
from .test_uploads import send

TOLD = "{}\nNegative prompt: blurry\nSteps: 4, Sampler: Euler, Seed: 1, Size: 64x64"


def told_picture(prompt: str, color="red") -> bytes:
    """A PNG with the text that the Web UI writes into its pictures."""
    buffer, about = io.BytesIO(), PngImagePlugin.PngInfo()
    about.add_text("parameters", TOLD.format(prompt))
    Image.new("RGB", (64, 64), color).save(buffer, "PNG", pnginfo=about)
    return buffer.getvalue()


@pytest.fixture
def sent(client) -> str:
    """An upload of three pictures; the last one has no text."""
    frogs = ("0.png", told_picture("sls frog <lora:frog:1>")), ("1.png", told_picture("a (toad:1.2)", "blue"))
    return send(client, *frogs, ("2.png", picture())).json()["id"]


def join(client, upload_id, captions, **more):
    return post(client, f"uploads/{upload_id}/join", {"captions": captions, **more}).json()


def test_each_picture_says_its_own_caption_and_what_is_told_helps_where_it_says_none(client, sent):
    told = {"0.png": TOLD.format("of another"), "2.png": TOLD.format("[grey] square")}
    asked = post(client, f"uploads/{sent}/prompts", {"infotexts": told}).json()
    assert asked == {"captions": {"0.png": "sls frog", "1.png": "a toad", "2.png": "grey square"}}
    assert post(client, f"uploads/{sent}/prompts").json()["captions"]["2.png"] == ""


def test_they_become_a_data_set_of_their_own(client, sent, service):
    answer = join(client, sent, {"0.png": "sls frog", "2.png": " "})
    assert (answer["id"], answer["saved"], answer["noted"]) == (sent, ["0.png", "2.png"], [])
    shown = get(client, f"uploads/{sent}").json()["images"]
    assert [(one["name"], one["caption"]) for one in shown] == [("0.png", "sls frog"), ("2.png", None)]


def test_they_join_an_upload_and_a_run_s_upload_by_a_copy(client, sent, service):
    first = send(client, ("0.png", picture(color="green")), ("0.txt", b"mine")).json()
    (service.uploads.runs / "r1").mkdir(parents=True)
    (service.uploads.runs / "r1" / "dataset.toml").write_text(f"image_dir = '{first['folder']}'")
    answer = join(client, sent, {"0.png": "sls frog"}, folder=first["folder"])
    assert answer["id"] not in (first["id"], sent) and answer["saved"] == ["0-2.png"] and len(answer["noted"]) == 1
    shown = get(client, f"uploads/{answer['id']}").json()["images"]
    assert {one["name"]: one["caption"] for one in shown} == {"0.png": "mine", "0-2.png": "sls frog"}
    assert get(client, f"uploads/{sent}").status_code == 404
    assert [one["name"] for one in get(client, f"uploads/{first['id']}").json()["images"]] == ["0.png"]


def test_a_folder_of_this_machine_gets_them_and_nothing_there_changes(client, sent, images):
    before = {path.name: path.read_bytes() for path in images.iterdir()}
    answer = join(client, sent, {"0.png": "sls frog", "1.png": "a toad"}, folder=str(images), extension=".caption")
    assert answer["id"] is None and answer["folder"] == str(images) and answer["saved"] == ["0-2.png", "1-2.png"]
    assert {name: (images / name).read_bytes() for name in before} == before
    assert (images / "0-2.caption").read_text() == "sls frog\n"
    again = send(client, ("0.png", (images / "0-2.png").read_bytes())).json()["id"]
    answer = join(client, again, {"0.png": "another text"}, folder=str(images), extension=".caption")
    assert answer["saved"] == ["0-2.png"] and "stays" in answer["noted"][0]["message"]
    assert (images / "0-2.caption").read_text() == "sls frog\n"
    assert not list(images.glob("*.tmp")) and len(list(images.iterdir())) == len(before) + 4


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"captions": {"no.png": "x"}}, 404),
        ({"captions": {"../0.png": "x"}}, 404),
        ({"captions": ["0.png"]}, 400),
        ({"captions": {"0.png": 1}}, 400),
        ({"captions": {"0.png": "x"}, "extension": ".py"}, 400),
        ({"captions": {"0.png": "x"}, "folder": "nowhere"}, 400),
        ({"captions": {"0.png": "x"}, "folder": "/nowhere at all"}, 400),
    ],
)
def test_what_cannot_be_done_is_refused_and_the_pictures_stay(client, sent, body, status):
    assert post(client, f"uploads/{sent}/join", body).status_code == status
    assert len(get(client, f"uploads/{sent}").json()["images"]) == 3


def test_no_folder_outside_of_those_allowed_is_written_to(client, sent, service, images, monkeypatch):
    from dataclasses import replace

    access = service.host.access()
    monkeypatch.setattr(service.host, "access", lambda: replace(access, folders=(service.uploads.root,)))
    answer = post(client, f"uploads/{sent}/join", {"captions": {"0.png": "x"}, "folder": str(images)})
    assert answer.status_code == 400 and not (images / "0-2.png").exists()
