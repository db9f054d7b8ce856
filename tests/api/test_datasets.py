"""The routes of the data set page: opening, looking, and what may not be reached through them."""

import os
import time
from pathlib import Path

import pytest
from PIL import Image

from lora_trainer.data.plan.files import FactsCache

from .conftest import get, picture, post


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "frogs"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes(picture(color=(number * 40, 90, 30)))
        (folder / f"{number}.txt").write_text(f"a frog, number {number}")
    return folder


@pytest.fixture
def opened(client, images):
    answer = post(client, "datasets", {"folders": [str(images)]})
    assert answer.status_code == 200, answer.text
    return answer.json()


def ask(client, dataset, what, body=None):
    return post(client, f"datasets/{dataset['id']}/{what}", body or {})


def test_a_folder_is_opened_and_its_pictures_are_found(client, images, opened):
    facts = {"images": 3, "problem": "", "read_only": False, "earlier": []}
    assert opened["folders"] == [{"path": str(images), "name": "frogs", **facts}]
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


def test_the_end_of_a_caption_that_is_not_read_at_once_is_told(client, images):
    (images / "0.txt").write_text(", ".join(f"tag {number}" for number in range(30)) + "\nsecond line")
    opened = post(client, "datasets", {"folders": [str(images)]}).json()
    ids = ask(client, opened, "query", {}).json()["ids"]
    long, short = (row["unread"] for row in ask(client, opened, "rows", {"ids": ids[:2]}).json()["rows"])
    assert (long[:6], long[-6:], short) == ("21, ta", "tag 29", "")


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


# -- changing ---------------------------------------------------------------------------------------------------------

ADD = {"kind": "add", "tags": ["sls"], "at": "start"}


def ids_of(client, dataset, text=""):
    return ask(client, dataset, "query", {"filter": text}).json()["ids"]


def test_an_edit_is_previewed_done_undone_and_told(client, images, opened):
    seen = ask(client, opened, "preview", {"edit": ADD, "filter": "1 OR 2"}).json()
    first = ids_of(client, opened, "1")[0]
    example = {"id": first, "before": "a frog, number 1", "after": "sls, a frog, number 1"}
    assert (seen["changed"], seen["of"], seen["examples"][0], seen["conflicts"]) == (2, 2, example, [])
    assert (images / "1.txt").read_text() == "a frog, number 1"
    version = opened["version"]
    done = ask(client, opened, "edit", {"edit": ADD, "filter": "1 OR 2"}).json()
    assert (done["changed"], done["conflicts"], done["dataset"]) == (2, [], opened["id"])
    assert (done["step"]["title"], done["step"]["edit"], done["undo"]["step"]) == (
        "Tags added: sls", ADD, done["step"]["step"],
    )  # fmt: skip
    assert (images / "1.txt").read_text() == "sls, a frog, number 1"
    new = get(client, f"datasets/{opened['id']}/changes?since={version}").json()
    assert (sorted(new["changed"]), new["all"], new["undo"]["step"]) == (
        sorted(ids_of(client, opened, "sls")), False, done["step"]["step"],
    )  # fmt: skip
    undone = ask(client, opened, "undo").json()
    assert (undone["changed"], undone["undo"], undone["redo"]["step"]) == (2, None, done["step"]["step"])
    assert (images / "1.txt").read_text() == "a frog, number 1"
    assert ask(client, opened, "redo").json()["changed"] == 2
    (step,) = get(client, f"datasets/{opened['id']}/history").json()["steps"]
    assert (step["state"], step["changed"]) == ("done", 2)
    (change,) = get(client, f"datasets/{opened['id']}/history?image={first}").json()["changes"]
    assert (change["before"], change["after"]) == ("a frog, number 1", "sls, a frog, number 1")
    korean = get(client, f"datasets/{opened['id']}/history", headers={"Accept-Language": "ko"}).json()
    assert korean["steps"][0]["title"].startswith("태그 추가")


def test_a_caption_that_somebody_else_changed_is_a_conflict(client, images, opened):
    (row,) = ask(client, opened, "rows", {"ids": ids_of(client, opened, "1")}).json()["rows"]
    (images / "1.txt").write_text("mine")
    body = {
        "edit": {"kind": "caption", "text": "yours"},
        "ids": [row["id"]],
        "versions": {str(row["id"]): row["version"]},
    }
    refused = ask(client, opened, "edit", body).json()
    assert (refused["step"], refused["conflicts"][0]["caption"]) == (None, "mine")
    assert (images / "1.txt").read_text() == "mine"
    assert ask(client, opened, "edit", {**body, "force": True}).json()["changed"] == 1
    assert (images / "1.txt").read_text() == "yours"


