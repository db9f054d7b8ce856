"""What a training state holds: the pieces with hidden state, and how their tables of numbers and tensors become files.

A piece has `state_dict()` and `load_state_dict()`, of tables, lists, texts, numbers, None and tensors. Adding one is an entry
in the mapping that `train` makes; `runs.states` says what the folder is called and how it is kept whole. Nothing is pickled:
the tensors of a piece are NAME.safetensors, all else is pieces.json.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from ..checkpoints import sharding
from ..errors import InputError, LoraTrainerError, SaveError
from ..foreign.json_text import parse_json
from ..foreign.reading import UnreadableError, read_text
from ..foreign.tensors import open_weights
from ..models.convert import Whole, all_here
from ..networks import files
from ..runs.states import StateInfo, Write
from .trained import Trained, is_finite

PIECES = "pieces.json"
# A DyLoRA of rank 128 on all layers of SDXL has some 250,000 tensors in training, each with what the optimizer remembers.
_MAX_TEXT, _MAX_VALUES = 512 << 20, 20_000_000
_TENSOR, _NUMBER, _TUPLE, _PAIRS = "__tensor__", "__number__", "__tuple__", "__pairs__"  # what JSON has no word for


class Stateful(Protocol):
    """A piece of a training that remembers something from one step to the next."""

    def state_dict(self) -> Mapping[str, Any]:
        """What it remembers: tables, lists, texts, numbers, None and tensors."""
        ...

    def load_state_dict(self, state: Any, /) -> Any:
        """Go on from what `state_dict` gave; tensors come on the CPU, in the dtype that they had."""
        ...


Pieces = Mapping[str, Stateful]


# ---- to files and back -----------------------------------------------------------------------------------------------
def writers(pieces: Pieces, whole: Whole = all_here) -> dict[str, Write]:
    """The functions that write the files of a state, by file name (see `runs.states.write_state`).

    `whole` gives all of a tensor of which this process has a part, when its turn comes. Raises SaveError when a piece remembers
    something that is no table, list, text, number, None or tensor.
    """
    plain: dict[str, Any] = {}
    functions: dict[str, Write] = {}
    for name, piece in pieces.items():
        tensors: dict[str, torch.Tensor] = {}
        plain[name] = _packed(piece.state_dict(), tensors, name)
        if tensors:
            functions[f"{name}.safetensors"] = _tensor_writer(tensors, whole)
    text = json.dumps(plain, ensure_ascii=False, allow_nan=False)
    functions[PIECES] = lambda path: path.write_text(text, encoding="utf-8")
    return functions


def size_of(pieces: Pieces) -> int:
    """About how many bytes a state takes: the tensors of its files, which are nearly all of it."""
    tensors: dict[str, torch.Tensor] = {}
    for name, piece in pieces.items():
        _packed(piece.state_dict(), tensors, name)
    return sum(tensor.nbytes for tensor in tensors.values())


def restore(info: StateInfo, pieces: Pieces) -> None:
    """Let each of `pieces` go on from the state. Raises InputError when the state lacks one, or does not fit it."""
    try:
        plain = parse_json(read_text(info.path / PIECES, limit=_MAX_TEXT), values=_MAX_VALUES)
        for name, piece in pieces.items():
            if name not in plain:
                raise _misfit(info.path, f"there is nothing of the {name} in it")
            piece.load_state_dict(_unpacked(plain[name], _tensors(info.path / f"{name}.safetensors")))
    except LoraTrainerError:
        raise
    except UnreadableError as error:
        raise InputError(f"{info.path} {error}", field="resume", advice=error.advice) from error
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
        raise _misfit(info.path, f"{type(error).__name__}: {error}") from error


def _misfit(folder: Path, why: str) -> InputError:
    return InputError(
        f"the state {folder} does not fit this training: {why}.",
        field="resume",
        advice="Go on with the settings and the version of this program that it was saved with.",
    )


def _tensor_writer(tensors: Mapping[str, torch.Tensor], whole: Whole) -> Write:
    def write(path: Path) -> None:
        entries = files.layout({name: (tensor.dtype, tensor.shape) for name, tensor in tensors.items()})
        with path.open("wb") as file:
            file.write(files.header(entries, {}))
            for name in entries:
                file.write(files.bytes_of(whole(tensors[name].detach()).to("cpu").contiguous()))

    return write


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a piece; none when it has no file."""
    if not path.is_file():
        return {}
    with open_weights(path) as weights:
        return {name: weights.tensor(name).clone() for name in weights.shapes}


