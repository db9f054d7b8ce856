"""Who may ask what, and what no request can do."""

import re

import pytest
from starlette.routing import Route

from lora_trainer.api import routes
from lora_trainer.api.answers import MAX_JSON
from lora_trainer.hosts.base import host_name, host_names
from lora_trainer.paths import ROOT_DIR
from lora_trainer.ui.assets import assets

from .conftest import API, fake_checkpoint, get, picture, post

ALL = [(method, path.replace("{id}", "x").replace("{name}", "y")) for method, path, _ in routes._TABLE]
POSTS = [path for method, path in ALL if method == "POST"]
GETS = [path for method, path in ALL if method == "GET"]


def ask(client, method, path, **named):
    headers = {"content-type": "multipart/form-data; boundary=x", "x-lora-trainer": "1"}
    if method == "POST" and path in routes.UPLOADS:
        named["headers"] = {**headers, **named.get("headers", {})}
        return client.post(API + path, content=b"--x--\r\n", **named)
    return client.request(method, API + path, json={} if method == "POST" else None, **named)


@pytest.mark.parametrize(("method", "path"), ALL)
def test_every_route_asks_for_the_hosts_login(client, host, method, path):
    host.password = "secret"
    assert ask(client, method, path).status_code == 401
    assert ask(client, method, path, headers={"x-password": "secret"}).status_code != 401


@pytest.mark.parametrize(("method", "path"), ALL)
def test_every_route_refuses_foreign_names_origins_and_sites(client, method, path):
    for headers in (
        {"host": "evil.example"},
        {"host": "evil.example:7861", "origin": "http://evil.example:7861"},
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:8000"},
        {"origin": "null"},
        {"origin": "http://[::1"},
        {"origin": "http://evil.example/://127.0.0.1:7861.evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ):
        assert ask(client, method, path, headers=headers).status_code == 403, headers


@pytest.mark.parametrize(("method", "path"), ALL)
def test_the_page_itself_and_scripts_pass(client, method, path):
    for headers in (
        {"origin": "http://127.0.0.1:7861", "sec-fetch-site": "same-origin"},
        {"host": "localhost:7861"},
        {"host": "[::1]:7861"},
        {"host": "LOCALHOST"},
    ):
        assert ask(client, method, path, headers=headers).status_code not in {401, 403, 415}, headers


def test_any_name_is_served_when_the_host_is_open_to_a_network_but_origin_is_still_checked(client, host):
    host.host_names = None
    assert get(client, "state", headers={"host": "my-server:7861"}).status_code == 200
    assert post(client, "check", {}, headers={"host": "my-server", "origin": "http://evil.example"}).status_code == 403
    mine = {"host": "my-server:7861", "origin": "http://my-server:7861"}
    assert post(client, "check", {"values": {}}, headers=mine).status_code == 200


PROXIED = {"origin": "https://ai.example.org", "sec-fetch-site": "same-origin"}  # the proxy has put its own name into Host


def test_behind_a_proxy_that_rewrites_host_the_answer_says_what_to_do_and_an_allowed_name_passes(client, host):
    refused = post(client, "check", {"values": {}}, headers=PROXIED)
    assert refused.status_code == 403
    error = refused.json()["error"]
    assert "https://ai.example.org" in error["message"] and "127.0.0.1:7861" in error["message"]
    assert "reverse proxy" in error["advice"] and host.access().how_to_allow in error["advice"]
    host.allowed = frozenset({"ai.example.org"})
    assert post(client, "check", {"values": {}}, headers=PROXIED).status_code == 200
    foreign = {**PROXIED, "sec-fetch-site": "cross-site"}
    assert post(client, "check", {"values": {}}, headers=foreign).status_code == 403
    other = {"origin": "https://ai.example.org.evil.example"}
    assert post(client, "check", {"values": {}}, headers=other).status_code == 403


def test_a_proxy_that_keeps_host_needs_the_name_too(client, host):
    kept = {"host": "ai.example.org", "origin": "https://ai.example.org"}
    refused = post(client, "check", {"values": {}}, headers=kept)
    assert refused.status_code == 403 and host.access().how_to_allow in refused.json()["error"]["advice"]
    host.allowed = frozenset({"ai.example.org"})
    assert post(client, "check", {"values": {}}, headers=kept).status_code == 200


def test_no_answer_may_be_shown_in_a_frame_of_another_site(client, service):
    answers = [get(client, "state"), get(client, "runs/none"), get(client, "state", headers={"host": "evil.example"})]
    answers.append(client.get(f"/lora-trainer/assets/{assets().version}/style.css"))
    for one in answers:
        assert one.headers["content-security-policy"] == "frame-ancestors 'self'"
        assert one.headers["x-frame-options"] == "SAMEORIGIN"


@pytest.mark.parametrize("path", POSTS)
def test_nothing_is_changed_by_get(client, path):
    assert get(client, path).status_code in {404, 405, 200}
    route = next(one for method, one, _ in routes._TABLE if method == "POST" and one.replace("{id}", "x") == path)
    handlers = {handler for method, one, handler in routes._TABLE if method == "GET" and one == route}
    changing = {handler for method, one, handler in routes._TABLE if method == "POST"}
    assert not handlers & changing


@pytest.mark.parametrize("path", GETS)
def test_gets_leave_the_disk_as_it_was(client, service, tmp_path, path):
    def tree():
        return sorted(str(one) for one in tmp_path.rglob("*") if "cache" not in one.parts and ".db" not in one.name)

    before = tree()
    get(client, path)
    assert tree() == before


@pytest.mark.parametrize("path", [path for path in POSTS if path not in routes.UPLOADS])
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""])
def test_a_form_of_a_foreign_page_cannot_post(client, path, kind):
    headers = {"content-type": kind} if kind else {}
    assert client.post(API + path, content=b'{"values": {}}', headers=headers).status_code == 415


