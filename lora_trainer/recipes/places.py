"""Where what a recipe names is on this machine: models by their hash, else by name; folders by name, and by their digest."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath

from ..data.plan import make_plan
from ..data.plan.digest import digests
from ..errors import InputError, LoraFileError
from ..foreign.reading import UnreadableError, is_file, is_folder, is_there, read_text
from ..networks.files import file_hashes, short_hash
from ..networks.recipe import file_name
from ..options import located
from ..options.data_spec import DatasetSpec, DataSpec, SubsetSpec
from ..options.dataset_folders import inherited
from ..options.dataset_keys import DATASET, KEYS
from ..options.path_checks import looks_local
from ..options.train import OPTIONS
from ..paths import user_path
from .recipe import Folder, Recipe, Wanted
from .tables import from_dataset_file, from_parents

BASE, VAE = "pretrained_model_name_or_path", "vae"
_EMPTY = "e3b0c442"  # the short hash of every file below 1 MiB: it tells nothing
_KNOWN_FOLDERS = 500
_UPLOAD = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")  # as `api.uploads` names them


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What can be looked at: models and LoRA files (paths), folders of images that were trained before, and whether a path that
    a file names may be looked at at all."""

    models: Mapping[str, Sequence[Path]] = field(default_factory=dict)  # by option
    folders: Sequence[Path] = ()
    may_look: Callable[[Path], bool] = lambda path: True


def settle(recipe: Recipe, here: Surroundings) -> None:
    """Fill in where everything is, and note what is missing. Reads whole model files only where the short hash fits."""
    for option in (BASE, VAE):
        _settle_model(recipe, option, here)
    for option in ("network_weights", "base_weights"):
        _settle_weights(recipe, option, here)
    _settle_data(recipe, here)
    _settle_prompts(recipe, here)


def _settle_model(recipe: Recipe, option: str, here: Surroundings) -> None:
    wanted = recipe.wanted.get(option)
    if wanted is None:
        given = recipe.options.get(option)
        if not isinstance(given, str) or not given:
            return
        if not looks_local(given):
            return  # a name on the hub
        if here.may_look(user_path(given)) and is_there(user_path(given)):
            return
        wanted = Wanted(file_name(given))
        recipe.forget(option)
    found, exact = find_model(wanted, here.models.get(option, ()))
    if found is not None:
        recipe.take(option, str(found))
        if not exact and (wanted.short or wanted.sha256):
            what = f"The base model was {_called(wanted)}; the file of that name here has another content."
            if option == VAE:
                what = f"The VAE was {_called(wanted)}; the file of that name here has another content."
            recipe.miss(what, field=option, advice="The result will differ, unless you choose the same file.")
        return
    if wanted.name and not looks_local(wanted.name) and "/" in wanted.name:
        recipe.take(option, wanted.name)
        return
    what = f"The base model was {_called(wanted)}, which is not here."
    if option == VAE:
        what = f"The VAE was {_called(wanted)}, which is not here."
    recipe.miss(what, field=option, advice="Choose the one to train on.")


def _called(wanted: Wanted) -> str:
    hashes = ", ".join(part for part in (wanted.short, wanted.sha256[:10]) if part)
    return f"{wanted.name or '?'} ({hashes})" if hashes else wanted.name


def find_model(wanted: Wanted, candidates: Sequence[Path]) -> tuple[Path | None, bool]:
    """(the file that is wanted, whether its content is sure): by its hash, else one of its name."""
    by_name = [path for path in candidates if path.name.lower() == wanted.name.lower() or path.stem == wanted.name]
    ordered = by_name + [path for path in candidates if path not in by_name]
    is_short = bool(wanted.short) and wanted.short != _EMPTY
    for path in ordered if wanted.short or wanted.sha256 else ():
        if not is_file(path) or (is_short and _short(path) != wanted.short):
            continue
        if not wanted.sha256 and is_short:
            return path, True
        if wanted.sha256 and (is_short or path in by_name) and _whole(path) == wanted.sha256:
            return path, True
    return (by_name[0], False) if by_name else (None, False)


_known_hashes: dict[tuple[str, int, int], str] = {}


def _short(path: Path) -> str:
    try:
        return short_hash(path)
    except LoraFileError:
        return ""


def _whole(path: Path) -> str:
    """SHA-256 of a file, remembered until it changes."""
    try:
        stat = path.stat()
        key = (str(path), stat.st_size, stat.st_mtime_ns)
        if key not in _known_hashes:
            _known_hashes[key] = file_hashes(path)[1]
        return _known_hashes[key]
    except (OSError, LoraFileError):
        return ""


def _settle_weights(recipe: Recipe, option: str, here: Surroundings) -> None:
    """LoRA files that the run began with."""
    given = recipe.options.get(option)
    names = [given] if isinstance(given, str) else list(given or ())
    if not names:
        return
    found = []
    for name in names:
        path = user_path(name)
        if here.may_look(path) and is_file(path):
            found.append(str(path))
            continue
        same = next((one for one in here.models.get(option, ()) if one.name == file_name(name)), None)
        if same is None:
            recipe.forget(option)
            recipe.miss(f"The run began with the LoRA {file_name(name)}, which is not here.", field=option)
            return
        found.append(str(same))
    recipe.options[option] = found[0] if isinstance(given, str) else tuple(found)


