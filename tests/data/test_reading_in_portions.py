"""Pictures are read to their ends in portions: what there was no time for is told as such, and found when one asks again."""

import threading
import time

import pytest
from dataset_files import make_images, one_dataset, picture

from lora_trainer.data.plan import files, make_plan
from lora_trainer.data.plan.files import FACTS, FactsCache
from lora_trainer.data.plan.lint.behind import Behind
from lora_trainer.data.plan.remembered import Remembered

LATE = 0.0  # of time.monotonic: long ago


@pytest.fixture
def spec(tmp_path, monkeypatch):
    """Five pictures, of which the last is cut short; each ask reads one to its end."""
    folder = make_images(tmp_path / "frogs", {f"{name}.png": (64, 64) for name in "abcd"}, captions="frog")
    picture(64, 64).save(folder / "z.png")
    (folder / "z.txt").write_text("frog")
    (folder / "z.png").write_bytes((folder / "z.png").read_bytes()[:2000])
    left = [0]

    def real(self, path, end):
        left[0] -= 1
        return self._facts_of(path, True) if left[0] >= 0 else None

    monkeypatch.setattr(FactsCache, "_read_until", real)
    return one_dataset({"image_dir": folder, "caption_extension": ".txt"}), left


def asked(spec, portion):
    """(images of the plan, those that nobody has read yet, pictures that are told to be damaged)."""
    data, left = spec
    left[0] = portion
    plan = make_plan(data, until=LATE)
    return len(plan.images), plan.unread, [one.where[-5:] for one in plan.findings if one.code == "damaged"]


def test_a_plan_in_portions_comes_to_that_of_one_that_reads_all(spec):
    assert asked(spec, 0) == (5, 5, []), "by its header the last is a picture like the others"
    assert asked(spec, 3) == (5, 2, [])
    assert asked(spec, 2) == (4, 0, ["z.png"])
    assert asked(spec, 0) == (4, 0, ["z.png"]), "and that is remembered"
    whole = make_plan(spec[0])
    assert (len(whole.images), whole.unread) == (4, 0)


def test_what_another_part_of_the_program_has_read_is_known(spec):
    data, _ = spec
    folder = data.datasets[0].subsets[0].image_dir
    FACTS.look_at([str(folder / "z.png")])
    assert asked(spec, 0) == (4, 4, ["z.png"])


def until(is_so):
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_what_a_question_had_no_time_for_is_done_behind_it_and_ends_when_nobody_asks_any_more(monkeypatch):
    done, go = [], threading.Event()

    def step(name):
        return lambda paths: (done.append((name, len(paths))), go.wait(60))

    behind = Behind(step("read"), step("look"))
    behind.want([str(number) for number in range(100)])
    until(lambda: done)
    behind.want(["other"])
    go.set()
    until(lambda: not behind._is_at_work)
    assert done == [("read", 48), ("read", 48), ("read", 4), ("look", 48), ("look", 48), ("look", 4), ("read", 1), ("look", 1)]
    done.clear()
    monkeypatch.setattr("lora_trainer.data.plan.lint.behind._PATIENCE", -1.0)
    behind.want([str(number) for number in range(100)])
    until(lambda: not behind._is_at_work)
    assert done == [], "whoever asked has gone"


def test_a_picture_that_breaks_a_look_keeps_no_other_from_being_looked_at():
    done = []

    def step(paths):
        done.append(paths)
        raise ValueError("torn")

    behind = Behind(step)
    for name in ("a", "b"):
        behind.want([name])
        until(lambda: not behind._is_at_work)
    assert done == [("a",), ("b",)]


def test_a_file_that_moved_is_known_at_its_new_place(tmp_path, monkeypatch):
    folder = make_images(tmp_path / "frogs", {"a.png": (64, 64)})
    facts = FactsCache()
    facts.look_at([str(folder / "a.png")])
    (folder / "a.png").rename(folder / "b.png")
    facts.moved(str(folder / "a.png"), str(folder / "b.png"))
    monkeypatch.setattr(files, "read_facts", lambda *a, **k: pytest.fail("it was read again"))
    assert facts.look_at([str(folder / "b.png")])[0].size == (64, 64)


def test_what_two_ask_at_once_is_read_once(tmp_path):
    (tmp_path / "a").write_text("x")
    known, begun, go, reads = Remembered(), threading.Event(), threading.Event(), []

    def read(size):
        reads.append(size)
        begun.set()
        assert go.wait(30)
        return "found"

    said = []
    first, second = (threading.Thread(target=lambda: said.append(known.of(str(tmp_path / "a"), read))) for _ in range(2))
    first.start()
    assert begun.wait(30)
    second.start()
    go.set()
    first.join(30)
    second.join(30)
    assert (said, reads) == (["found", "found"], [1])


def test_a_reading_that_fails_is_no_answer_for_the_next(tmp_path):
    (tmp_path / "a").write_text("x")
    known = Remembered()
    with pytest.raises(ValueError, match="torn"):
        known.of(str(tmp_path / "a"), lambda size: (_ for _ in ()).throw(ValueError("torn")))
    assert known.of(str(tmp_path / "a"), lambda size: "whole") == "whole"