def test_tags_are_counted_and_suggested(client, opened, service):
    counted = ask(client, opened, "tags", {"starts": "a"}).json()
    assert (counted["tags"], counted["total"], counted["untagged"]) == ([{"tag": "a frog", "count": 3}], 1, 0)
    by_name = ask(client, opened, "tags", {"order": "name", "limit": 2}).json()
    assert ([one["tag"] for one in by_name["tags"]], by_name["total"]) == (["a frog", "number 0"], 4)
    lists = service.paths.user_dir / "tags"
    lists.mkdir(parents=True)
    (lists / "danbooru.csv").write_text(
        'tag,category,count,alias\nfrog_hat,0,50,\nred_eyes,0,900,"crimson_frog,x"\nfrogs,0,10\n1girl,0,9999,\n'
    )
    found = get(client, f"datasets/{opened['id']}/suggest", params={"q": "Frog"}).json()["suggestions"]
    assert [(one["tag"], one["count"], one["known"], one["alias"]) for one in found] == [
        ("a frog", 3, 0, ""), ("frog_hat", 0, 50, ""), ("frogs", 0, 10, ""), ("red_eyes", 0, 900, "crimson frog"),
    ]  # fmt: skip


def test_what_changed_on_the_disk_is_told(client, images, opened, service):
    service.datasets.get(opened["id"])._checked = -1e9
    (images / "new.png").write_bytes(picture())
    (images / "0.png").unlink()
    gone = ids_of(client, opened, "name:0")
    changes = get(client, f"datasets/{opened['id']}/changes?since={opened['version']}").json()
    assert (changes["gone"], len(changes["added"]), changes["all"]) == (gone, 1, False)
    assert get(client, f"datasets/{opened['id']}/changes?since=5").json()["all"]
    assert get(client, f"datasets/{opened['id']}/changes?since=x").status_code == 400


def test_an_upload_that_a_run_trains_from_is_copied_before_it_is_changed(client, service, host, values):
    upload = service.uploads.new()
    folder = service.uploads.folder(upload)
    for number in range(3):
        (folder / f"{number}.png").write_bytes(picture(color=(number * 40, 9, 9)))
        (folder / f"{number}.txt").write_text("frog")
    dataset = post(client, "datasets", {"folders": [upload]}).json()
    ids = ids_of(client, dataset)
    stars = {"edit": {"kind": "stars", "count": 2}, "ids": ids[:1]}
    ask(client, dataset, "edit", stars)
    ask(client, dataset, "edit", {"edit": {"kind": "delete"}, "ids": ids[2:]})
    run = service.paths.runs / "a-run"
    run.mkdir(parents=True)
    (run / "dataset.toml").write_text(f"image_dir = '{folder}'")
    assert ask(client, dataset, "edit", stars | {"ids": ids[1:2]}).json()["dataset"] == dataset["id"]
    done = ask(client, dataset, "edit", {"edit": ADD, "ids": ids}).json()
    assert done["dataset"] != dataset["id"]
    assert done["changed"] == 2
    place = service.uploads.newest(folder)
    assert done["moved"] == {str(folder): str(place)}
    told = get(client, f"datasets/{done['dataset']}").json()["folders"]
    assert [(one["path"], one["earlier"]) for one in told] == [(str(place), [str(folder)])]
    assert (folder / "0.txt").read_text() == "frog"
    copy = {"id": done["dataset"]}
    again = post(client, "datasets", {"folders": [str(folder)]}).json()
    assert again["id"] == copy["id"], "who opens what was trained goes on where it is edited"
    old = ask(client, dataset, "edit", {"edit": ADD, "ids": ids_of(client, dataset)})
    assert old.status_code == 409 and "edited in a copy" in old.json()["error"]["message"], "another tab that stayed behind"
    rows = ask(client, copy, "rows", {"ids": ids}).json()["rows"]
    assert [(row["id"], row["caption"], row["stars"]) for row in rows] == [(ids[0], "sls, frog", 2), (ids[1], "sls, frog", 2)]
    for _ in range(3):
        assert ask(client, copy, "undo").json()["dataset"] == copy["id"]
    assert len(ids_of(client, copy)) == 3
    (run / "dataset.toml").write_text(f"image_dir = '{folder}' '{place}'")
    third = Path(ask(client, copy, "edit", {"edit": ADD, "ids": ids}).json()["moved"][str(place)])
    assert service.uploads.earlier(third) == [place, folder], "the copy of a copy"
    assert (folder / "0.txt").read_text() == "frog"
    assert not (folder / "2.png").exists()