def _settle_data(recipe: Recipe, here: Surroundings) -> None:
    config = recipe.options.get("dataset_config")
    if isinstance(config, str) and not recipe.tables:
        _read_dataset_file(recipe, user_path(config), here)
    if not recipe.tables:
        _read_parents(recipe, here)
    for folder in recipe.folders:
        folder.path = _find_folder(recipe, folder, here)
        if folder.metadata:
            _settle_metadata(recipe, folder, here)
        if folder.path is None:
            what = f"The folder {_folder_name(folder)} is not here."
            if folder.images:
                what = f"The folder {_folder_name(folder)}, which had {folder.images} pictures, is not here."
            recipe.miss(
                what,
                field="reg_dir" if folder.is_reg else "image_dir",
                advice="Choose the folder, or drop the pictures onto the page.",
            )


def _settle_metadata(recipe: Recipe, folder: Folder, here: Surroundings) -> None:
    """Its metadata file as it was named, else the one of that name in the folder, else it is told."""
    given = user_path(folder.metadata)
    beside = [folder.path / PureWindowsPath(folder.metadata).name] if folder.path else []
    found = next((path for path in (given, *beside) if path.is_absolute() and here.may_look(path) and is_file(path)), None)
    if found is None:
        what = f"The metadata file {PureWindowsPath(folder.metadata).name} is not here."
        recipe.miss(what, field="metadata_file", advice="Give its path in the form.")
    else:
        folder.metadata = str(found)


def _read_dataset_file(recipe: Recipe, path: Path, here: Surroundings) -> None:
    if here.may_look(path) and is_file(path):
        try:
            data = located.read(path, field="dataset_config").data
        except InputError:
            data = {}
        if isinstance(data.get(DATASET), list):
            from_dataset_file(recipe, data)
    recipe.forget("dataset_config")
    if not recipe.tables:
        recipe.miss(
            f"The data set file {path.name} is not here.",
            field="image_dir",
            advice="Drop it together with the configuration, or choose the folder of images.",
        )


def _read_parents(recipe: Recipe, here: Surroundings) -> None:
    """Folders of kohya's form by their parents; a parent that is not here is told."""
    parents = {}
    for option, field_name in (("train_data_dir", "image_dir"), ("reg_data_dir", "reg_dir")):
        given = recipe.options.get(option)
        if not isinstance(given, str) or not given:
            continue
        if here.may_look(user_path(given)) and is_folder(user_path(given)):
            parents[option] = user_path(given).absolute()
        else:
            recipe.miss(f"The folder {given} is not here.", field=field_name, advice="Choose the folder of images.")
    if parents:
        from_parents(recipe, parents)


def _folder_name(folder: Folder) -> str:
    return PureWindowsPath(folder.name).name or folder.name


def _find_folder(recipe: Recipe, folder: Folder, here: Surroundings) -> Path | None:
    """The folder of a path that is there; else one that is known, of the same content; an upload also if it has changed."""
    given = user_path(folder.name)
    if (given.is_absolute() or "/" in folder.name or "\\" in folder.name) and here.may_look(given) and is_folder(given):
        return given.absolute()
    known = [path for path in here.folders[:_KNOWN_FOLDERS] if is_folder(path)]
    named = [path for path in known if path.name == _folder_name(folder)]
    if not folder.digest:
        return named[0] if named else None
    same = next((path for path in [*named, *known] if _digest_of(recipe, path, folder) == folder.digest), None)
    if same is None and named and _UPLOAD.fullmatch(_folder_name(folder)):  # a name that no two folders have
        recipe.note(
            f"The pictures or captions of the folder {_folder_name(folder)} have changed since.",
            field="reg_dir" if folder.is_reg else "image_dir",
            advice="The result will differ.",
        )
        return named[0]
    return same


def _digest_of(recipe: Recipe, path: Path, folder: Folder) -> str:
    """The digest that the folder at `path` has with the settings of `folder`; "" when it holds nothing to train."""
    options = {option.name: option.default for option in OPTIONS} | recipe.options
    told = {
        name: folder.settings.get(name, inherited(name, options)) for name in SubsetSpec.__dataclass_fields__ if name in KEYS
    }
    beside = path / PureWindowsPath(folder.metadata).name
    named = {"metadata_file": beside} if folder.metadata and is_file(beside) else {}
    spec = SubsetSpec(**{**told, **named, "image_dir": path})
    sets = (DatasetSpec(resolution=(512, 512), subsets=(spec,)),)
    plan = make_plan(DataSpec(datasets=sets, masked_loss=bool(options["masked_loss"])), verify=False)
    return digests(plan)[1][0] if plan.images else ""


def _settle_prompts(recipe: Recipe, here: Surroundings) -> None:
    given = recipe.forget("sample_prompts")
    if not isinstance(given, str) or not given or recipe.prompts:
        return
    path = user_path(given)
    if path.suffix.lower() == ".txt" and here.may_look(path):
        try:
            recipe.prompts = read_text(path, limit=1 << 16).strip()
            return
        except UnreadableError:
            pass
    recipe.miss(f"The sample prompts {path.name} are not here.", field="prompts", advice="Type them, or leave them out.")
