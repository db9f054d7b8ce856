"""`tag_images_by_wd14_tagger`: tags by a tagger of the WD14 family (ONNX).

python -m lora_trainer tag_images_by_wd14_tagger --batch_size 4 --remove_underscore train_data
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .. import log
from ..data.resize import Pixels, resize
from ..errors import BaseModelError, InputError
from ..log import logger
from ..options.tool_cli import parse
from ..options.tools.captioning import AFTER, REPLACE
from ..options.tools.tag_images_by_wd14_tagger import TagImagesByWd14Tagger
from ..paths import user_path
from . import hub, tag_lists
from .onnx_graph import Graph, load_runtime
from .pictures import Found, Picture, find
from .running import carry_out
from .tag_words import Wording, Words, listed, parse_replacements
from .writing import MetadataSink, Sink, caption_sink

_GRAPHS = ("model.onnx", "model_optimized.onnx")
_LISTS = ("selected_tags.csv", "tag_mapping.json")
_WHITE = 255


def main(argv: Sequence[str]) -> int:
    """Tag as the arguments say; returns the exit code. Raises InputError(s) and other LoraTrainerErrors."""
    log.setup()
    return run(parse(TagImagesByWd14Tagger, "tag_images_by_wd14_tagger", argv))


def run(options: TagImagesByWd14Tagger) -> int:
    """Tag as `options` say; returns the exit code (130 when it was stopped)."""
    assert options.train_data_dir
    wording = wording_of(options)
    found = find(Path(user_path(options.train_data_dir)), recursive=options.recursive)
    sink = _sink(options, found)
    load_runtime()  # before anything large is fetched
    graph_path, list_path = tagger_files(options)
    tagger = Tagger(Graph(graph_path, options.device), tag_lists.read(list_path), wording)
    code = carry_out(options, found, sink, tagger)
    if options.frequency_tags:
        logger.info("How often each tag was found:")
        for word, times in tagger.words.counts.most_common():
            logger.info("%s: %d", word, times)
    return code


class Tagger:
    """A tagger with its list of tags, as the run through the pictures wants it."""

    def __init__(self, graph: Graph, tags: tag_lists.TagList, wording: Wording) -> None:
        graph.check_tags(len(tags.tags), tags.path)
        self._graph = graph
        self.batch_size = graph.batch_size
        self.words = Words(tags, wording)

    def prepare(self, pixels: Pixels) -> Pixels:
        """On a white square, at the size of the tagger."""
        return resize(squared(pixels), (self._graph.side, self._graph.side))

    def describe(self, pictures: Sequence[Picture], prepared: Sequence[Pixels]) -> list[list[str]]:
        """The tags of each."""
        return [self.words.of(one) for one in self._graph(prepared)]


def squared(pixels: Pixels) -> Pixels:
    """[H, W, 3] in the middle of a white square of its longer side."""
    height, width = pixels.shape[:2]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    return np.pad(pixels, ((top, side - height - top), (left, side - width - left), (0, 0)), constant_values=_WHITE)


def wording_of(options: TagImagesByWd14Tagger) -> Wording:
    """What the options say about words. Raises InputError."""
    given = {kind: getattr(options, f"{kind}_threshold") for kind in tag_lists.KINDS[:6]}
    return Wording(
        thresholds={kind: options.thresh if value is None else value for kind, value in given.items()},
        undesired=frozenset(listed(options.undesired_tags)),
        remove_underscore=options.remove_underscore,
        expand_characters=options.character_tag_expand,
        replacements=parse_replacements(options.tag_replacement or ""),
        first=listed(options.always_first_tags),
        characters_first=options.character_tags_first,
        ratings="last" if options.use_rating_tags_as_last_tag else "first" if options.use_rating_tags else "",
        qualities="last" if options.use_quality_tags_as_last_tag else "first" if options.use_quality_tags else "",
    )


def _sink(options: TagImagesByWd14Tagger, found: Found) -> Sink:
    if options.output_path:
        return MetadataSink(Path(user_path(options.output_path)), options.caption_separator)
    existing = options.existing_captions
    if options.append_tags and existing not in (REPLACE, AFTER):
        raise InputError(
            f"append_tags puts tags after the earlier ones, but existing_captions is {existing}.",
            field="append_tags",
            where="--append_tags",
            advice="Leave one of the two out.",
        )
    return caption_sink(
        options, found, separator=options.caption_separator, existing=AFTER if options.append_tags else existing
    )


def tagger_files(options: TagImagesByWd14Tagger) -> tuple[Path, Path]:
    """The ONNX file and the list of tags of the tagger, fetched where they are not there. Raises BaseModelError, InputError."""
    own = Path(user_path(options.repo_id))
    if own.is_dir():
        return _files_in(own, options.repo_id)
    owner, _, rest = options.repo_id.replace("\\", "/").partition("/")
    name, _, subfolder = rest.partition("/")
    if not owner or not name or owner.startswith(".") or own.is_absolute() or ".." in options.repo_id:
        raise InputError(
            f"there is no folder {options.repo_id}, and on Hugging Face a tagger is named like owner/name.",
            field="repo_id",
            where="--repo_id",
            advice="Check it for typing errors.",
        )
    folder = Path(user_path(options.model_dir)) / f"{owner}_{name}"
    place = folder / subfolder
    if options.force_download or not (_first(place, _GRAPHS) and _first(place, _LISTS)):
        logger.info("Fetching the tagger %s into %s.", options.repo_id, place)
        names = [_GRAPHS[1], _LISTS[1]] if subfolder else [_GRAPHS[0], _LISTS[0]]
        hub.fetch(f"{owner}/{name}", names, folder, subfolder=subfolder, force=options.force_download)
    return _files_in(place, options.repo_id)


def _files_in(folder: Path, name: str) -> tuple[Path, Path]:
    graph, tags = _first(folder, _GRAPHS) or _only(folder, "*.onnx"), _first(folder, _LISTS) or _only(folder, "*.csv")
    if graph is None or tags is None:
        lacking = " and ".join([*([] if graph else [_GRAPHS[0]]), *([] if tags else [_LISTS[0]])])
        other = " It holds a TensorFlow model, which is not read." if (folder / "saved_model.pb").exists() else ""
        raise BaseModelError(
            f"{folder} lacks {lacking} of the tagger {name}.{other}", advice="Fetch it with --force_download, or put it there."
        )
    return graph, tags


def _first(folder: Path, names: Sequence[str]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _only(folder: Path, pattern: str) -> Path | None:
    found = list(folder.glob(pattern))
    return found[0] if len(found) == 1 else None
