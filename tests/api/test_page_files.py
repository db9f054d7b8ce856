"""How the page's own files are served: as what they are, once, and never of another version than the program."""

import pytest

from lora_trainer.ui.assets import assets

ASSETS = f"/lora-trainer/assets/{assets().version}/"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("page.js", "text/javascript"),
        ("runs/chart.js", "text/javascript"),
        ("lora_trainer.mjs", "text/javascript"),
        ("style.css", "text/css"),
    ],
)
def test_a_file_is_served_as_what_it_is_and_kept_by_the_browser(client, name, kind):
    answer = client.get(ASSETS + name)
    assert answer.content == assets().files[name]
    assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "immutable" in answer.headers["cache-control"] and "private" in answer.headers["cache-control"]
    again = client.get(ASSETS + name, headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_another_version_is_refused_and_not_answered_with_the_files_of_this_one(client):
    refused = client.get("/lora-trainer/assets/0123456789abcdef/page.js", headers={"accept-language": "ko"})
    assert refused.status_code == 404 and refused.headers["cache-control"] == "no-store"
    assert "버전" in refused.json()["error"]["message"] and refused.json()["error"]["advice"]
    assert "x-lora-trainer" in refused.headers  # by this the entry knows that waiting will not help


@pytest.mark.parametrize("name", ["", "nothing.js", "../page.js", "..%2f..%2fstate.py", "runs", "runs/"])
def test_nothing_else_is_served_from_there(client, name):
    assert client.get(ASSETS + name).status_code == 404


def test_the_login_stands_before_the_files_as_well(client, host):
    host.password = "secret"
    assert client.get(ASSETS + "page.js").status_code == 401


def test_the_state_names_the_version_of_the_files(client):
    assert client.get("/lora-trainer/api/state").json()["page"] == assets().version


def test_files_that_change_under_a_running_program_are_not_served_before_its_next_start(client, monkeypatch, tmp_path):
    from lora_trainer.ui import assets as module

    (tmp_path / "page.js").write_text("// another")
    monkeypatch.setattr(module, "MODULES_DIR", tmp_path)
    assert client.get(ASSETS + "page.js").content == assets().files["page.js"] != b"// another"
