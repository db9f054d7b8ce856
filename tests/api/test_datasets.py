"""The routes of the data set page: opening, looking, and what may not be reached through them."""

import pytest

from .conftest import get, picture, post


@pytest.fixture
def opened(client, images):
    answer = post(client, "datasets", {"folders": [str(images)]})
    assert answer.status_code == 200, answer.text
    return answer.json()


def ask(client, dataset, what, body=None):
    return post(client, f"datasets/{dataset['id']}/{what}", body or {})


def test_a_folder_is_opened_and_its_pictures_are_found(client, images, opened):
    assert opened["folders"] == [{"path": str(images), "name": "frogs", "images": 3, "problem": "", "read_only": False}]
    assert (opened["total"], opened["caption_extension"], opened["scan"]) == (3, ".txt", None)
    found = ask(client, opened, "query", {"filter": "number", "counts": ["1", "untagged", "tokens>1"]}).json()
    assert (found["total"], len(found["ids"]), found["counts"]) == (3, 3, [1, 0, 3])
    rows = ask(client, opened, "rows", {"ids": found["ids"]}).json()["rows"]
    assert [(row["name"], row["caption"], row["width"], row["height"]) for row in rows] == [
        (f"{number}.png", f"a frog, number {number}", 64, 48) for number in range(3)
    ]
    assert rows[1]["tags"] == ["a frog", "number 1"]
    assert rows[1]["tokens"] == 5
    assert rows[1]["bucket"] == [576, 448]


def test_a_data_set_has_the_same_id_whatever_the_order_and_after_a_restart(client, images, tmp_path, opened, service):
    other = tmp_path / "toads"
    other.mkdir()
    (other / "a.png").write_bytes(picture())
    both = post(client, "datasets", {"folders": [str(images), str(other)]}).json()
    again = post(client, "datasets", {"folders": [str(other), f"{images}/"]}).json()
    assert both["id"] == again["id"] != opened["id"]
    ids = ask(client, both, "query").json()["ids"]
    service.datasets.close()  # as after a restart: nothing is in memory
    assert sorted(ask(client, both, "query").json()["ids"]) == sorted(ids)
    assert [one["id"] for one in get(client, "datasets").json()["datasets"]] == [both["id"], opened["id"]]
    assert get(client, f"datasets/{both['id']}").json()["total"] == 4


def test_an_upload_is_opened_by_its_id(client, service):
    upload = service.uploads.new()
    (service.uploads.folder(upload) / "a.png").write_bytes(picture())
    assert post(client, "datasets", {"folders": [upload]}).json()["total"] == 1


def test_a_thumbnail_is_made_once_and_its_address_is_good_for_ever(client, opened):
    (row,) = ask(client, opened, "rows", {"ids": ask(client, opened, "query").json()["ids"][:1]}).json()["rows"]
    first = get(client, row["thumb"])
    assert first.headers["content-type"] == "image/jpeg"
    assert "immutable" in first.headers["cache-control"]
    assert get(client, row["thumb"], headers={"If-None-Match": first.headers["etag"]}).status_code == 304
    whole = get(client, f"datasets/{opened['id']}/image/{row['id']}")
    assert whole.headers["content-type"] == "image/png"


def test_a_broken_picture_is_shown_as_torn(client, images):
    (images / "9.png").write_bytes(b"no picture")
    dataset = post(client, "datasets", {"folders": [str(images)]}).json()
    (broken,) = ask(client, dataset, "query", {"filter": "broken"}).json()["ids"]
    (row,) = ask(client, dataset, "rows", {"ids": [broken]}).json()["rows"]
    assert "not an image" in row["problem"]
    assert get(client, row["thumb"]).headers["content-type"].startswith("image/svg+xml")


def test_what_is_wrong_in_a_question_is_told(client, opened):
    assert "at character 1" in ask(client, opened, "query", {"filter": "(a"}).json()["error"]["message"]
    for body in ({"sort": "colour"}, {"buckets": {"resolution": "x"}}, {"buckets": {"x": 1}}, {"counts": "a"}, {"filter": 1}):
        assert ask(client, opened, "query", body).status_code == 400, body
    for ids in (None, "1", [1.5], [True], list(range(501))):
        assert ask(client, opened, "rows", {"ids": ids}).status_code == 400
    assert ask(client, opened, "rows", {"ids": [10**15, -1]}).json()["rows"] == []
    for folders in (None, [], ["relative"], [1], ["/nowhere/at/all"]):
        assert post(client, "datasets", {"folders": folders}).status_code == 400


def test_no_other_data_set_and_no_picture_of_another_is_reached(client, opened, tmp_path):
    other = tmp_path / "toads"
    other.mkdir()
    (other / "a.png").write_bytes(picture())
    second = post(client, "datasets", {"folders": [str(other)]}).json()
    (foreign,) = ask(client, second, "query").json()["ids"]
    for kind in ("thumb", "image"):
        for number in (foreign, 10**12, "x", "-1", "1.5", "..%2F..%2Fx", "٣"):
            assert get(client, f"datasets/{opened['id']}/{kind}/{number}").status_code == 404
    assert ask(client, opened, "rows", {"ids": [foreign]}).json()["rows"] == []
    for name in ("0000", "..", "%2e%2e", "'; DROP TABLE sets"):
        assert get(client, f"datasets/{name}").status_code in {404, 405}


def test_a_data_set_outside_of_the_folders_is_refused_even_when_it_was_opened_before(client, host, images, opened, tmp_path):
    host.folders = (tmp_path / "else",)
    assert post(client, "datasets", {"folders": [str(images)]}).status_code == 400
    assert get(client, f"datasets/{opened['id']}").status_code == 400
    for what in ("query", "rows"):
        assert ask(client, opened, what, {"ids": [1]}).status_code == 400
    assert get(client, f"datasets/{opened['id']}/image/1").status_code == 400
    assert get(client, "datasets").json()["datasets"] == []
