"""Uploads to Hugging Face, against a small hub on loopback."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lora_trainer.errors import InputError, InputErrors
from lora_trainer.options.saving import SavingOptions
from lora_trainer.training import hub as uploads
from lora_trainer.training.train import train

from . import hub_server
from .conftest import Recorder
from .hub_server import TOKEN

REPO = "models/me/frogs"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    from huggingface_hub import constants, file_download
    from huggingface_hub.utils import reset_sessions

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    reset_sessions()
    with hub_server.running() as running:
        monkeypatch.setattr(constants, "ENDPOINT", running.url)
        template = running.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(file_download, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr(uploads, "_SECONDS_BEFORE_AGAIN", 0.0)
        monkeypatch.setattr(uploads, "_LOOK", 0.01)
        yield running


def uploading(**changed):
    return {"huggingface_repo_id": "me/frogs", "huggingface_token": TOKEN, **changed}


@pytest.mark.effect("huggingface_repo_id", "huggingface_path_in_repo", "huggingface_token", "huggingface_repo_visibility")
@pytest.mark.parametrize("visibility", [None, "private", "public"])
def test_every_saved_file_is_uploaded(options_for, tmp_path, hub, visibility):
    reporter = Recorder()
    given = uploading(huggingface_path_in_repo="loras", huggingface_repo_visibility=visibility)
    names = {"x.safetensors", "x-step00000002.safetensors"}
    if visibility == "public":  # with a word, which has files of its own
        given |= {"trains": "pivotal", "token_string": "sls", "save_embedding": "beside"}
        names |= {name.replace(".s", "_emb.s") for name in names}
    train(options_for(save_every_n_steps=2, **given), reporter=reporter)
    assert hub.private == {REPO: visibility != "public"}
    wanted = {f"loras/{path.name}": path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert hub.repos[REPO] == wanted and set(wanted) == {f"loras/{name}" for name in names}
    assert not reporter.of("warning") and TOKEN not in repr(reporter.events)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]


@pytest.mark.effect("huggingface_repo_type")
def test_a_repository_of_another_type_by_git_lfs(options_for, hub):
    hub.lfs = True
    path = train(options_for(**uploading(huggingface_repo_type="dataset")), reporter=Recorder()).path
    assert hub.repos == {"datasets/me/frogs": {"x.safetensors": path.read_bytes()}} and hub.large


@pytest.mark.effect("async_upload")
def test_a_training_goes_on_while_files_are_uploaded(options_for, tmp_path, hub):
    """The hub answers after the last step; a file that was removed meanwhile is uploaded all the same."""
    hub.gate.clear()
    before: list[str] = []

    def at_the_end(event):
        if event.get("final"):
            before.extend(hub.repos.get(REPO, ()))
            hub.gate.set()

    reporter = Recorder(at_the_end)
    options = options_for(max_train_steps=4, save_every_n_steps=1, save_last_n_steps=1, **uploading(async_upload=True))
    train(options, reporter=reporter)
    names = [f"x-step{step:08d}.safetensors" for step in (1, 2, 3, 4)] + ["x.safetensors"]
    assert not before and list(hub.repos[REPO]) == names
    left = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert left == ["x-step00000003.safetensors", "x-step00000004.safetensors", "x.safetensors"], "and nothing is left over"
    kinds = [event["type"] for event in reporter.events]
    last = [event.get("name") for event in reporter.events if event["type"] in ("phase", "finished")][-2:]
    assert kinds[-1] == "finished" and last[0] == "uploading to Hugging Face"


def test_what_a_killed_training_left_is_removed_after_a_day(tmp_path):
    for name, age in (("old", 90_000), ("new", 0)):
        folder = tmp_path / ".uploading" / name
        folder.mkdir(parents=True)
        (folder / "x.safetensors").write_bytes(b"x")
        os.utime(folder, (time.time() - age,) * 2)
    with uploads.following(SavingOptions(output_dir=str(tmp_path), **uploading()), Recorder(), is_main=True):
        pass
    assert [path.name for path in (tmp_path / ".uploading").iterdir()] == ["new"]


def test_without_it_the_training_waits(options_for, hub):
    seen = []
    reporter = Recorder(lambda event: seen.append(sorted(hub.repos.get(REPO, ()))) if event["type"] == "step" else None)
    train(options_for(save_every_n_steps=1, max_train_steps=2, **uploading()), reporter=reporter)
    assert seen == [[], ["x-step00000001.safetensors"]]


def test_a_hub_that_fails_for_a_while_is_asked_again(options_for, hub):
    hub.fail = [503, 500]
    reporter = Recorder()
    train(options_for(**uploading()), reporter=reporter)
    assert list(hub.repos[REPO]) == ["x.safetensors"] and not reporter.of("warning")


def test_an_upload_that_fails_is_a_warning(options_for, tmp_path, hub):
    wrong = TOKEN[::-1]
    reporter = Recorder()
    result = train(options_for(save_every_n_steps=2, **uploading(huggingface_token=wrong)), reporter=reporter)
    assert result.reason == "done" and result.path.is_file() and hub.repos == {}
    warnings = [event["message"] for event in reporter.of("warning")]
    assert warnings == [
        f"{name} could not be uploaded to Hugging Face: the token is missing or refused, or may not write there "
        "(huggingface_token, or `hf auth login`). The training goes on."
        for name in ("x-step00000002.safetensors", "x.safetensors")
    ]
    assert len(hub.seen) == 2, "a refusal is not asked again"
    assert wrong not in repr(reporter.events)


def test_who_stops_does_not_wait_for_a_hub_that_hangs(options_for, hub, monkeypatch):
    from lora_trainer.runs.control import Control

    monkeypatch.setattr(uploads, "_SECONDS_AFTER_STOP", 0.5)
    hub.gate.clear()
    reporter = Recorder(lambda event: Control(stop=True) if event.get("name") == "uploading to Hugging Face" else None)
    began = time.monotonic()
    train(options_for(**uploading()), reporter=reporter)
    assert time.monotonic() - began < 100
    assert "broken off" in reporter.of("warning")[-1]["message"] and reporter.of("finished")


@pytest.mark.effect("save_state_to_huggingface")
def test_states_are_uploaded_where_that_is_asked_for(tmp_path, hub):
    state = tmp_path / "x-step00000002-state"
    state.mkdir()
    (state / "state.json").write_text("{}")
    (state / "network.safetensors").write_bytes(b"weights")
    for asked, wanted in [(False, {}), (True, {f"a/{state.name}/{path.name}" for path in state.iterdir()})]:
        given = uploading(huggingface_path_in_repo="/a/", save_state_to_huggingface=asked)
        with uploads.following(SavingOptions(**given), Recorder(), is_main=True) as reporter:
            reporter.emit({"type": "state", "path": str(state), "step": 2, "epoch": 0, "rolling": True})
            assert not hub.repos.get(REPO), "a rolling state is the page's own"
            reporter.emit({"type": "state", "path": str(state), "step": 2, "epoch": 0, "rolling": False})
        assert set(hub.repos.get(REPO, {})) == set(wanted)


@pytest.mark.effect("resume_from_huggingface")
def test_a_state_is_fetched_to_go_on_from(tmp_path, hub):
    hub.repos[REPO] = {"runs/x-state/state.json": b"{}", "runs/x-state/network.safetensors": b"w", "other": b"no"}
    asked = SavingOptions(resume="me/frogs/runs/x-state:main:model", resume_from_huggingface=True, huggingface_token=TOKEN)
    folder = Path(uploads.fetched(asked, lambda event: None).resume)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"state.json": b"{}", "network.safetensors": b"w"}
    assert not [one for one in hub.seen if one.endswith("/other")]
    for resume, told in [
        ("me/frogs/runs/y-state", "has no folder runs/y-state"),
        ("me/nothing/runs", "could not be fetched"),
        ("me/frogs", "is no state on Hugging Face"),
        ("me/frogs/a:main:sofa", "is no state on Hugging Face"),
    ]:
        with pytest.raises(InputError, match=told):
            uploads.fetched(SavingOptions(resume=resume, resume_from_huggingface=True), lambda event: None)
    assert uploads.place_of("a/b/c/d:v1:dataset") == ("a/b", "c/d", "v1", "dataset")
    assert uploads.place_of("a/b/c:v1") == ("a/b", "c", "v1", "model") and uploads.place_of("a/b/c") == (
        "a/b",
        "c",
        None,
        "model",
    )


def test_a_training_goes_on_from_the_state_that_another_uploaded(options_for, tmp_path, hub):
    whole = train(options_for(max_train_steps=4, output_name="whole"), reporter=Recorder()).path
    given = uploading(huggingface_path_in_repo="runs", save_state=True, save_state_to_huggingface=True, save_every_n_steps=2)
    train(options_for(max_train_steps=4, output_name="first", **given), reporter=Recorder())
    assert {name.partition("/")[0] for name in hub.repos[REPO]} == {"runs"}
    again = {"resume": "me/frogs/runs/first-step00000002-state:main:model", "resume_from_huggingface": True}
    reporter = Recorder()
    rest = train(options_for(max_train_steps=4, output_name="rest", huggingface_token=TOKEN, **again), reporter=reporter).path
    assert [event["step"] for event in reporter.of("step")] == [3, 4]
    ours, wanted = load_file(rest), load_file(whole)
    assert all(torch.equal(ours[name], wanted[name]) for name in wanted)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]


def test_what_means_nothing_is_refused(options_for):
    for given, told in [
        ({"huggingface_repo_id": "frogs"}, "frogs is no name of a repository"),
        ({"async_upload": True}, "has no effect without huggingface_repo_id"),
        ({"huggingface_repo_id": "me/frogs", "huggingface_repo_type": "sofa"}, "sofa"),
    ]:
        with pytest.raises(InputErrors, match=told):
            options_for(**given)