@pytest.mark.parametrize("path", sorted(routes.UPLOADS))
def test_an_upload_needs_our_header(client, path):
    files = {"files": ("a.png", picture(), "image/png")}
    assert client.post(API + path, files=files).status_code == 415
    assert client.post(API + path, json={}, headers={"x-lora-trainer": "1"}).status_code == 415


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[1]", 400),
        (b'"x"', 400),
        (b"\xff\xfe", 400),
        (b"[" * 100_000, 400),
        (rb'{"values": {"image_dir": "\ud800"}}', 400),
        (b'{"values": 3}', 400),
        (b"{}", 400),
    ],
)
def test_a_body_that_is_no_json_object_is_refused_with_words(client, body, status):
    refused = client.post(API + "check", content=body, headers={"content-type": "application/json"})
    assert refused.status_code == status
    assert refused.json()["error"]["message"]


def test_a_body_that_is_too_large_is_refused_before_it_is_read_whole(client):
    sent = []

    def body():
        for _ in range(200):
            sent.append(1)
            yield b" " * (MAX_JSON // 50)

    refused = client.post(API + "check", content=body(), headers={"content-type": "application/json"})
    assert refused.status_code == 413


@pytest.mark.parametrize(
    "body",
    [
        {"values": {}, "options": {}},
        {"values": {}, "dataset": {}},
        {"options": {}, "dataset": 3},
        {"values": {}, "overwrite": "yes"},
        {"options": {}, "prompts": 3},
        {"values": []},
    ],
)
def test_a_request_of_neither_form_is_refused(client, body):
    assert post(client, "runs", body).status_code == 400


@pytest.mark.parametrize(
    "values", [{"image_dir": ["x"]}, {"output_name": {"a": 1}}, {"network_dim": [[]]}, {"image_dir": "\x00"}]
)
def test_values_of_any_kind_are_answered_not_crashed_on(client, values):
    assert post(client, "check", {"values": values}).status_code == 200
    assert post(client, "runs", {"values": values}).status_code == 422


def test_a_bug_is_told_as_one(client, service, monkeypatch):
    monkeypatch.setattr(service.host, "checkpoints", lambda: 1 / 0)
    answer = get(client, "form")
    assert answer.status_code == 500
    assert "bug" in answer.json()["error"]["message"]


def test_mounting_twice_leaves_one_set_of_routes_and_the_others_in_place(app, service):
    async def other(request):
        return None

    app.router.routes.append(Route("/other", other))
    before = len(app.router.routes)
    routes.mount(app, service)
    routes.mount(app, service)
    assert len(app.router.routes) == before
    assert sum(getattr(route, "path", "") == routes.PREFIX for route in app.router.routes) == 1


@pytest.mark.parametrize(
    ("header", "name"),
    [("127.0.0.1:7861", "127.0.0.1"), ("[::1]:7861", "::1"), ("Localhost.", "localhost"), ("", ""), ("[::1", ""), ("a@b", "b"),
     ("https://My.Example:8443/path", "my.example"), ("한국.example", "xn--3e0b707e.example")],
)  # fmt: skip
def test_names_in_host_headers(header, name):
    assert host_name(header) == name


def test_names_are_read_as_people_write_them():
    typed = ["ai.example.org, https://two.example:8443/", "  192.168.0.5  [::1]:80", ""]
    assert host_names(typed) == {"ai.example.org", "two.example", "192.168.0.5", "::1"}


def test_folders_typed_by_the_user_show_images_only(client, images, tmp_path):
    (tmp_path / "secret.txt").write_text("secret")
    assert get(client, "images", params={"folder": str(images)}).status_code == 200
    for folder in ("", "relative", str(tmp_path / "nothing"), str(tmp_path / "secret.txt"), "\x00"):
        assert get(client, "images", params={"folder": folder}).status_code == 400, folder
    for name in ("../secret.txt", "0.txt", "..", "", "/etc/passwd", "\x00.png"):
        query = {"folder": str(images), "name": name}
        assert get(client, "images/thumb", params=query).status_code in {400, 404}, name
    assert get(client, "loras/preview", params={"name": "../../secret"}).status_code == 404


def test_a_checkpoint_is_not_served_as_a_picture(client, tmp_path):
    fake_checkpoint(tmp_path / "models" / "x.png")
    query = {"folder": str(tmp_path / "models"), "name": "x.png"}
    assert get(client, "images/thumb", params=query).status_code == 415


def test_the_documented_routes_are_the_routes():
    text = (ROOT_DIR / "docs" / "api.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| (GET|POST) +([a-z/{}]+)", text, re.MULTILINE))
    assert documented == {(method, path) for method, path, _ in routes._TABLE}
