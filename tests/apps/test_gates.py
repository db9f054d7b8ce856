"""The gates stand around the whole program, gradio's own routes with it, with and without a login."""

import base64
import re

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from lora_trainer.api.service import forget
from lora_trainer.apps.standalone import make_app
from lora_trainer.hosts.standalone import StandaloneHost
from lora_trainer.ui.assets import assets

HERE = "http://127.0.0.1:7861"
STYLE = f"/lora-trainer/assets/{assets().version}/style.css"
FOREIGN = [
    {"host": "evil.example"},
    {"host": "evil.example:7861", "origin": "http://evil.example:7861"},
    {"origin": "http://evil.example"},
    {"origin": "http://127.0.0.1:8000"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
]


def basic(text):
    return {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    return StandaloneHost(data_dir=tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def app(host):
    yield make_app(host)
    forget(host)


@pytest.fixture
def client(app):
    return TestClient(app, base_url=HERE)


def routes_of(routes, prefix=""):
    """(method, path) of every route, those of mounted apps with them; parameters are filled in."""
    for route in routes:
        path = prefix + re.sub(r"[{}]|:path", "", getattr(route, "path", ""))
        included = getattr(route, "original_router", None)  # newer versions of fastapi keep what was included apart
        if included is not None:
            yield from routes_of(included.routes, path if "/gradio_api" in included.routes[0].path else "/gradio_api")
        yield from routes_of(getattr(route, "routes", None) or [], path.rstrip("/"))
        for method in getattr(route, "methods", None) or ():
            yield method, path


def test_no_route_of_gradio_answers_a_foreign_name_or_page(app, client):
    found = {(method, path) for method, path in routes_of(app.routes) if not path.startswith("/lora-trainer")}
    assert any("upload" in path for _, path in found) and any("file=" in path for _, path in found)
    for method, path in found:
        for headers in FOREIGN:
            assert client.request(method, path, headers=headers).status_code == 403, (method, path, headers)


def test_of_gradio_only_the_page_is_served(app, client):
    page = client.get("/", headers={"origin": HERE})
    assert page.status_code == 200 and "lora_trainer_root" in page.text
    assert client.get("/config").status_code == 200
    for method, path in {(method, path) for method, path in routes_of(app.routes) if not path.startswith("/lora-trainer")}:
        if method == "POST" or "file=" in path or "/file/" in path or "proxy=" in path:
            assert client.request(method, path).status_code == 404, (method, path)


@pytest.mark.parametrize("path", ["/gradio_api/upload", "/upload"])
def test_nothing_is_written_for_an_upload_to_gradio(client, tmp_path, monkeypatch, path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    for headers in ({}, {"origin": HERE}, {"origin": "http://evil.example"}):
        assert client.post(path, files={"files": ("a.png", b"x" * 1000)}, headers=headers).status_code in {403, 404}
    assert list(tmp_path.rglob("*")) == []


def test_a_link_on_another_page_leads_to_ours_but_to_nothing_of_the_api(client):
    followed = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert client.get("/", headers=followed).status_code == 200
    assert client.get("/lora-trainer/api/state", headers=followed).status_code == 403
    assert client.get("/", headers={**followed, "host": "evil.example"}).status_code == 403


def test_no_other_site_may_show_the_page_in_a_frame(client):
    for path in ("/", "/config", "/lora-trainer/api/state", STYLE, "/nothing"):
        headers = client.get(path).headers
        assert headers.get_list("content-security-policy") == ["frame-ancestors 'self'"], path
        assert headers.get_list("x-frame-options") == ["SAMEORIGIN"], path


def test_a_web_socket_of_a_foreign_page_is_closed(client):
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/queue/join", headers={"origin": "http://evil.example"}):
        pass


def test_a_login_stands_before_everything_and_a_foreign_page_gets_none(client, host, monkeypatch):
    monkeypatch.setattr(host, "auth", "me:secret")
    for path in ("/", "/config", "/lora-trainer/api/state", STYLE, "/gradio_api/info"):
        refused = client.get(path)
        assert refused.status_code == 401 and "Basic" in refused.headers["www-authenticate"], path
        assert refused.headers["x-lora-trainer"] == "1"  # a second start knows us by it
        assert client.get(path, headers={"origin": "http://evil.example", **basic("me:secret")}).status_code == 403
    assert client.get("/", headers=basic("me:secret")).status_code == 200


def test_a_name_given_on_the_command_line_is_answered_however_the_proxy_hands_it_on(client, host, monkeypatch):
    monkeypatch.setattr(host, "names", frozenset({"ai.example.org"}))
    for headers in ({"host": "ai.example.org"}, {"origin": "https://ai.example.org"}):
        assert client.get("/", headers=headers).status_code == 200
        assert client.post("/lora-trainer/api/check", json={"values": {}}, headers=headers).status_code == 200