def _packed(value: Any, tensors: dict[str, torch.Tensor], place: str) -> Any:
    """`value` as JSON has it; its tensors go to `tensors`, under the names of their places."""
    if isinstance(value, torch.Tensor):
        tensors[place] = value
        return {_TENSOR: place}
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) and not key.startswith("__") for key in value):
            pairs = enumerate(value.items())
            return {_PAIRS: [[_packed(key, {}, ""), _packed(item, tensors, f"{place}/{n}")] for n, (key, item) in pairs]}
        return {key: _packed(item, tensors, f"{place}/{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_packed(item, tensors, f"{place}/{number}") for number, item in enumerate(value)]
        return {_TUPLE: items} if isinstance(value, tuple) else items
    if isinstance(value, float) and not math.isfinite(value):
        return {_NUMBER: str(value)}
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, np.generic):
        return _packed(value.item(), tensors, place)
    raise SaveError(
        f"no training state can be saved: {place.strip('/')} is a {type(value).__name__}.",
        advice="An optimizer or a schedule of another package remembers it; with another one states can be saved.",
    )


def _unpacked(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpacked(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if _TENSOR in value:
        return tensors[value[_TENSOR]]
    if _NUMBER in value:
        return float(value[_NUMBER])
    if _TUPLE in value:
        return tuple(_unpacked(item, tensors) for item in value[_TUPLE])
    if _PAIRS in value:
        return {_unpacked(key, tensors): _unpacked(item, tensors) for key, item in value[_PAIRS]}
    return {key: _unpacked(item, tensors) for key, item in value.items()}


# ---- pieces that torch or the networks have --------------------------------------------------------------------------
@dataclass(frozen=True)
class TrainedState:
    """What is trained, number by number and in its own dtypes: more exact than a LoRA file can be."""

    trained: Trained

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Raises SaveError for weights that are no numbers: such a state must not take the place of a good one."""
        if not is_finite(self.trained):
            raise SaveError("no training state is saved: the trained weights became NaN or infinite.")
        return dict(self.trained.training_state())

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Raises InputError when it is of another network."""
        mine = self.trained.training_state()
        strange = sorted(mine.keys() ^ state.keys()) or [name for name in mine if mine[name].shape != state[name].shape]
        if strange:
            raise InputError(
                f"the training state is of another network: {len(strange)} of its tensors differ, for example {strange[0]}.",
                field="resume",
                advice="Go on with the network, rank and network_args that it was saved with.",
            )
        with torch.no_grad():
            for name, tensor in mine.items():
                tensor.copy_(sharding.as_held(state[name], tensor))


class OptimizerState:
    """An optimizer, exactly: torch's own load_state_dict would cast what it remembers to the weights' dtype.

    Parameters count by the name of their group and their place in it. Of the groups' settings, those that the user has not
    changed since go on as they were (an adaptive optimizer changes some); the others are as they are given now.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        """To be made before the first step: the groups' settings are taken for those that were given."""
        self._optimizer = optimizer
        self._given = [self._settings(group) for group in optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        groups = self._optimizer.param_groups
        return {
            "class": self._class,
            "names": self._names(),
            "given": [dict(given) for given in self._given],
            "groups": [self._settings(group) for group in groups],
            "state": [[dict(self._optimizer.state.get(parameter, {})) for parameter in group["params"]] for group in groups],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises InputError when it is of another optimizer, or of other groups of parameters."""
        if state["class"] != self._class:
            raise InputError(
                f"the training state is of the optimizer {state['class']}, this training has {self._class}.",
                field="resume",
                advice="Go on with the optimizer, and on a device, that it was saved with.",
            )
        sizes = [len(group["params"]) for group in self._optimizer.param_groups]
        if state["names"] != self._names() or [len(one) for one in state["state"]] != sizes:
            then, now = ", ".join(state["names"]), ", ".join(self._names())
            raise InputError(
                f"the training state is of an optimizer with other groups of parameters: {then}; now they are {now}.",
                field="resume",
                advice="Train the same parts, and none with another learning rate of 0, as when it was saved.",
            )
        for number, group in enumerate(self._optimizer.param_groups):
            then, now = state["given"][number], self._given[number]
            for key, value in state["groups"][number].items():
                if (key in then) == (key in now) and (key not in now or _same(then[key], now[key])):
                    group[key] = value.to(group["params"][0].device) if isinstance(value, torch.Tensor) else value
            for parameter, remembered in zip(group["params"], state["state"][number], strict=True):
                if remembered:
                    self._optimizer.state[parameter] = {
                        key: self._placed(key, value, parameter, group) for key, value in remembered.items()
                    }

    @staticmethod
    def _placed(key: str, value: Any, parameter: torch.Tensor, group: Mapping[str, Any]) -> Any:
        """`value` where the optimizer expects it: beside its parameter, but for torch's step counters."""
        if not isinstance(value, torch.Tensor) or (key == "step" and not (group.get("capturable") or group.get("fused"))):
            return value
        return sharding.as_held(value, parameter) if value.shape == parameter.shape else value.to(parameter.device)

    @property
    def _class(self) -> str:
        return f"{type(self._optimizer).__module__}.{type(self._optimizer).__qualname__}"

    def _names(self) -> list[str]:
        return [str(group.get("name", number)) for number, group in enumerate(self._optimizer.param_groups)]

    @staticmethod
    def _settings(group: Mapping[str, Any]) -> dict[str, Any]:
        kept = {key: value for key, value in group.items() if key not in ("params", "name")}
        return {key: value.clone() if isinstance(value, torch.Tensor) else value for key, value in kept.items()}


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor) or isinstance(second, torch.Tensor):
        return isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor) and torch.equal(first.cpu(), second.cpu())
    return bool(first == second)


class ScalerState:
    """The gradient scaler of fp16; another precision has none, and a state of one has nothing for it."""

    def __init__(self, scaler: Any) -> None:
        self._scaler = scaler

    def state_dict(self) -> dict[str, Any]:
        return dict(self._scaler.state_dict())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if state and self._scaler.is_enabled():
            self._scaler.load_state_dict(dict(state))
