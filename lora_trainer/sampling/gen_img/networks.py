"""The networks of `gen_img_diffusers` on its model: which files with which modules, merged or changeable."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...networks import registry
from ...options.gen_img import GenImg
from ...options.network_arguments import parse_network_args
from ..lora_folders import LoraUse
from ..loras import Standing, short_hash
from .checks import merged_networks

if TYPE_CHECKING:
    from ...models import Model


def chosen(options: GenImg) -> list[LoraUse]:
    """The network files with their multipliers, modules and arguments; the counts are checked already.

    Raises InputError for modules and arguments that do not exist.
    """
    paths = [Path(path) for path in options.network_weights or ()]
    multipliers = options.network_mul or (1.0,) * len(paths)
    modules = options.network_module or ("",)
    modules = modules * len(paths) if len(modules) == 1 else modules
    for module in {*modules} - {""}:
        registry.check_name(module)
    arguments = [_arguments(text) for text in options.network_args or ("",) * len(paths)]
    stems = [path.stem for path in paths]
    names = [stem if stems.count(stem) == 1 else f"{stem}-{number}" for number, stem in enumerate(stems, 1)]
    rows = zip(paths, multipliers, names, modules, arguments, strict=True)
    return [LoraUse(path, factor, factor, None, name, module, own) for path, factor, name, module, own in rows]


def _arguments(text: str) -> dict[str, str]:
    return parse_network_args(part.strip() for part in text.split(";") if part.strip())


class Networks:
    """The chosen networks on a model, from `with` to its end: the merged ones as they are, the others changeable.

    `hashes` are what the pictures' text says of them, `multipliers` how strongly they count now.
    """

    def __init__(self, model: Model, uses: Sequence[LoraUse], options: GenImg) -> None:
        """Raises LoraFileError for a file that does not fit the model."""
        merged = merged_networks(options)
        self.hashes = {use.name: short_hash(use.path) for use in uses}
        self._merged = Standing(model, uses[:merged], merged=True)
        self._defaults = [use.unet for use in uses[merged:]]
        self.multipliers = {use.name: use.unet for use in uses}
        self._names = [use.name for use in uses[merged:]]
        try:
            self._changeable = Standing(model, uses[merged:], merged=options.network_pre_calc)
        except BaseException:
            self._merged.restore()
            raise

    def __enter__(self) -> Networks:
        return self

    def __exit__(self, *_: object) -> None:
        self._changeable.restore()
        self._merged.restore()

    def set_multipliers(self, given: Sequence[float]) -> None:
        """A prompt's --am: one for each changeable network, the last one for those left over; none: as on the command line."""
        rest = self._defaults[len(given) :]
        multipliers = [*given, *([given[-1]] * len(rest) if given else rest)]
        self._changeable.set_multipliers(multipliers)
        self.multipliers.update(zip(self._names, multipliers, strict=True))
