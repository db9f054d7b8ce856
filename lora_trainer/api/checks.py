"""Everything about a draft that can be known before anything starts."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .. import modelfile
from ..data.plan import DataPlan, count_steps, make_plan
from ..data.plan.captions import example
from ..data.plan.word import pattern_of
from ..demo import files as demo_files
from ..errors import InputError, InputErrors, LoraFileError
from ..foreign.reading import is_file, is_there
from ..installing.extras import missing as missing_package
from ..networks import going_on
from ..networks.files import check_lora
from ..options import flat
from ..options.block_arguments import FIELD
from ..options.doubts import doubts
from ..options.family_checks import hints
from ..options.network_findings import block_findings
from ..options.network_kinds import KINDS
from ..options.optimizer_hints import optimizer_hints
from ..options.simple import RunFiles
from ..options.trained import EMBEDDING, MODEL, PIVOTAL
from ..paths import safe_name, user_path
from ..runs import disk
from ..runs.result import free_name
from ..runs.store import QUEUED, RUNNING, STOPPING
from ..sampling import sample_requests
from ..sampling.prompts import parse_prompt_file, parse_prompt_text
from . import digests, drafts, folders, linting, packages, sizes, trying
from . import keys as own_keys
from .answers import problem
from .drafts import Draft
from .names import Holder
from .service import Service

_EXAMPLES = 4
_WORDS = "Give an identifier or a class, or write sample prompts."


@dataclass
class Checked:
    """The answer of `check`, and what a run is made of when nothing is wrong."""

    draft: Draft
    saved_as: str = ""
    files: RunFiles | None = None
    problems: list[dict[str, Any]] = field(default_factory=list)
    plan: dict[str, Any] | None = None
    base_model: dict[str, Any] | None = None
    disk: dict[str, Any] | None = None
    package: dict[str, Any] | None = None
    exists: bool = False
    tried: str = ""  # as a prompt, in place of the words that call the subjects up
    digest: str = ""  # what measured needs are known by (`digests`)

    @property
    def family(self) -> str:
        """The base model's kind (modelfile.TITLES); Stable Diffusion 1 where it is not known."""
        return (self.base_model or {}).get("family") or "sd1"

    @property
    def ok(self) -> bool:
        return all(one["level"] != "error" for one in self.problems)

    def add(self, level: str, message: str, *, field: str = "", advice: str = "", where: str = "") -> None:
        self.problems.append({"field": field, "level": level, "message": message, "advice": advice, "where": where})

    def view(self) -> dict[str, Any]:
        output = {"name": self.draft.name, "exists": self.exists, "saved_as": self.saved_as if self._is_named() else ""}
        shown = {"base_model": self.base_model, "output": output, "disk": self.disk, "package": self.package}
        return {"ok": self.ok, "problems": self.problems, "plan": self.plan, **shown, **self._recipe()}

    def _is_named(self) -> bool:
        return not any(one["field"] == "output_name" and one["level"] == "error" for one in self.problems)

    def _recipe(self) -> dict[str, str]:
        """The same training as a command line and files, as in the detail of a run; empty while something is wrong."""
        if self.files is None:
            return {"command": "", "config": "", "dataset": "", "prompts": ""}
        texts = {"config": self.files.config_toml, "dataset": self.files.dataset_toml, "prompts": self.files.prompts}
        return {"command": self.files.command_line, **texts}


def check(
    service: Service,
    body: Mapping[str, Any],
    *,
    folder: Path | None = None,
    holder: Holder | None = None,
    seconds: float | None = None,
) -> Checked:
    """Look at everything. `folder` is the run's (a draft's when it is None); `holder` is to hold the name that is chosen.

    `seconds` bounds the reading of pictures to their ends: those that there was no time for count as `waiting` in the plan.
    Raises Refusal when `body` has no known form.
    """
    until = None if seconds is None else time.monotonic() + seconds
    checked = Checked(draft=drafts.read(body, service.datasets.left_out))
    folder = folder or service.paths.runs / "draft"
    for trouble in service.host.problems():
        checked.add("error", trouble.message, advice=trouble.advice)
    access = service.host.access()
    refused = folders.of_draft(checked.draft, access)
    if refused:  # before anything is looked at
        checked.problems += [problem(error) for error in refused]
        return checked
    _choose_name(service, checked, holder)
    try:
        checked.files = drafts.files(checked.draft, folder, checked.saved_as)
        looked_at: RunFiles | None = checked.files
    except InputErrors as wrong:
        checked.problems += [problem(error) for error in wrong.errors]
        looked_at = drafts.files_in_spite(checked.draft, folder, wrong)
    refused = [*folders.of_files(looked_at, access), *own_keys.missing(looked_at.options, access)] if looked_at else []
    if refused:
        checked.problems += [problem(error) for error in refused]
        checked.files = looked_at = None
    _look_at_models(checked)
    if looked_at is not None:
        lacking = {one["field"] for one in checked.problems if one["field"] in drafts.PLACEHOLDERS}
        _look_at_data(checked, looked_at, until)
        checked.problems = [one for one in checked.problems if not (one.get("code") and one["field"] in lacking)]
        _look_at_family(checked, looked_at)
        _look_at_packages(checked, looked_at)
        _look_at_prompts(checked, looked_at)
        _look_at_disk(service, checked, looked_at)
    return checked


