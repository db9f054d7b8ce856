"""Whatever happens to a picture, its host or the training while the card goes from one to the other: nothing waits for ever,
nothing is lost, and the card is the training's again.

Each case is played with a fake worker in a process of its own, and the host's end as the Web UI has it: a thread that asks for
the card (Borrowing), while the supervisor looks.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from lora_trainer.runs import borrowing, control
from lora_trainer.runs.borrowing import Borrowing
from lora_trainer.runs.lending import Lending, Standing
from lora_trainer.runs.policies import AUTOMATIC, HAND_OVER, REFUSE, SHARE
from lora_trainer.runs.progress import Progress
from lora_trainer.runs.store import FAILED, FINISHED, STOPPED

from .harness import make, run_until, submit, until

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the fake worker is started by a shell script")

GIB = 1 << 30
ROOMY = {"free": 10 * GIB, "reserved": 4 * GIB, "peak": 5 * GIB}  # 9 of them free for others: the training takes one again
TIGHT = {"free": 4 * GIB, "reserved": 4 * GIB, "peak": 5 * GIB}


class Picture(threading.Thread):
    """Asks for the card, draws until `finish` is set, and leaves."""

    def __init__(self, world, *, need=None, fails=False):
        super().__init__(daemon=True)
        self.world, self.need, self.fails = world, need, fails
        self.interrupted, self.begun, self.finish = threading.Event(), threading.Event(), threading.Event()
        self.reason, self.told = None, []
        self.start()

    def run(self):
        with self.world.borrow(self.interrupted.is_set, self.told.append, self.need) as self.reason:
            if self.reason:
                return
            self.begun.set()
            if not self.fails:
                self.finish.wait(200)

    def drawn(self):
        """Let it draw to its end."""
        self.world.until(self.begun.is_set)
        self.finish.set()
        self.join(200)
        return self


@dataclass
class World:
    """A run at work, and a host. `until` lets the supervisor look again and again."""

    supervisor: object
    lending: Lending
    borrow: Borrowing
    chosen: SimpleNamespace  # the policy, which may be chosen anew meanwhile
    pictures: list = field(default_factory=list)

    def until(self, condition):
        until(self.supervisor, condition)

    def picture(self, **how):
        self.pictures.append(Picture(self, **how))
        return self.pictures[-1]

    @property
    def folder(self):
        return self.supervisor.folder("run-1")

    @property
    def asked(self):
        return control.read_control(self.folder.control)

    def standing(self):
        return self.supervisor.standing(self.supervisor.store.get("run-1"))

    def given_back(self):
        self.until(lambda: not self.asked.is_off_the_card and not self.asked.is_shared)


@dataclass(frozen=True)
class Case:
    """`play(world)`, after which the card was handed over and shared so often and the run ends as `state`."""

    play: Callable[[World], None]
    hand_overs: int = 0
    shares: int = 0
    state: str = FINISHED
    policy: str = AUTOMATIC
    memory: dict | None = None


def two_at_once(world):
    first, second = world.picture(), world.picture()
    world.until(lambda: first.begun.is_set() and second.begun.is_set())
    first.drawn()
    assert world.standing().is_free, "the other one draws"
    second.drawn()


def ten_over_the_api(world):
    for _ in range(10):
        world.picture().drawn()
    world.lending.go_on_now()


def a_script_with_pictures_inside(world):
    outer = world.picture()
    for _ in range(3):
        world.picture().drawn()
    outer.drawn()


def fails(world):
    picture = world.picture(fails=True)
    world.until(lambda: not picture.is_alive())
    assert picture.begun.is_set()


def interrupted_while_waiting(world):
    world.lending.idle_seconds = 1000.0  # which is for further pictures, and there was none
    (world.folder.path / "deaf").touch()
    picture = world.picture()
    world.until(lambda: world.asked.park)
    assert not picture.begun.is_set() and world.standing().waited is not None
    picture.interrupted.set()
    world.until(lambda: not picture.is_alive())
    assert "was interrupted while it waited" in picture.reason
    (world.folder.path / "deaf").unlink()


def interrupted_while_drawing(world):
    picture = world.picture()
    world.until(picture.begun.is_set)
    picture.interrupted.set()
    picture.drawn()


def worker_dies_while_parked(world):
    picture = world.picture()
    world.until(picture.begun.is_set)
    (world.folder.path / "die").touch()
    run_until(world.supervisor, FAILED)
    assert world.standing().is_free and picture.is_alive()
    picture.drawn()
    assert world.picture().drawn().reason == "", "nobody else has the card"


def worker_dies_while_waited_for(world):
    (world.folder.path / "deaf").touch()
    picture = world.picture()
    world.until(lambda: world.asked.park)
    (world.folder.path / "die").touch()
    picture.drawn()
    assert picture.reason == ""


def host_dies_with_the_card(world):
    picture = world.picture()
    world.until(picture.begun.is_set)
    world.supervisor.close()  # its successor knows of no picture
    world.supervisor = make(world.folder.path.parents[2], lending=Lending(idle_seconds=0.2))
    world.given_back()
    picture.finish.set()


def stopped_while_lent(world):
    picture = world.picture()
    world.until(picture.begun.is_set)
    world.supervisor.stop("run-1")
    run_until(world.supervisor, FINISHED)  # as the fake worker calls it
    picture.drawn()


def paused_and_let_go_on_while_lent(world):
    picture = world.picture()
    world.until(picture.begun.is_set)
    world.supervisor.pause("run-1", True)
    picture.drawn()
    world.lending.go_on_now()
    world.until(lambda: world.asked.park == 2)
    assert world.standing().is_free and world.standing().paused, "of the pause alone"
    assert world.picture().drawn().reason == ""
    world.supervisor.pause("run-1", False)


def keeps_the_card(world):
    picture = world.picture()
    world.until(lambda: not picture.is_alive())
    assert picture.reason == "The training keeps the card: no room."


def is_refused(world):
    picture = world.picture()
    world.until(lambda: not picture.is_alive())
    assert "how the program is set" in picture.reason and world.asked.park == 0
    world.supervisor.pause("run-1", True)
    assert world.picture().drawn().reason == "", "a paused training has no card"
    world.supervisor.pause("run-1", False)


def shares(world):
    picture = world.picture(need=7 * GIB)
    world.until(picture.begun.is_set)
    standing = world.standing()
    assert standing.shares and standing.is_free and world.asked.park == 0
    assert "trains on while you generate (step 1)" in picture.told[-1]
    picture.drawn()


def takes_turns(world):
    picture = world.picture(need=7 * GIB)
    world.until(picture.begun.is_set)
    assert not world.standing().shares
    assert "paused while you generate (step 1), goes on 0 s after" in picture.told[-1]
    picture.drawn()


def is_not_measured_yet(world):
    world.picture(need=None).drawn()


def a_larger_one_follows(world):
    world.lending.idle_seconds = 1000.0
    world.picture(need=7 * GIB).drawn()
    assert world.standing().shares
    larger = world.picture(need=9 * GIB)
    world.until(larger.begun.is_set)
    assert not world.standing().shares
    larger.drawn()
    world.lending.go_on_now()


def training_finds_it_too_full(world):
    first = world.picture(need=7 * GIB)
    world.until(first.begun.is_set)
    (world.folder.path / "crowd").touch()
    world.until(lambda: world.standing().is_free and not world.standing().shares)
    first.drawn()
    world.given_back()
    world.picture(need=7 * GIB).drawn()


def picture_finds_it_too_full(world):
    first = world.picture(need=7 * GIB)
    world.until(first.begun.is_set)
    assert world.borrow.crowded(), "it is worth another try"
    assert not world.standing().is_free, "until the training has left the card"
    world.until(lambda: world.standing().is_free)
    assert not world.borrow.crowded(), "alone it can but fail"
    first.drawn()
    world.given_back()
    world.picture(need=7 * GIB).drawn()


def turns_are_chosen_while_they_share(world):
    picture = world.picture(need=7 * GIB)
    world.until(picture.begun.is_set)
    assert world.standing().shares
    world.chosen.policy = HAND_OVER
    world.until(lambda: world.standing().is_free and not world.standing().shares)
    picture.drawn()


def none_are_chosen_while_one_is_drawn(world):
    world.lending.idle_seconds = 1000.0  # which is for further pictures, and there will be none
    picture = world.picture()
    world.until(picture.begun.is_set)
    world.chosen.policy = REFUSE
    picture.drawn()
    assert picture.reason == "", "what was begun is drawn"
    world.given_back()
    later = world.picture()
    world.until(lambda: not later.is_alive())
    assert "how the program is set" in later.reason


CASES = {
    "two generations at once": Case(two_at_once, hand_overs=1),
    "a batch over the API": Case(ten_over_the_api, hand_overs=1),
    "a script that draws several (X/Y/Z plot)": Case(a_script_with_pictures_inside, hand_overs=1),
    "a generation that fails": Case(fails, hand_overs=1),
    "one interrupted while it waits": Case(interrupted_while_waiting, hand_overs=1),
    "one interrupted while it is drawn": Case(interrupted_while_drawing, hand_overs=1),
    "a worker that dies while parked": Case(worker_dies_while_parked, hand_overs=1, state=FAILED),
    "a worker that dies while it is waited for": Case(worker_dies_while_waited_for, hand_overs=1, state=FAILED),
    "a host that dies while it has the card": Case(host_dies_with_the_card, hand_overs=1),
    "a run stopped while the card is lent": Case(stopped_while_lent, hand_overs=1),
    "a pause while the card is lent": Case(paused_and_let_go_on_while_lent, hand_overs=2),
    "a training that cannot leave the card": Case(keeps_the_card, hand_overs=1),
    "pictures that are refused by the settings": Case(is_refused, policy=REFUSE),
    "both fit": Case(shares, shares=1, memory=ROOMY),
    "both do not fit": Case(takes_turns, hand_overs=1, memory=TIGHT),
    "what pictures take is not known": Case(is_not_measured_yet, hand_overs=1, memory=ROOMY),
    "what the training takes is not known": Case(takes_turns, hand_overs=1, memory=None),
    "they do not fit and are to share": Case(shares, shares=1, policy=SHARE, memory=TIGHT),
    "they fit and are to take turns": Case(takes_turns, hand_overs=1, policy=HAND_OVER, memory=ROOMY),
    "turns are chosen while they share": Case(turns_are_chosen_while_they_share, hand_overs=1, shares=1, memory=ROOMY),
    "no pictures is chosen while one is drawn": Case(none_are_chosen_while_one_is_drawn, hand_overs=1),
    "a larger picture follows": Case(a_larger_one_follows, hand_overs=1, shares=1, memory=ROOMY),
    "the training finds the card too full": Case(training_finds_it_too_full, hand_overs=2, shares=1, memory=ROOMY),
    "a picture finds the card too full": Case(picture_finds_it_too_full, hand_overs=2, shares=1, memory=ROOMY),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_nothing_waits_for_ever_and_the_card_is_the_trainings_again(case, tmp_path):
    chosen = SimpleNamespace(policy=case.policy)
    lending = Lending(policy=lambda: chosen.policy, idle_seconds=0.2)
    supervisor = make(tmp_path, lending=lending)
    script = "keeps" if case.play is keeps_the_card else "parks"
    submit(supervisor, "step", script, memory=case.memory)
    until(supervisor, lambda: supervisor.progress("run-1")[0].step)
    world = World(supervisor, lending, Borrowing(supervisor), chosen)
    case.play(world)
    if not world.supervisor.store.get("run-1").ended:
        world.given_back()
        (world.folder.path / "go-on").touch()
    run = run_until(world.supervisor, case.state, FINISHED, FAILED, STOPPED)
    for picture in world.pictures:
        picture.join(200)
        assert not picture.is_alive()
    asked = world.asked
    assert ((asked.park + 1) // 2, (asked.share + 1) // 2) == (case.hand_overs, case.shares)
    assert run.state == case.state and world.standing().is_free
    assert world.supervisor.host.calls[-1][0] in ("reclaim_gpu", "lora_changed")


def test_who_waits_is_told_what_the_training_does_and_after_a_while_the_log_is_too(monkeypatch, caplog):
    """It goes on waiting; nothing is thrown."""
    progress = Progress(step=412, phase={"name": "drawing samples", "done": 2, "total": 4})
    progress.fold({"type": "phase", "name": "saving frog-step00000412.safetensors", "done": 0, "total": 0, "aside": True})
    supervisor = SimpleNamespace(
        lending=Lending(),
        store=SimpleNamespace(active=lambda: SimpleNamespace(name="frog", id="run-1")),
        standing=lambda run: Standing(is_asked=True, waited=31.0),
        progress=lambda run_id: (progress, 0),
    )
    monkeypatch.setattr(borrowing, "LATE_SECONDS", 0.0)
    told = []

    def tell(text):
        told.append(text)
        progress.fold({"type": "phase", "name": "", "done": 0, "total": 0, "aside": True})

    with caplog.at_level("WARNING"), Borrowing(supervisor)(lambda: len(told) == 3, tell) as reason:
        assert "was interrupted while it waited" in reason
    assert told[0] == "Waiting until the training of frog makes room (saving frog-step00000412.safetensors; 0 s)."
    assert told[1] == "Waiting until the training of frog makes room (drawing samples 2/4; 0 s)."
    (said,) = [one.getMessage() for one in caplog.records]
    assert "frog: saving frog-step00000412" in said
