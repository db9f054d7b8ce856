"""Queue -> card -> worker -> result. One thread in the host that looks twice a second; all that lasts is in store and folders.

A host that starts finds the store as the last one left it: a worker that lives is watched on (adopted), one that has ended
is concluded, a run that was about to start is queued again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError, LoraTrainerError
from ..log import logger
from ..options.trained import MODEL
from . import control, placing, process, resuming, worker
from .folder import RunFolder, WorkerProcess
from .lending import Lending, Standing
from .live import LiveLoras
from .outcome import outcome
from .progress import Progress, ProgressBook
from .recover import list_unknown_runs
from .standby import Standby
from .store import ENDED, FAILED, QUEUED, RUNNING, STOPPED, STOPPING, Run, Store

_SOFT_TO_HARD_SECONDS = 15.0


class Supervisor:
    """Runs the queue of `store`, whose runs have their folders in `runs_dir`.

    `before_start` is called before a worker starts (it takes the generation server off the card), `waits_for` says what a run's
    folder has to wait for first ("" for nothing), `lending` lets pictures be made while one trains, `standby` starts workers.
    `stop_grace` is how long a worker has to stop by itself, in seconds. Every method may be called from any thread.
    """

    def __init__(
        self,
        store: Store,
        host: worker.WorkerHost,
        runs_dir: Path,
        *,
        before_start: Callable[[], None] = lambda: None,
        waits_for: Callable[[Path], str] = lambda folder: "",
        lending: Lending | None = None,
        standby: Standby | None = None,
        stop_grace: float = 120.0,
        poll: float = 0.5,
    ) -> None:
        self.store = store
        self.host = host
        self.runs_dir = runs_dir
        self.before_start = before_start
        self._waits_for = waits_for
        self.lending = lending or Lending()
        self.standby = standby or Standby(host, runs_dir / "standby.txt")
        self.live = LiveLoras(self._tell_changed)
        self._stop_grace = stop_grace
        self._poll = poll
        self._book = ProgressBook()
        self._submitting = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._keys: dict[str, dict[str, str]] = {}  # by run: environment variables of its worker that are written nowhere
        self._lent_to: str | None = None  # the run that this host has given the card to
        self._at_work: tuple[str, WorkerProcess] | None = None  # run and worker, for when the folder that notes it is deleted
        self._was_writer = False
        self._asked_softly: float | None = None

    # -- the thread ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to look. Harmless when it looks already."""
        if self._thread is None or not self._thread.is_alive():
            self._closing.clear()
            self._thread = threading.Thread(target=self._loop, name="lora-trainer supervisor", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stop looking and let another host take the store; a worker at work goes on."""
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=10.0)
        self.standby.end()
        self.store.release()

    def _loop(self) -> None:
        last_trouble = ""
        while not self._closing.is_set():
            try:
                self.tick()
                last_trouble = ""
            except Exception as error:
                if str(error) != last_trouble:  # once, not twice a second
                    logger.exception("the supervisor could not go on; it tries again")
                last_trouble = str(error)
            self._wake.wait(self._poll)
            self._wake.clear()

    def tick(self) -> None:
        """One look: take over the store when it is free, then watch the active run or start the next one."""
        if not self.store.claim():
            self._was_writer = False
            self.standby.end()
            return
        if not self._was_writer:
            self._was_writer = True
            with self._submitting:
                list_unknown_runs(self.store, self.runs_dir)
        run, queue = self.store.active(), self.store.queue()
        if run is not None:
            self._watch(run)
        elif queue:
            self._start(queue[0])
        elif self._lent_to is not None:
            self._reclaim()  # it was kept for a run that has been taken from the queue
        self.standby.tick(is_free=run is None and not queue)

    # -- what the page asks ---------------------------------------------------------------------------------------

    def folder(self, run_id: str) -> RunFolder:
        return RunFolder(self.runs_dir / run_id)

    def progress(self, run_id: str) -> tuple[Progress, int]:
        """What the run's worker told by now, and the offset in its events that this stands for."""
        return self._book.look(self.folder(run_id).events)

    def submit(
        self, run_id: str, name: str, make_folder: Callable[[Path], object], *, keys: Mapping[str, str] | None = None
    ) -> Run:
        """Queue a run: `make_folder(path)` fills its folder first. Raises StoreError when another host writes the store.

        `keys` (environment variables of its worker) are nowhere but in the memory of this process.
        """
        self.store.must_write()
        with self._submitting:
            make_folder(self.folder(run_id).path)
            run = self.store.add(run_id, name)
            self._keys[run_id] = dict(keys or {})
        self._wake.set()
        return run

    def keys(self, run_id: str) -> dict[str, str]:
        """The keys that the run was queued with, as far as this process has queued it."""
        return dict(self._keys.get(run_id, {}))

    def resume(self, run_id: str, total_steps: int | None = None) -> Run:
        """Queue a run that has ended, to go on from its last state (to `total_steps`, where they are another number).

        Raises InputError when it has not ended or has no state.
        """
        self.store.must_write()
        with self._submitting:
            run = self.check_resumable(run_id)
            resuming.prepare(self.folder(run_id), self.progress(run_id)[0], run.result, total_steps)
            self.store.queue_again(run_id)
        self._wake.set()
        return self._get(run_id)

    def check_resumable(self, run_id: str) -> Run:
        """Raises InputError when the run has not ended or left no state."""
        run = self._get(run_id)
        if run.state not in ENDED:
            raise InputError(f"The training {run.name} has not ended yet.", advice="Stop it first.")
        resuming.needed_state(run.name, self.folder(run_id), self.progress(run_id)[0])
        return run

    def stop(self, run_id: str, *, force: bool = False) -> Run:
        """Stop at the next step boundary; a waiting run at once; with `force` the process is ended now."""
        now = time.time()
        if self.store.change(run_id, only_from=(QUEUED,), state=STOPPED, ended=now, message="Stopped before it began."):
            return self._get(run_id)
        run = self._get(run_id)
        if run.is_active:
            since = now - self._stop_grace if force else run.stop_asked or now
            self.store.change(run_id, only_from=(RUNNING, STOPPING), state=STOPPING, stop_asked=since)
            control.ask(self.folder(run_id).control, stop=True)
            self._wake.set()
        return self._get(run_id)

    def ask(self, run_id: str, **asked: Any) -> Run:
        """Ask for what is done at the next step boundary (control.ask: save, sample, live, live_every).

        Raises InputError when the run is not training.
        """
        run = self._training(run_id)
        control.ask(self.folder(run_id).control, **asked)
        return run

    def pause(self, run_id: str, paused: bool) -> Run:
        """Let a run keep off the card until it is told to go on. Raises InputError when it is not training."""
        run = self._training(run_id)
        if not paused:
            self.lending.go_on_now()
        control.ask(self.folder(run_id).control, paused=paused)
        self._wake.set()
        return run

    def standing(self, run: Run) -> Standing:
        """How `run` and the card stand; all is free when it is not at work, or its worker has not begun."""
        if not run.is_active or self.folder(run.id).worker() is None:
            return Standing(is_free=True)
        return self.lending.standing(self.folder(run.id), self.progress(run.id)[0].since(run.started))

    def move(self, run_id: str, position: int) -> Run:
        """Let a waiting run have its turn sooner or later: `position` 1 is next. Raises InputError when it does not wait."""
        if not self.store.move(run_id, position):
            run = self._get(run_id)
            raise InputError(f"{run.name} does not wait in the queue ({run.state}).", field="position")
        return self._get(run_id)

    def delete(self, run_id: str) -> None:
        """Delete the folder and row of a run that has ended or waits; the LoRA in the host's folder stays.

        Raises InputError while it is active.
        """
        self.store.must_write()
        self.store.change(run_id, only_from=(QUEUED,), state=STOPPED)  # so that it does not begin meanwhile
        run = self._get(run_id)
        if run.state not in ENDED:
            raise InputError(f"The training {run.name} has not ended yet.", advice="Stop it first.")
        self.folder(run_id).remove()
        self._book.forget(self.folder(run_id).events)
        self.store.remove(run_id)
        self._keys.pop(run_id, None)

    def use(self, run_id: str, name: str, *, overwrite: bool = False, as_result: bool = False) -> Path:
        """Put one saved file into the LoRA folder under its own name, or the run's (`as_result`); returns where it went."""
        run, folder = self._get(run_id), self.folder(run_id)
        path = placing.use(folder, run.name, name, self.progress(run_id)[0], overwrite=overwrite, as_result=as_result)
        if as_result:
            self.store.change(run_id, result=str(path))
        self._tell_changed(path, folder.request().get("trains"))
        return path

    # -- inside -------------------------------------------------------------------------------------------------

    def _get(self, run_id: str) -> Run:
        run = self.store.get(run_id)
        if run is None:
            raise InputError(f"there is no run {run_id!r}.", field="id")
        return run

    def _training(self, run_id: str) -> Run:
        self.store.must_write()
        run = self._get(run_id)
        if run.state != RUNNING:
            raise InputError(f"{run.name} is not training now ({run.state}).")
        return run

    def _start(self, run: Run) -> None:
        if reason := self._waits_for(self.folder(run.id).path):
            if run.message != reason:
                self.store.change(run.id, only_from=(QUEUED,), message=reason)
            return
        waiting = "Waiting for the card: a picture may still be in the making."
        if not self.store.change(run.id, only_from=(QUEUED,), state=RUNNING, started=time.time(), message=waiting):
            return  # stopped a moment ago
        try:
            self.before_start()
            self.host.lend_gpu()
            self._lent_to = run.id
            if self._get(run.id).state == STOPPING:
                self._end(run, STOPPED, "Stopped before it began.")
                return
            started = self.standby.start(self.folder(run.id), self.keys(run.id))
            self._at_work = (run.id, started)
            self.store.change(run.id, message="")
            logger.info("training %s began (process %d)", run.name, started.pid)
        except LoraTrainerError as error:
            self._end(run, FAILED, error.message, error.advice)
        except Exception as error:
            logger.exception("training %s could not begin", run.name)
            self._end(run, FAILED, f"The training could not begin: {error!r}.", "See the program's log.")

    def _watch(self, run: Run) -> None:
        folder = self.folder(run.id)
        found = folder.worker() or (self._at_work[1] if self._at_work and self._at_work[0] == run.id else None)
        if found is None and (resuming.is_asked(folder) or not folder.events.exists()):
            logger.info("%s had not begun when the last host ended: queued again", run.name)
            state = STOPPED if run.state == STOPPING or not folder.config.exists() else QUEUED
            self.store.change(run.id, state=state, started=None, message="", ended=time.time() if state == STOPPED else None)
        elif found is not None and worker.is_alive(found):
            folder.beat(of_host=True)
            self._at_work = (run.id, found)
            self._adopt(run)
            if folder.is_deleted() and self.store.change(
                run.id,
                only_from=(RUNNING,),
                state=STOPPING,
                stop_asked=time.time(),
                message="Its folder was deleted: stopping.",
            ):
                run = self._get(run.id)
            progress = self.progress(run.id)[0].since(run.started)
            self.lending.tick(folder, progress)
            self.live.follow(folder, progress)
            self._escalate(run, found)
        else:
            self._conclude(run, folder, found)

    def _adopt(self, run: Run) -> None:
        if self._lent_to == run.id:
            return
        logger.info("%s is being trained by a worker that outlived its host: watching it", run.name)
        self._lent_to = run.id
        try:
            self.host.lend_gpu()
        except LoraTrainerError as error:
            logger.warning("the card is shared with the running training: %s", error)

    def _escalate(self, run: Run, found: WorkerProcess) -> None:
        """A worker that was asked to stop and does not, or has said its last word and stays, is ended."""
        progress = self.progress(run.id)[0].since(run.started)
        last_word = progress.finished or progress.failed
        asked = run.stop_asked if run.state == STOPPING else None
        since = asked if asked is not None else float(last_word.get("time", time.time())) if last_word else None
        if since is None:
            self._asked_softly = None
            return
        now = time.time()
        if now - since < self._stop_grace:
            return
        if self._asked_softly is None:
            self._asked_softly = now
            logger.warning("%s did not end by itself: ending its process %d", run.name, found.pid)
            self.store.change(run.id, message="It did not stop by itself: its process is being ended.")
            process.end_group(found.pid, found.group, found.mark, hard=False)
        elif now - self._asked_softly > _SOFT_TO_HARD_SECONDS:
            process.end_group(found.pid, found.group, found.mark, hard=True)

    def _conclude(self, run: Run, folder: RunFolder, found: WorkerProcess | None) -> None:
        """The worker has ended: say what the run came to."""
        self._asked_softly = self._at_work = None
        if found is not None:
            process.end_leftovers(found.pid, found.group)
        folder.remove_halves()
        came_to = outcome(run, folder, self.progress(run.id)[0].since(run.started), found)
        if came_to.result is not None:
            self._tell_changed(came_to.result, folder.request().get("trains"))
        self._end(run, came_to.state, came_to.message, came_to.advice, result_path=came_to.result)

    def _tell_changed(self, path: Path, trains: object = None) -> None:
        try:
            if trains == MODEL:
                self.host.checkpoints_changed(path)
            else:
                self.host.lora_changed(path)
        except Exception:
            logger.exception("%s is written, but the host could not be told; it will see it after a refresh", path)

    def _end(self, run: Run, state: str, message: str = "", advice: str = "", *, result_path: Path | None = None) -> None:
        if not any(other.id != run.id for other in self.store.queue()):
            self._reclaim()  # else the host would load its model only to drop it again
        self.live.end(self.folder(run.id))
        known = str(result_path or run.result)  # a resumed run that failed leaves what it had come to before
        self.store.change(run.id, state=state, ended=time.time(), message=message, advice=advice, result=known)
        logger.info("training %s: %s%s", run.name, state, f" ({message.splitlines()[0]})" if message else "")
        self._wake.set()

    def _reclaim(self) -> None:
        self._lent_to = None
        try:
            self.host.reclaim_gpu()
        except Exception:
            logger.exception("the host could not take its card back")