def _choose_name(service: Service, checked: Checked, holder: Holder | None) -> None:
    """An existing file is only overwritten when that was asked for; else the next free number is taken."""
    name, folder = checked.draft.name, service.paths.results(str(checked.draft.base.get("trains")))
    checked.saved_as = name
    try:
        safe_name(name)
    except InputError:  # said by the check of the options; nothing is looked up under such a name
        return
    checked.exists = free_name(name, folder) != name
    while True:
        taken = {run.name.casefold() for run in service.store.runs(QUEUED, RUNNING, STOPPING)} | service.names.held()
        is_free = name.casefold() not in taken and (not checked.exists or checked.draft.overwrite)
        checked.saved_as = name if is_free else free_name(name, folder, taken)
        if holder is None or holder.take(checked.saved_as):
            break
    if checked.saved_as != name:
        advice = "Choose another name, or ask to overwrite it." if checked.exists else "It waits or trains now."
        message = f"There is a file named {name} already: this one will be saved as {checked.saved_as}."
        if checked.draft.base.get("trains") == EMBEDDING:
            message += f" In the Web UI an embedding's word is its file's name: {checked.saved_as} in prompts."
        checked.add("warning", message, field="output_name", advice=advice)
    elif checked.exists and (base := _base_at(checked, folder / name)):
        message = f"the result would take the place of the base model {base}."
        checked.add("error", message, field="output_name", advice="Choose another name.")
    elif checked.exists:
        checked.add("warning", f"The file named {name} will be overwritten.", field="output_name")


def _base_at(checked: Checked, result: Path) -> Path | None:
    """The base model, where it is a file that a `result` of this name (without its ending) would take the place of."""
    base = user_path(str(checked.draft.base.get("pretrained_model_name_or_path") or ""))
    if not is_file(base):
        return None
    places = (base.absolute(), base.resolve())  # a link that is given would go, or what it leads to
    same = (one.stem.casefold() == result.name.casefold() and one.parent.samefile(result.parent) for one in places)
    return base if any(same) else None


def _look_at_data(checked: Checked, files: RunFiles, until: float | None) -> None:
    values = flat(files.options)
    plan = make_plan(files.data, seed=values["seed"] or 0, prior_loss_weight=values["prior_loss_weight"], until=until)
    checked.digest = digests.digest(files, plan) if plan.images else ""
    checked.problems += [linting.problem(finding, checked.draft) for finding in plan.findings]
    checked.plan = _plan_view(plan)
    captioned = (image for image in plan.images if image.has_caption and not image.is_reg and not image.kept_aside)
    captions = (example(image.caption, plan.subsets[image.subset].spec) for image in captioned)
    checked.tried = trying.prompt(checked.draft.words, captions)
    try:
        counts = count_steps(
            plan,
            **{name: values[name] for name in ("max_train_steps", "max_train_epochs", "gradient_accumulation_steps")},
        )
    except InputError as error:
        if plan.images:
            checked.problems.append(problem(error))
        return
    checked.plan.update(asdict(counts))
    _look_for_doubts(checked, files, plan, counts.total_steps)
    found = linting.look(checked.draft, files, plan, counts.total_steps, until=until or time.monotonic())
    few = next((one.level for one in found.findings if one.code == "few_regularisation"), "")
    said = "reg_few" if few == "warning" else "few_regularisation"  # both tell the balance: once is enough
    checked.problems += [linting.problem(finding, checked.draft) for finding in found.findings]
    if few:
        checked.problems = [one for one in checked.problems if one.get("code") != said]
    checked.plan |= {"waiting": found.waiting, "unread": found.unread}


