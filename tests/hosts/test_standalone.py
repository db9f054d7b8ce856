"""Our own host: folders, the page served by a real process, port, login, head."""

import base64
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from lora_trainer.apps import standalone as standalone_app
from lora_trainer.apps.page_head import with_head
from lora_trainer.commands import run
from lora_trainer.demo import files
from lora_trainer.errors import HostError, InputError
from lora_trainer.hosts import kept_settings
from lora_trainer.hosts.base import Host
from lora_trainer.hosts.fake import FakeHost
from lora_trainer.hosts.standalone import StandaloneHost, basic_auth_is
from lora_trainer.modelfile import probe
from lora_trainer.paths import ROOT_DIR
from lora_trainer.ui.assets import assets

from ..api.conftest import fake_checkpoint


def basic(text):
    return "Basic " + base64.b64encode(text.encode()).decode()


def test_both_hosts_are_hosts(tmp_path):
    assert isinstance(StandaloneHost(data_dir=tmp_path), Host)
    assert isinstance(FakeHost(tmp_path), Host)


def test_checkpoints_are_found_in_folders_and_subfolders(tmp_path, monkeypatch):
    monkeypatch.setenv(files.VARIABLE, str(tmp_path / "none"))
    models = tmp_path / "data" / "models"
    for name in (
        "b.safetensors",
        "Anime/a.CKPT",
        ".hidden/x.safetensors",
        "notes.txt",
        ".part.safetensors",
        "diffusers/unet/w.safetensors",
    ):
        path = models / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (models / "diffusers" / "model_index.json").write_text("{}")
    extra = tmp_path / "extra"
    extra.mkdir()
    (extra / "c.safetensors").write_bytes(b"x")
    host = StandaloneHost(data_dir=tmp_path / "data", checkpoint_dir=extra)
    assert [one.title for one in host.checkpoints()] == ["Anime/a.CKPT", "b.safetensors", "c.safetensors", "diffusers"]
    assert StandaloneHost(data_dir=tmp_path / "nothing").checkpoints() == []


def test_the_demo_model_comes_last_and_is_the_only_one_at_first(tmp_path, monkeypatch):
    demo = tmp_path / "demo.safetensors"
    demo.write_bytes(b"x")
    monkeypatch.setenv(files.VARIABLE, str(demo))
    host = StandaloneHost(data_dir=tmp_path / "data")
    assert [(one.path, one.side, one.is_demo) for one in host.checkpoints()] == [(demo, 64, True)]
    (tmp_path / "data" / "models").mkdir(parents=True)
    (tmp_path / "data" / "models" / "zebra.safetensors").write_bytes(b"x")
    assert [one.path.name for one in host.checkpoints()] == ["zebra.safetensors", "demo.safetensors"]
    assert not any(one.is_current for one in host.checkpoints())


def test_models_bring_the_size_of_their_pictures(tmp_path, monkeypatch, tiny_model):
    monkeypatch.setenv(files.VARIABLE, str(tmp_path / "none"))
    models = tmp_path / "models"
    models.mkdir()
    for family in ("sd1", "sdxl"):
        (models / f"{family}.safetensors").write_bytes(tiny_model(family).read_bytes())
    (models / "torn.safetensors").write_bytes(b"x")
    fake_checkpoint(models / "further.safetensors", width=64)  # trained from the demo model
    found = StandaloneHost(data_dir=tmp_path).checkpoints()
    sides = {one.title: one.side for one in found}
    assert sides == {"further.safetensors": 64, "sd1.safetensors": 0, "sdxl.safetensors": 1024, "torn.safetensors": 0}
    assert [one.title for one in found if one.is_demo] == ["further.safetensors"]
    assert probe(files.SHIPPED).is_demo and not probe(models / "sd1.safetensors").is_demo


def test_what_becomes_of_pictures_is_chosen_once_and_the_command_line_has_the_last_word(tmp_path):
    host = StandaloneHost(data_dir=tmp_path)
    assert host.pictures_policy() == "automatic"
    host.choose_pictures_policy("hand_over")
    assert host.pictures_policy() == "hand_over", "at once"
    assert StandaloneHost(data_dir=tmp_path).pictures_policy() == "hand_over", "and after a restart"
    started = StandaloneHost(data_dir=tmp_path, pictures="share")
    assert started.pictures_policy() == "share"
    started.choose_pictures_policy("refuse")
    assert started.pictures_policy() == "refuse"
    for damaged in ("", "[]", '{"pictures": 5}', '{"pictures": "never"}', '{"pictures": ["share"]}'):
        (tmp_path / kept_settings.FILE).write_text(damaged)
        assert StandaloneHost(data_dir=tmp_path).pictures_policy() == "automatic", damaged


def test_the_login_compares_name_and_password():
    assert basic_auth_is(basic("me:pass:wörd"), "me:pass:wörd")
    for header in ("", "Basic", "Basic !!!", basic("me:other"), basic("me"), "Bearer " + basic("me:pass")[6:]):
        assert not basic_auth_is(header, "me:pass"), header
    host = StandaloneHost(auth="me:pass")
    assert host.authorize(SimpleNamespace(headers={"authorization": basic("me:pass")}))
    assert not host.authorize(SimpleNamespace(headers={}))
    assert StandaloneHost().authorize(SimpleNamespace(headers={}))


def test_only_a_loopback_address_has_known_names():
    assert "localhost" in StandaloneHost().access().host_names
    assert "my-pc" in StandaloneHost(names=frozenset({"my-pc"})).access().host_names
    assert StandaloneHost(listens_to="0.0.0.0").access().host_names is None


