"""A training lends the card to pictures and takes it back: asked in the control file, answered by events."""

import os
from dataclasses import replace

import pytest

from lora_trainer.runs import control
from lora_trainer.runs.folder import RunFolder
from lora_trainer.runs.generation import Generation
from lora_trainer.runs.lending import Lending, Standing
from lora_trainer.runs.progress import Progress
from lora_trainer.runs.store import FINISHED, RUNNING

from .harness import make, run_until, submit, until

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the fake worker is started by a shell script")


class Pictures:
    """Who makes pictures: wants the card, or keeps something on it."""

    def __init__(self):
        self.wanted, self.busy, self.served, self.left = False, False, 0, 0

    def serve(self):
        self.served += 1

    def leave(self):
        self.left += not self.busy
        return not self.busy


@pytest.fixture
def pictures():
    return Pictures()


@pytest.fixture
def supervisor(tmp_path, pictures):
    lending = Lending(wants=lambda: pictures.wanted, serve=pictures.serve, leave=pictures.leave, idle_seconds=1.0)
    return make(tmp_path, lending=lending)


def begin(supervisor, *script, **request):
    submit(supervisor, "step", *(script or ("parks",)), **request)
    until(supervisor, lambda: supervisor.progress("run-1")[0].step)
    return lambda: supervisor.standing(supervisor.store.get("run-1"))


def finish(supervisor):
    (supervisor.folder("run-1").path / "go-on").touch()
    return run_until(supervisor, FINISHED)


def test_a_training_is_not_disturbed_while_nobody_wants_pictures(supervisor):
    standing = begin(supervisor)
    for _ in range(10):
        supervisor.tick()
    assert not standing().is_free and not standing().is_asked
    assert control.read_control(supervisor.folder("run-1").control).park == 0
    finish(supervisor)
    assert standing().is_free, "nobody has the card"


def test_the_card_is_lent_until_the_last_picture_and_a_while_after(supervisor, pictures):
    standing = begin(supervisor)
    pictures.wanted = True
    supervisor.tick()
    assert standing().is_asked
    until(supervisor, lambda: standing().is_free)
    assert pictures.served and standing().seconds_left is None and not pictures.left
    pictures.wanted = False
    supervisor.tick()
    assert 0 <= standing().seconds_left <= 1.0
    until(supervisor, lambda: not standing().is_asked)
    assert pictures.left == 1
    until(supervisor, lambda: supervisor.progress("run-1")[0].parked is None)
    assert control.read_control(supervisor.folder("run-1").control).park == 2
    finish(supervisor)


def test_ten_pictures_in_a_row_cost_one_hand_over(supervisor, pictures):
    standing = begin(supervisor)
    supervisor.lending.idle_seconds = 60.0
    for _ in range(10):
        supervisor.lending.begin()
        until(supervisor, lambda: standing().is_free)
        supervisor.lending.end()
    assert control.read_control(supervisor.folder("run-1").control).park == 1
    assert 50 < standing().seconds_left <= 60
    supervisor.lending.go_on_now()
    until(supervisor, lambda: not standing().is_asked)
    finish(supervisor)


def test_a_host_whose_things_are_in_use_keeps_the_card(supervisor, pictures):
    standing = begin(supervisor)
    pictures.wanted = pictures.busy = True
    until(supervisor, lambda: standing().is_free)
    pictures.wanted = False
    supervisor.lending.go_on_now()
    for _ in range(5):
        supervisor.tick()
    assert standing().is_free and standing().is_asked
    pictures.busy = False
    until(supervisor, lambda: not standing().is_asked)
    finish(supervisor)


def test_a_pause_lasts_over_a_restart_of_the_host_and_the_card_is_free_meanwhile(supervisor, tmp_path):
    standing = begin(supervisor)
    supervisor.pause("run-1", True)
    until(supervisor, lambda: standing().is_free)
    assert standing().paused and standing().seconds_left is None
    supervisor.close()
    following = make(tmp_path)
    for _ in range(3):
        following.tick()
    run = following.store.get("run-1")
    assert run.state == RUNNING and following.standing(run).is_free and following.standing(run).paused
    following.pause("run-1", False)
    until(following, lambda: following.progress("run-1")[0].parked is None)
    assert not following.standing(following.store.get("run-1")).is_asked
    finish(following)


def test_a_host_that_follows_one_that_had_borrowed_the_card_gives_it_back(supervisor, tmp_path, pictures):
    standing = begin(supervisor)
    pictures.wanted = True
    until(supervisor, lambda: standing().is_free)
    supervisor.close()
    following = make(tmp_path)
    until(following, lambda: following.progress("run-1")[0].parked is None)
    finish(following)