def _look_for_doubts(checked: Checked, files: RunFiles, plan: DataPlan, total_steps: int) -> None:
    """What is allowed, but hardly meant."""
    values = flat(files.options)
    images = [image for image in plan.images if not image.is_reg]
    of_an_epoch = sum(image.repeats for image in images) / max(1, sum(dataset.samples for dataset in plan.datasets))
    batches = total_steps * values["gradient_accumulation_steps"]
    samples = batches * sum(dataset.samples for dataset in plan.datasets) / max(1, plan.batches_per_epoch)
    found = doubts(values, images=len(images), shown=round(samples * of_an_epoch), total_steps=total_steps)
    for about, message, advice in (*found, *optimizer_hints(files.options.optimizer)):
        checked.add("warning", message, field=about, advice=advice)


def _plan_view(plan: DataPlan) -> dict[str, Any]:
    """A Plan of docs/api.md, without the step counts."""
    summary = plan.summary()
    folders = summary["folders"]
    shown = [image for image in plan.images if not image.is_reg][:_EXAMPLES]
    return {
        "images": sum(one["images"] for one in folders if not one["is_reg"]),
        "kept_aside": summary["kept_aside"],
        "reg_images": sum(one["images"] for one in folders if one["is_reg"]),
        "samples_per_epoch": summary["samples_per_epoch"],
        "batches_per_epoch": summary["batches_per_epoch"],
        "batch_size": max((one["batch_size"] for one in summary["datasets"]), default=1),
        "steps_per_epoch": None,
        "epochs": None,
        "total_steps": None,
        "waiting": 0,
        "unread": 0,
        "subsets": [{**one, "captions": one["captions_found"]} for one in folders],
        "buckets": [bucket for one in summary["datasets"] for bucket in one["buckets"]],
        "examples": [
            {"image": Path(image.path).name, "caption": example(image.caption, plan.subsets[image.subset].spec)}
            for image in shown
        ],
    }


def _look_at_models(checked: Checked) -> None:
    name = "pretrained_model_name_or_path"
    given = str(checked.draft.base.get(name) or "").strip()
    path = user_path(given) if given else None
    if path is not None and is_there(path):
        info = modelfile.probe(path)
        is_itself = demo_files.is_model(path)
        is_demo = is_itself or info.is_demo
        title = info.problem or modelfile.TITLES.get(info.kind, "")
        checked.base_model = {"family": info.kind, "message": title, "is_demo": is_demo}
        if is_demo:
            message = (
                "the demo model draws flat shapes of 64 pixels: what is trained on it is of use with no other model."
                if is_itself
                else "it was trained from the demo model and draws pictures of 64 pixels: what is trained on it is of use with "
                "no other model."
            )
            checked.add("warning", message, field=name, advice="Choose the model that you want to draw with.")
        if info.problem and not any(one["field"] == name and one["level"] == "error" for one in checked.problems):
            checked.add("error", info.problem, field=name, advice=info.advice, where=given)
        _look_at_blocks(checked, info.kind)
    weights = str(checked.draft.base.get("network_weights") or "").strip()
    if weights and is_file(user_path(weights)):
        try:
            check_lora(user_path(weights))
            _look_at_going_on(checked, user_path(weights))
        except (LoraFileError, InputError) as error:
            checked.add("error", error.message, field="network_weights", advice=error.advice)


def _look_at_going_on(checked: Checked, weights: Path) -> None:
    """Whether the LoRA that it goes on from fits the training, and the training knows the word that was trained with it."""
    if checked.files is not None:
        chosen = checked.files.options.trained
        word = chosen.token_string if chosen.trains == PIVOTAL else None
        going_on.check_words(weights, word, init_word=chosen.init_word)
        going_on.check_ranks(weights, checked.files.options.network)
    if checked.base_model:
        going_on.check_family(weights, checked.family)


def _look_at_family(checked: Checked, files: RunFiles) -> None:
    """What means nothing for this family of base models, or is not what it was made for."""
    sizes = [(width, height) for width, height in (dataset.resolution for dataset in files.data.datasets)]
    chosen = files.options.model
    found = hints(checked.family, clip_skip=chosen.clip_skip, v_parameterization=chosen.v_parameterization, sizes=sizes)
    for about, message in found:
        checked.add("warning", message, field=about)


