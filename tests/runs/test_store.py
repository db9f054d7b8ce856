import sqlite3
import time

import pytest

from lora_trainer.errors import StoreError
from lora_trainer.runs import migrations
from lora_trainer.runs.store import Store


@pytest.fixture
def path(tmp_path):
    return tmp_path / "user" / "runs.db"


def test_runs_are_found_again_after_opening_the_store_anew(path):
    store = Store(path)
    store.add("a", "frog")
    store.change("a", state="failed", message="why", ended=5.0)
    store.release()
    run = Store(path).get("a")
    assert (run.name, run.state, run.message, run.ended) == ("frog", "failed", "why", 5.0)


def test_the_queue_is_first_come_first_served_and_the_list_newest_first(path):
    store = Store(path)
    for name in ("one", "two", "three"):
        store.add(name, name)
    assert [run.id for run in store.queue()] == ["one", "two", "three"]
    assert [run.id for run in store.runs()] == ["three", "two", "one"]
    store.change("one", state="running", started=1.0)
    assert [run.id for run in store.queue()] == ["two", "three"]
    assert store.active().id == "one"
    assert [run.id for run in store.runs("queued", limit=1)] == ["three"]


def test_a_change_that_expects_another_state_changes_nothing(path):
    store = Store(path)
    store.add("a", "frog")
    assert store.change("a", only_from=("queued",), state="running")
    assert not store.change("a", only_from=("queued",), state="running")


def test_a_second_store_may_look_but_not_write_until_the_first_lets_go(path):
    first, second = Store(path, program="the Web UI"), Store(path)
    first.add("a", "frog")
    assert second.get("a").name == "frog"
    assert "the Web UI" in second.other_owner()
    with pytest.raises(StoreError, match="can only be looked at"):
        second.add("b", "toad")
    with pytest.raises(StoreError, match="can only be looked at"):
        second.change("a", state="failed")
    assert not second.claim()
    first.release()
    assert second.claim()
    second.add("b", "toad")
    with pytest.raises(StoreError, match="can only be looked at"):
        first.add("c", "newt")


def rewrite_owner(store, **columns):
    db = sqlite3.connect(store.path, isolation_level=None)
    for column, value in columns.items():
        db.execute(f"UPDATE owner SET {column} = ?", (value,))  # noqa: S608
    db.close()


def test_a_dead_owner_is_replaced_at_once_even_when_its_process_id_is_used_again(path):
    first = Store(path)
    rewrite_owner(first, mark="started at another time")
    assert Store(path).other_owner() == ""


def test_an_owner_on_another_machine_is_replaced_after_a_minute_of_silence(path):
    first = Store(path)
    rewrite_owner(first, machine="elsewhere", pid=1)
    assert Store(path).other_owner() != ""
    rewrite_owner(first, heartbeat=time.time() - 61)
    assert Store(path).other_owner() == ""


@pytest.mark.parametrize("damage", ["text", "cut", "zeroed"])
def test_a_damaged_store_is_refused_with_what_to_do(path, damage):
    store = Store(path)
    for number in range(200):
        store.add(f"run-{number}", "frog" * 20)
    store.close()
    whole = path.read_bytes()
    if damage == "text":
        path.write_bytes(b"this is no database" * 100)
    elif damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    else:
        path.write_bytes(whole[:4096] + bytes(4096) + whole[8192:])
    with pytest.raises(StoreError, match=r"(?s)damaged.*Move it"):
        Store(path)


@pytest.mark.parametrize(
    ("run_id", "position", "order"),
    [
        ("c", 1, "cabd"),
        ("a", 3, "bcad"),
        ("b", 2, "abcd"),
        ("a", 4, "bcda"),
        ("b", 10**30, "acdb"),
        ("d", -5, "dabc"),
    ],
)
def test_a_waiting_run_gets_another_place_and_new_ones_come_behind(path, run_id, position, order):
    store = Store(path)
    for one in "xabcd":
        store.add(one, one)
    store.change("x", state="running", started=1.0)
    assert store.move(run_id, position)
    store.add("e", "e")
    assert "".join(run.id for run in store.queue()) == order + "e"
    assert not store.move("x", 1) and not store.move("nothing", 1)
    assert "".join(run.id for run in store.queue()) == order + "e"


def test_a_store_of_a_newer_version_is_refused(path):
    Store(path).close()
    db = sqlite3.connect(path)
    db.execute("INSERT INTO migrations VALUES (999, 'from the future', 0)")
    db.commit()
    db.close()
    with pytest.raises(StoreError, match="newer version"):
        Store(path)


def test_migrations_are_applied_once_and_recorded(path, monkeypatch):
    Store(path).close()
    applied = []
    more = [*migrations.MIGRATIONS, (2, "a second one", lambda db: applied.append(db.execute("CREATE TABLE t (x)")))]
    monkeypatch.setattr(migrations, "MIGRATIONS", more)
    Store(path).close()
    Store(path).close()
    assert len(applied) == 1
    recorded = sqlite3.connect(path).execute("SELECT number, name FROM migrations").fetchall()
    assert recorded == [(1, "runs and the owner"), (2, "a second one")]


def test_a_migration_that_fails_leaves_the_schema_as_it_was(path, monkeypatch):
    def fail(db):
        db.execute("CREATE TABLE half (x)")
        raise RuntimeError("in the middle")

    Store(path).close()
    monkeypatch.setattr(migrations, "MIGRATIONS", [*migrations.MIGRATIONS, (2, "fails", fail)])
    with pytest.raises(RuntimeError):
        Store(path)
    tables = sqlite3.connect(path).execute("SELECT name FROM sqlite_master WHERE name = 'half'").fetchall()
    assert tables == []


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "user").write_text("a file")
    with pytest.raises(StoreError, match="runs.db"):
        Store(tmp_path / "user" / "runs.db")


def test_a_full_disk_is_told_as_such_and_the_store_goes_on_when_there_is_room(path):
    store = Store(path)
    store.add("a", "frog")
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count = {pages}")  # a full disk ends SQLite's transaction by itself
    with pytest.raises(StoreError, match="disk is full"):
        store.change("a", message="x" * 100_000)
    store._db.execute("PRAGMA max_page_count = 100000")
    assert store.change("a", message="x" * 100_000)