def test_why_a_training_keeps_the_card_is_told(supervisor, pictures):
    standing = begin(supervisor, "keeps")
    pictures.wanted = True
    until(supervisor, lambda: standing().refusal)
    assert standing().refusal == "The training keeps the card: no room." and not standing().is_free
    pictures.wanted = False
    finish(supervisor)


def test_an_answer_to_an_earlier_pause_does_not_count_for_the_one_that_followed_it(tmp_path):
    """Between them the worker was told to go on, and may be coming back to the card."""
    folder, lending = RunFolder(tmp_path), Lending()
    first = control.ask(folder.control, paused=True)
    progress = Progress(parked={"park": 0, "paused": True, "pauses": first.pauses})
    assert lending.standing(folder, progress).is_free
    assert not lending.standing(folder, replace(progress, parked=None)).is_free
    control.ask(folder.control, paused=False)
    again = control.ask(folder.control, paused=True)
    assert not lending.standing(folder, progress).is_free
    assert lending.standing(folder, replace(progress, parked={"park": 0, "pauses": again.pauses})).is_free


def test_a_run_stopped_while_it_is_paused_ends(supervisor):
    standing = begin(supervisor)
    supervisor.pause("run-1", True)
    until(supervisor, lambda: standing().is_free)
    supervisor.stop("run-1")
    assert not control.read_control(supervisor.folder("run-1").control).is_off_the_card
    run_until(supervisor, FINISHED)  # as the fake worker calls it


@pytest.fixture
def alone(tmp_path):
    """The chain as `api.service` puts it together: the supervisor, and the other end of the generating process."""
    made: list[Generation] = []
    lending = Lending(
        wants=lambda: made[0].wants_card(),
        serve=lambda: made[0].tick(),
        leave=lambda: made[0].leave_card(),
        need=lambda: made[0].need(),
        is_crowded=lambda: made[0].is_crowded(),
        idle_seconds=0.2,
    )
    supervisor = make(tmp_path, lending=lending)

    def standing():
        run = supervisor.store.active()
        return supervisor.standing(run) if run else Standing(is_free=True)

    made.append(Generation(supervisor.host, tmp_path / "generated", standing=standing))
    yield supervisor, made[0], standing
    made[0].release_card()


def are_over(generation, *names):
    return lambda: all(generation.status(name)["state"] == "finished" for name in names)


def has_card_back(supervisor):
    return lambda: not control.read_control(supervisor.folder("run-1").control).is_off_the_card


def test_pictures_standing_alone_get_the_card_and_give_it_back(alone):
    """Asking, waiting, drawing, the card given back; and the same again, while the process of before is still there."""
    supervisor, generation, standing = alone
    begin(supervisor)
    for turn in (1, 2):
        requests = [generation.submit({"prompt": name}) for name in ("a", "b")]
        assert generation.status(requests[0])["state"] == "waiting"
        assert (generation.folder / "wait").exists(), "a process that is there begins nothing"
        until(supervisor, are_over(generation, *requests))
        assert standing().is_free and generation._is_alive()
        until(supervisor, has_card_back(supervisor))
        assert control.read_control(supervisor.folder("run-1").control).park == 2 * turn
        until(supervisor, lambda: supervisor.progress("run-1")[0].parked is None)
    finish(supervisor)


def test_pictures_that_were_measured_are_drawn_beside_a_training_that_leaves_room(alone):
    """The first is measured in a turn of its own; a larger one is not known; what finds too little memory gets a turn after
    all, and so do all that follow it."""
    supervisor, generation, standing = alone
    begin(supervisor, memory={"free": 8 << 30, "reserved": 1 << 30, "peak": 1 << 30})

    def draw(prompt, **size):
        request = generation.submit({"prompt": prompt, "width": 512, "height": 512, "batch_size": 1, **size})
        until(supervisor, are_over(generation, request))
        until(supervisor, lambda: not standing().is_asked)
        asked = control.read_control(supervisor.folder("run-1").control)
        return asked.park // 2, asked.share // 2

    assert draw("the first") == (1, 0), "nobody knows what it takes"
    assert draw("as large") == (1, 1)
    assert draw("smaller", width=64) == (1, 2)
    assert draw("wider", width=640) == (2, 2)
    assert draw("heavy") == (3, 3) and not generation.is_crowded()
    assert draw("as large as the first") == (4, 3)
    finish(supervisor)


def test_pictures_that_nobody_waits_for_any_more_do_not_take_the_card(alone):
    supervisor, generation, standing = alone
    begin(supervisor, "wait-for-file")
    request = generation.submit({"prompt": "a"})
    until(supervisor, lambda: standing().is_asked)
    assert generation.stop(request)["state"] == "stopped" and not generation._is_alive()
    until(supervisor, lambda: not standing().is_asked)
    finish(supervisor)