def test_worker_packages_come_first_and_missing_ones_are_named(tmp_path, monkeypatch):
    packages = tmp_path / "packages"
    assert StandaloneHost(worker_packages=packages).worker_environment() == {}
    (packages / "diffusers").mkdir(parents=True)
    host = StandaloneHost(worker_packages=packages)
    assert host.worker_environment() == {"PYTHONPATH": str(packages)}
    monkeypatch.setattr("lora_trainer.hosts.standalone.find_spec", lambda name: None)
    (problem,) = host.problems()
    assert "torch" in problem.message and "diffusers" not in problem.message


GRADIO_3 = (
    '<html><head><title>x</title><link rel="preconnect" href="https://fonts.googleapis.com" />'
    '<script src="https://cdnjs.cloudflare.com/x.js" async></script>'
    '<script>window.gradio_config = {"a": ["https://kept"], "stylesheets":["https://fonts.googleapis.com/css2?x"]};</script>'
    '<link\n rel="stylesheet"\n href="./theme.css"></head><body><a href="https://example.com">kept</a></body></html>'
)


def test_our_tags_are_written_into_the_head_and_foreign_ones_taken_out():
    page = with_head(GRADIO_3.encode(), "<!--ours-->").decode()
    assert "<!--ours--></head>" in page
    assert "googleapis" not in page and "cdnjs" not in page
    assert '{"a": ["https://kept"], "stylesheets":[]}' in page
    assert "./theme.css" in page and "https://example.com" in page


def test_a_port_in_use_is_told_with_a_free_one():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(HostError) as caught:
            standalone_app._listen("127.0.0.1", port)
    assert str(port) in caught.value.message
    assert "--port" in caught.value.advice


def test_wrong_arguments_are_told(tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("x")
    for words, expected in (
        (["--auth", "nopassword"], "user:password"),
        (["--data-dir", str(file)], "is a file"),
        (["--ckpt-dir", str(tmp_path / "nothing")], "there is no folder"),
        (["--port", "99999"], "1 to 65535"),
    ):
        assert run(["ui", "--no-browser", *words]) == 2
        assert expected in capsys.readouterr().err
    with pytest.raises(InputError, match="cannot be made"):
        StandaloneHost(data_dir=file / "below").make_folders()


def test_a_process_is_kept_ready_unless_the_program_is_started_without(tmp_path):
    for words, keeps in (([], True), (["--no-standby"], False)):
        given = standalone_app.parser().parse_args(["--data-dir", str(tmp_path), *words])
        assert standalone_app._host(given).keeps_standby() is keeps


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The real program on a free port, with a login."""
    folder = tmp_path_factory.mktemp("data")
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port = trial.getsockname()[1]
    words = ["ui", "--port", str(port), "--data-dir", str(folder), "--no-browser", "--auth", "me:secret"]
    log = (folder / "out.txt").open("wb")
    program = subprocess.Popen([sys.executable, "-m", "lora_trainer", *words], stderr=log, stdout=log, cwd=ROOT_DIR)
    end = time.monotonic() + 600
    while b"is ready" not in (folder / "out.txt").read_bytes():
        assert program.poll() is None and time.monotonic() < end, (folder / "out.txt").read_text()
        time.sleep(0.1)
    yield SimpleNamespace(port=port, folder=folder, program=program)
    if program.poll() is None:
        program.kill()
        program.wait()


def ask(served, path, *, login=True, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=200)
    sent = {"Accept-Encoding": "gzip", **({"Authorization": basic("me:secret")} if login else {}), **(headers or {})}
    connection.request("GET", path, headers=sent)
    answer = connection.getresponse()
    return SimpleNamespace(status=answer.status, headers=answer.headers, text=answer.read().decode("utf-8", errors="replace"))


def test_the_page_has_our_scripts_and_they_are_served(served):
    page = ask(served, "/")
    assert page.status == 200
    assert "lora_trainer_root" in page.text
    head = page.text[: page.text.index("</head>")]
    for part in head.split('src="lora-trainer/assets/')[1:]:
        script = ask(served, "/lora-trainer/assets/" + part.split('"')[0])
        assert script.status == 200 and "javascript" in script.headers["content-type"]
    assert head.count('src="lora-trainer/assets/') >= 1
    assert ask(served, f"/lora-trainer/assets/{assets().version}/style.css").headers["content-type"].startswith("text/css")
    assert ask(served, f"/lora-trainer/assets/{assets().version}/..%2f..%2fpyproject.toml").status == 404


def test_nothing_is_served_without_the_login(served):
    for path in (
        "/",
        "/config",
        "/lora-trainer/api/state",
        f"/lora-trainer/assets/{assets().version}/style.css",
        "/gradio_api/info",
        "/file=README.md",
    ):
        refused = ask(served, path, login=False)
        assert refused.status == 401, path
        assert "Basic" in refused.headers["www-authenticate"]
    assert ask(served, "/lora-trainer/api/state").status == 200


def test_a_second_start_says_that_it_runs_already(served):
    with pytest.raises(HostError, match="runs on port"):
        standalone_app._listen("127.0.0.1", served.port)


def test_a_name_bound_anew_to_this_machine_gets_no_answer_from_our_routes(served):
    assert ask(served, "/lora-trainer/api/state", headers={"Host": "evil.example"}).status == 403


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_ends_it_and_frees_the_store(served):
    served.program.send_signal(signal.SIGINT)
    assert served.program.wait(timeout=300) == 0
    from lora_trainer.runs.store import Store

    assert Store(served.folder / "runs.db").other_owner() == ""