def test_what_is_wrong_in_a_change_is_told_and_changes_nothing(client, images, opened):
    ids = ids_of(client, opened)
    for body in (
        {},
        {"edit": ADD},
        {"edit": {"kind": "x"}, "ids": ids},
        {"edit": ADD, "ids": "all"},
        {"edit": ADD, "filter": "("},
        {"edit": ADD, "ids": ids, "versions": {"a": "b"}},
        {"edit": ADD, "ids": ids, "versions": []},
        {"edit": ADD, "ids": ids, "force": "yes"},
        {"edit": {"kind": "regex", "pattern": "("}, "ids": ids},
        {"edit": {"kind": "caption", "text": "x"}, "ids": ids},
    ):
        for what in ("preview", "edit"):
            if what == "edit" or "force" not in body:
                assert ask(client, opened, what, body).status_code == 400, (what, body)
    assert ask(client, opened, "undo").status_code == 400
    assert ask(client, opened, "redo").status_code == 400
    assert [path.read_text() for path in sorted(images.glob("*.txt"))] == [f"a frog, number {number}" for number in range(3)]
    for what in ("edit", "undo", "redo", "preview", "tags", "query", "rows"):
        assert get(client, f"datasets/{opened['id']}/{what}").status_code == 405
    for what in ("history", "changes", "suggest"):
        assert ask(client, opened, what).status_code == 405


def test_a_data_set_outside_of_the_folders_is_not_changed(client, host, images, opened, tmp_path):
    ids = ids_of(client, opened)
    host.folders = (tmp_path / "else",)
    for what in ("edit", "undo", "redo", "preview", "tags"):
        assert ask(client, opened, what, {"edit": ADD, "ids": ids}).status_code == 400
    for what in ("history", "changes?since=0", "suggest?q=a"):
        assert get(client, f"datasets/{opened['id']}/{what}").status_code == 400
    assert (images / "0.txt").read_text() == "a frog, number 0"


def test_pictures_that_are_left_out_are_not_trained_and_stay_where_they_are(client, images, opened, values):
    values["image_dir"] = str(images)
    assert post(client, "check", {"values": values}).json()["plan"]["images"] == 3
    ask(client, opened, "edit", {"edit": {"kind": "leave_out"}, "filter": "1"})
    checked = post(client, "check", {"values": values}).json()
    assert checked["plan"]["images"] == 2
    assert "exclude = ['1.png']" in checked["dataset"]
    assert (images / "1.png").exists()
    ask(client, opened, "undo")
    assert post(client, "check", {"values": values}).json()["plan"]["images"] == 3


def test_thumbnails_are_kept_up_to_a_size_the_newest_first(service, images, monkeypatch):
    made = [service.thumbnails.of(path) for path in sorted(images.glob("*.png"))]
    for age, path in enumerate(made):
        os.utime(path, (time.time() - 100 * age,) * 2)
    monkeypatch.setattr("lora_trainer.api.images._KEPT_BYTES", made[0].stat().st_size + made[1].stat().st_size)
    service.thumbnails.prune()
    assert [path.exists() for path in made] == [True, True, False]


def counts(client, dataset, images, values):
    """(trained, cannot be read, not looked at yet) on the train page, in the plan and on the data set page."""
    listing = get(client, "images", params={"folder": str(images)}).json()
    broken = [one["name"] for one in listing["images"] if one["problem"]]
    train = (len(listing["images"]) - len(broken), len(broken), listing["waiting"])
    plan = post(client, "check", {"values": values}).json()
    damaged = sum(one.get("code") == "damaged" for one in plan["problems"])
    seen = ask(client, dataset, "query", {"filter": "", "counts": ["-broken -left_out", "broken"]}).json()["counts"]
    view = get(client, f"datasets/{dataset['id']}/changes", params={"since": dataset["version"]}).json()
    return train, (plan["plan"]["images"], damaged, plan["plan"]["waiting"]), (*seen, view["unread"])


def test_a_picture_that_is_cut_short_counts_alike_on_all_pages_before_and_after_it_is_known(client, images, monkeypatch):
    Image.effect_noise((200, 200), 90).save(images / "1.png")
    (images / "1.png").write_bytes((images / "1.png").read_bytes()[:-9000])
    values = {"image_dir": str(images), "identifier": "sls", "class_name": "frog", "max_train_steps": 20, "resolution": "256"}
    with monkeypatch.context() as busy:
        busy.setattr(FactsCache, "_read_until", lambda *_: None)  # there is never time
        busy.setattr("lora_trainer.datasets.wholeness.Wholeness.begin", lambda _: None)
        busy.setattr("lora_trainer.data.plan.lint.behind.Behind.want", lambda *_: None)
        opened = post(client, "datasets", {"folders": [str(images)]}).json()
        assert counts(client, opened, images, values) == ((3, 0, 3), (3, 0, 3), (3, 0, 3))
    (images / "new.txt").write_text("so that the folder is looked at again")
    post(client, "datasets", {"folders": [str(images)]})
    deadline = time.monotonic() + 60
    while any(one[2] for one in counts(client, opened, images, values)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert counts(client, opened, images, values) == ((2, 1, 0), (2, 1, 0), (2, 1, 0))
