"""Our routes ask for the host's logins themselves: nothing is inherited from the host."""

from __future__ import annotations

import base64
from types import SimpleNamespace

import pytest

from lora_trainer.hosts.base import LOOPBACK
from lora_trainer.hosts.fake import FakeHost
from lora_trainer.hosts.webui import access, settings
from lora_trainer.hosts.webui.host import WebuiHost

from . import webui_stub


def request(*, login=None, cookies=None, basic=None):
    headers = {"authorization": "Basic " + base64.b64encode(basic.encode()).decode()} if basic else {}
    app = SimpleNamespace(auth=login, tokens={"session": "u"} if login else {})
    return SimpleNamespace(app=app, cookies=cookies or {}, headers=headers)


PAGE = {access.PAGE_KEY_COOKIE: access.page_key()}
TABLE = [
    # --gradio-auth, --api-auth, request -> allowed
    (None, None, {}, True),
    ({"u": "p"}, None, {}, False),
    ({"u": "p"}, None, {"cookies": {"access-token": "session"}}, True),
    ({"u": "p"}, None, {"cookies": {"access-token-unsecure": "session"}}, True),
    ({"u": "p"}, None, {"cookies": {"access-token-abc": "session"}}, True),
    ({"u": "p"}, None, {"cookies": {"access-token": "other"}}, False),
    ({"u": "p"}, None, {"cookies": {"other": "session"}}, False),
    ({"u": "p"}, None, {"basic": "u:p"}, False),
    ({"u": "p"}, None, {"cookies": PAGE}, True),
    (None, "a:b", {}, False),
    (None, "a:b", {"cookies": {"access-token": "session"}}, False),
    (None, "a:b", {"basic": "a:b"}, True),
    (None, "a:b,c:d", {"basic": "c:d"}, True),
    (None, "a:b", {"basic": "a:c"}, False),
    (None, "a:b", {"basic": "a:"}, False),
    (None, "a:b", {"cookies": PAGE}, True),
    (None, "a:b", {"cookies": {access.PAGE_KEY_COOKIE: "guess"}}, False),
    ({"u": "p"}, "a:b", {"cookies": {"access-token": "session"}}, True),
    ({"u": "p"}, "a:b", {"basic": "a:b"}, True),
    ({"u": "p"}, "a:b", {}, False),
]


@pytest.mark.parametrize(("login", "api_auth", "given", "expected"), TABLE)
def test_who_may_use_our_routes(monkeypatch, tmp_path, login, api_auth, given, expected):
    webui_stub.install(monkeypatch, tmp_path, api_auth=api_auth)
    assert access.allowed(request(login=login, **given)) is expected


@pytest.mark.parametrize("header", ["Basic", "Basic !!!", "Basic /w==", "Bearer YTpi", ""])
def test_broken_credentials_are_refused_without_an_error(monkeypatch, tmp_path, header):
    webui_stub.install(monkeypatch, tmp_path, api_auth="a:b")
    asked = request()
    asked.headers["authorization"] = header
    assert access.allowed(asked) is False


def test_the_settings_name_the_hosts_that_a_proxy_may_show(monkeypatch, tmp_path):
    stub = webui_stub.install(monkeypatch, tmp_path)
    monkeypatch.setattr(WebuiHost, "paths", lambda self: FakeHost(tmp_path).paths())
    host = WebuiHost()
    assert host.access().allowed == frozenset() and host.access().host_names == LOOPBACK
    stub.shared.opts.data[settings.ALLOWED_HOSTS] = "https://ai.example.org/, other.example"
    assert host.access().allowed == {"ai.example.org", "other.example"} < host.access().host_names
    assert settings.ALLOWED_HOSTS_LABEL in host.access().how_to_allow
    stub.shared.opts.data[settings.ALLOWED_HOSTS] = ["no text"]
    assert host.access().allowed == frozenset()
    stub.shared.cmd_opts.listen = True
    assert host.access().host_names is None