def _look_at_packages(checked: Checked, files: RunFiles) -> None:
    """A package that the optimizer lacks; where another optimizer stands in for it the run can start all the same."""
    chosen = files.options.optimizer
    name, has_stand_in = packages.lacking(chosen)
    if name:
        checked.package = packages.package_view(name)
        error = missing_package(name, f"optimizer_type {chosen.optimizer_type}")
        level = "warning" if has_stand_in else "error"
        checked.add(level, error.message, field="optimizer_type", advice=error.advice)


def _look_at_blocks(checked: Checked, kind: str) -> None:
    """What is given per block against the blocks that a base model of this kind has."""
    module, args = checked.draft.base.get("network_module") or KINDS[0].name, checked.draft.base.get(FIELD)
    if not isinstance(args, (list, tuple)) or not all(isinstance(one, str) for one in args):
        return
    errors, notes = block_findings(str(module), args, kind)
    checked.problems += [problem(error) for error in errors]
    for note in notes:
        checked.add("warning", note, field=FIELD)


def _look_at_prompts(checked: Checked, files: RunFiles) -> None:
    """Whether the sample prompts can be drawn: the worker asks the same. Of a file on the host no word is told, only where."""
    chosen = files.options.sampling
    own = files.prompts.strip()
    try:
        if own:
            prompts = parse_prompt_text(files.prompts, "prompts.txt")
        elif chosen.sample_prompts and Path(chosen.sample_prompts).is_file():
            prompts = parse_prompt_file(chosen.sample_prompts)
        else:
            if checked.draft.is_form and not checked.draft.base.get("prompts"):
                checked.add("info", "No samples will be drawn: there are no words to draw.", advice=_WORDS)
            return
        sample_requests.check(prompts, chosen.sample_sampler)
        _look_for_the_word(checked, files, [prompt.prompt for prompt in prompts])
    except (InputError, InputErrors) as error:
        for one in error.errors if isinstance(error, InputErrors) else [error]:
            message = one.message if own else "this cannot be drawn as a sample prompt."
            field = "prompts" if own and checked.draft.is_form else "sample_prompts"
            checked.add("error", message, field=field, where=one.where, advice=one.advice if own else "")


def _look_for_the_word(checked: Checked, files: RunFiles, prompts: list[str]) -> None:
    """Whether a sample shows what a word has learned: without it in the prompt it does not."""
    trained = files.options.trained
    word = (trained.token_string or "").strip()
    if trained.trains in (EMBEDDING, PIVOTAL) and word and not any(pattern_of(word).search(prompt) for prompt in prompts):
        checked.add(
            "warning",
            f"no sample prompt holds the word {word!r} (token_string), so that the samples do not show what is learned.",
            field="prompts" if checked.draft.is_form else "sample_prompts",
            advice="Write it into the sample prompts.",
        )


_STATE_SIZE = 3  # a training state in files of float32: the weights, and what AdamW remembers of each


def _look_at_disk(service: Service, checked: Checked, files: RunFiles) -> None:
    """What the run will write against what is free: too little for one file is an error. A guess, until it is measured."""
    values = flat(files.options)
    half = values["save_precision"] in ("fp16", "bf16")
    one = sizes.guess(checked.family, values) * (1 if half else 2)
    steps = (checked.plan or {}).get("total_steps") or 0
    epochs = (checked.plan or {}).get("epochs") or 0
    state = one * _STATE_SIZE * (2 if half else 1)
    if measured := (service.rehearsals.known(checked.digest) or {}).get("files"):
        one, state = measured["one"], measured["state"]
    own, results = service.paths.user_dir, service.paths.results(values["trains"])
    copies = 0 if values["trains"] == MODEL and _on_one_drive(own, results) else 1  # runs.result: one file, two names
    needed = disk.written(values, steps, epochs, copies=copies).bytes(one, state)
    free = min(_free_bytes(own), _free_bytes(results))
    checked.disk = {"free": free, "needed": needed}
    if free < needed:
        level = "error" if free < one * (1 + copies) else "warning"
        message = f"About {disk.size_text(needed)} will be written, but only {disk.size_text(free)} are free."
        checked.add(level, message, advice="Free some disk space, or save less often.")


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(_there(folder)).free


def _on_one_drive(first: Path, second: Path) -> bool:
    return _there(first).stat().st_dev == _there(second).stat().st_dev


def _there(folder: Path) -> Path:
    """The folder, or the next one above it that is there."""
    return next(place for place in (folder, *folder.parents) if is_there(place))
