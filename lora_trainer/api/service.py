"""What the routes work on: host, store, supervisor, uploads, generation. One for the process and user folder.

It outlives "Reload UI" of the Web UI, which loads the extension's scripts again in the same process.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ..datasets.library import Library
from ..errors import HostError, InputError, StoreError
from ..foreign.reading import is_there
from ..grids.book import GridBook
from ..grids.grid import Candidate
from ..hosts.base import Access, Checkpoint, Host
from ..log import logger
from ..paths import user_path
from ..recipes.preset_store import PresetStore
from ..runs.borrowing import Borrowing
from ..runs.generation import Generation
from ..runs.lending import Lending, Standing
from ..runs.reg_images import RegImages
from ..runs.rehearsals import Rehearsals
from ..runs.standby import Standby
from ..runs.store import Store
from ..runs.supervisor import Supervisor
from ..runs.tool_jobs import ToolJobs
from ..sampling import lora_tags
from ..sampling.lora_folders import LoraFolders
from . import folders, painting
from .changes import Changes
from .images import Thumbnails
from .lanes import Lane
from .names import Names
from .uploads import Uploads

Result = TypeVar("Result")
RECIPES = "recipe-"  # folders of files that are read and not kept begin so
LOOK_SECONDS = 90.0  # a first look at a large data set on a slow disk takes a minute
_services: dict[Path, Service] = {}
_services_lock = threading.Lock()


class Service:
    """Opening never fails: when the store cannot be used, `trouble` says why and the page shows it."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.paths = host.paths()
        self.uploads = Uploads(self.paths.uploads, self.paths.runs)
        self.thumbnails = Thumbnails(self.paths.user_dir / "cache" / "thumbs")
        self.generation = Generation(host, self.paths.generated, standing=self._standing)
        self.reg_images = RegImages(self.generation)
        painter = painting.painter(host, self.generation, self.generate)
        self.grids = GridBook(self.paths.user_dir / "grids", painter, self._compared)
        self.tools = ToolJobs(host, self.paths.tools)
        self.packages = ToolJobs(host, self.paths.user_dir / "packages")  # what fetches one, not the packages
        self.batches = ToolJobs(host, self.paths.user_dir / "batches", kept=3)  # their pictures are large
        self.standby = Standby(host, self.paths.user_dir / "standby.txt", is_allowed=host.keeps_standby)
        self.rehearsals = Rehearsals(
            host,
            self.paths.user_dir / "rehearsals",
            hindrance=self.who_has_the_card,
            release=self.generation.release_card,
            spawn=self.standby.spawn,
        )
        self.datasets = Library(self.paths.user_dir)
        self.presets = PresetStore(self.paths.user_dir / "presets")
        self.names = Names()
        self.changes = Changes()
        self.trouble: StoreError | None = None
        self._supervisor: Supervisor | None = None
        # What looks at files that a person named (models, images) may hang for ever; how runs stand and stopping them may not.
        self._files, self._control = Lane("files", size=6), Lane("control", size=4)
        self._pictures = Lane("pictures", size=3)  # a page that is scrolled asks for hundreds, which hold up nothing else
        self._open()

    @property
    def supervisor(self) -> Supervisor:
        """Raises StoreError when the store cannot be used."""
        if self._supervisor is None:
            self._open()
        if self._supervisor is None:
            assert self.trouble is not None
            raise self.trouble
        return self._supervisor

    @property
    def store(self) -> Store:
        return self.supervisor.store

    async def look(self, function: Callable[..., Result], *arguments: Any, within: float | None = None) -> Result:
        """Run what only looks at files; a Refusal (503) tells when they do not answer `within` so many seconds."""
        return await self._files.run(function, *arguments, limit=within or LOOK_SECONDS)

    async def change(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Run what changes something, to its end however long that takes."""
        return await self._files.run(function, *arguments, limit=None)

    async def control(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Run what concerns the store and the folders of runs alone: it is answered whatever other drives do."""
        return await self._control.run(function, *arguments, limit=LOOK_SECONDS)

    async def draw(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Run what makes a small picture of a large one."""
        return await self._pictures.run(function, *arguments, limit=LOOK_SECONDS)

    def generate(self, request: Mapping[str, Any], *, files: Mapping[str, Path] | None = None) -> str:
        """Ask for pictures; returns the id. `files` are LoRAs by the names that prompts call them, besides those of the LoRA
        folder. Raises HostError inside the Web UI."""
        if self.host.name == "webui":
            raise HostError("Pictures are made in the Web UI's own tabs.", advice="Use <lora:name:0.8> in a prompt there.")
        asked = {key: value for key, value in request.items() if key not in {"checkpoint", "vae"}}
        access = self.host.access()
        model = _chosen(self.host.checkpoints(), request.get("checkpoint"), "checkpoint", access)
        if model is None:
            raise InputError(
                "There is no base model to generate with.", field="checkpoint", advice="Put one into the models folder."
            )
        vae = _chosen(self.host.vaes(), request["vae"], "vae", access) if request.get("vae") else None
        named = {name: str(path) for name, path in (files or {}).items()}
        places = {"lora_dirs": [str(self.paths.lora_dir)], "lora_files": named}
        places["embeddings_dirs"] = [str(self.paths.embeddings_dir)]
        self._check_tags(asked, files or {})
        return self.generation.submit({**asked, "model": model, "vae": vae, **places})

    def _check_tags(self, asked: Mapping[str, Any], files: Mapping[str, Path]) -> None:
        """Raises InputError for a `<lora:...>` that names no file, now and not when the model has been loaded."""
        texts = {name: asked.get(name) for name in ("prompt", "negative_prompt")}
        tags = {name: lora_tags.extract(text, field=name)[1] for name, text in texts.items() if isinstance(text, str)}
        LoraFolders([self.paths.lora_dir], files).resolve(tags.get("prompt", []))

    def start(self) -> None:
        """Begin to watch and train; tidy what an earlier program left."""
        if self._supervisor is not None:
            self._supervisor.start()
        self._files.start(self._tidy)

    def close(self) -> None:
        """Let another program have the store. A worker at work goes on."""
        if self._supervisor is not None:
            self._supervisor.close()
            self._supervisor.store.close()
            self._supervisor = None
        self.datasets.close()
        for lane in (self._files, self._control, self._pictures):
            lane.close()

    def _open(self) -> None:
        try:
            store = Store(self.paths.store, program=f"LoRA Trainer ({self.host.name})")
        except StoreError as error:
            if str(error) != str(self.trouble):
                logger.error("%s", error)
            self.trouble = error
            return
        self.trouble = None
        made = self.generation
        lending = Lending(
            wants=made.wants_card,
            serve=made.tick,
            leave=lambda: made.leave_card() and self.host.leave_card(),
            need=made.need,
            is_crowded=made.is_crowded,
            policy=self.host.pictures_policy,
        )
        self._supervisor = Supervisor(
            store,
            self.host,
            self.paths.runs,
            before_start=self._clear_card,
            waits_for=self._first,
            lending=lending,
            standby=self.standby,
        )
        self.host.share_card(Borrowing(self._supervisor, self.rehearsals.at_work))

    def saved_steps(self, run_id: str) -> dict[str, Any]:
        """The steps of a run's saved files that are there, by their names."""
        progress, _ = self.supervisor.progress(run_id)
        there = self.supervisor.folder(run_id).saved_sizes()
        return {name: saved.get("step") for path, saved in progress.files.items() if (name := Path(path).name) in there}

    def _compared(self, run_id: str, one: Candidate) -> Path | None:
        """Where a file that a grid compares lies now; None where it is gone."""
        if one.step is None:
            return one.path
        name = painting.file_now(one, self.saved_steps(run_id))
        return one.path.with_name(name) if name else None

    def is_training(self) -> bool:
        """Whether a run is at work."""
        return self._supervisor is not None and self._supervisor.store.active() is not None

    def who_has_the_card(self) -> str:
        """Who uses the card now, or will in a moment; "" for nobody."""
        store = self.store
        run = store.active() or next(iter(store.queue()), None)
        if run is not None:
            return f"{run.name} is being trained on this machine." if run.is_active else f"{run.name} waits to be trained."
        if self.generation.wants_card():
            return "Pictures are being made on this machine."
        return "Pictures are being captioned on this machine." if (self.tools.captioning() or ("", False))[1] else ""

    def _clear_card(self) -> None:
        """A training begins: nothing of ours stays on the card."""
        self.rehearsals.end()
        self.generation.release_card()

    def _first(self, run: Path) -> str:
        """What the run of a folder has to wait for before it begins, or nothing."""
        folder, on_card = self.tools.captioning() or ("", False)
        if on_card:
            return "Waiting for the card: pictures are being captioned."
        return "Waiting: its pictures are being captioned." if folder and _names(run, folder) else ""

    def _tidy(self) -> None:
        try:
            self.uploads.remove_leavings()
            self.thumbnails.prune()
            for left in self.paths.user_dir.glob(f"{RECIPES}*"):  # of a program that was ended in the middle of a request
                shutil.rmtree(left, ignore_errors=True)
        except OSError as error:
            logger.warning("old files could not be removed: %s", error)

    def _standing(self) -> Standing:
        run = self.store.active()
        return self.supervisor.standing(run) if run else Standing(is_free=not self.rehearsals.is_at_work())


def _names(run: Path, folder: str) -> bool:
    """Whether the files of a run name a folder."""
    try:
        texts = [
            (run / name).read_text("utf-8", "replace") for name in ("dataset.toml", "config.toml") if (run / name).is_file()
        ]
    except OSError:
        return False
    return any(form in text for text in texts for form in (folder, folder.replace("\\", "\\\\")))


def _chosen(known: list[Checkpoint], wanted: Any, field: str, access: Access) -> str | None:
    """The path of a model by title or path; the host's current (else its first) one when none is wanted."""
    if not wanted:
        return next((str(one.path) for one in sorted(known, key=lambda one: not one.is_current)), None)
    for one in known:
        if wanted in {one.title, str(one.path)}:
            return str(one.path)
    if isinstance(wanted, str) and "\0" not in wanted:
        path = user_path(wanted).absolute()
        refused = folders.problem(path, access, field)
        if refused is not None:
            raise refused
        if is_there(path):
            return str(path)
    raise InputError(f"there is no model {wanted!r}.", field=field, advice="Choose one from the list, or give a whole path.")


def service_for(host: Host) -> Service:
    """The one Service of this process for the host's user folder, made and started when needed."""
    key = host.paths().user_dir
    with _services_lock:
        service = _services.get(key)
        if service is None:
            service = _services[key] = Service(host)
            service.start()
        return service


def forget(host: Host) -> None:
    """Close the Service of this host, if there is one."""
    with _services_lock:
        service = _services.pop(host.paths().user_dir, None)
    if service is not None:
        service.close()
