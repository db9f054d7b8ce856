"""What the outcome tests found: scores and pictures, for the assertions, for a table and for docs/outcomes.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, ImageDraw

from lora_trainer.paths import write_atomic, write_text_atomic
from lora_trainer.sampling.generate import to_images
from tests.outcome.lab import Seen

Measure = Callable[[Seen], float]  # a share, 0..1
Scores = dict[str, dict[str, float]]  # row -> measure -> share


def reads(part: str, word: str | None = None) -> Measure:
    """Return the measure "share of pictures whose `part` the judge reads as `word`", or as what the caption says."""
    return lambda seen: seen.share(part, word)


@dataclass
class Outcome:
    """One finding: a title, rows of pictures, and their scores."""

    name: str
    title: str
    text: str
    rows: dict[str, Seen] = field(default_factory=dict)
    scores: Scores = field(default_factory=dict)

    def asked(self) -> str:
        """Return what was asked for, as a line of the page: the caption of the first picture."""
        seen = next(iter(self.rows.values()))
        others = len(set(seen.captions)) - 1
        return f"Asked for: `{seen.captions[0]}`" + (f", and {others} more like it." if others else ".")

    def table(self) -> str:
        """Return the scores as a Markdown table, in percent."""
        measures = list(next(iter(self.scores.values())))
        lines = [f"| | {' | '.join(measures)} |", "|---|" + "---:|" * len(measures)]
        for row, values in self.scores.items():
            lines.append(f"| {row} | {' | '.join(f'{100 * values[measure]:.0f} %' for measure in measures)} |")
        return "\n".join(lines)


class Board:
    """Collects outcomes in the order of the tests."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def add(self, name: str, text: str, rows: Mapping[str, Seen], measures: Mapping[str, Measure]) -> Scores:
        """Score every row by every measure, keep it, and return the scores. The first line of `text` is the title."""
        title, _, rest = text.strip().partition("\n")
        scores = {row: {measure: rate(seen) for measure, rate in measures.items()} for row, seen in rows.items()}
        paragraph = " ".join(line.strip() for line in rest.splitlines()).strip()
        self.outcomes.append(Outcome(name, title.rstrip("."), paragraph, dict(rows), scores))
        return scores

    def page(self, head: str, images: Path, page: Path, *, keep: bool = False) -> None:
        """Write `page` (Markdown) and its pictures into the folder `images` beside or below it.

        `keep`: the sections that stand there already stay, but for those that were found anew.
        """
        there = page.read_text("utf-8").split("\n## ")[1:] if keep and page.is_file() else []
        sections = {text.partition("\n")[0]: text.rstrip("\n") for text in there}
        for outcome in self.outcomes:
            path = images / f"{outcome.name.removeprefix('test_')}.png"
            picture = sheet(outcome.rows)
            write_atomic(path, lambda file, picture=picture: picture.save(file, format="PNG", optimize=True))
            where = path.relative_to(page.parent).as_posix()
            text = f"{outcome.text}\n\n" if outcome.text else ""
            shown = f"![{outcome.title}]({where})"
            sections[outcome.title] = f"{outcome.title}\n{text}{outcome.asked()}\n\n{shown}\n\n{outcome.table()}"
        write_text_atomic(page, "\n## ".join([head, *(f"{text}\n" for text in sections.values())]))


def sheet(rows: Mapping[str, Seen], widest: int = 6 * 64, gap: int = 4, colours: int = 80) -> Image.Image:
    """Return the first pictures of each row side by side, the row's name above them, in few colours."""
    line = 14
    shown = {name: to_images(seen.pictures[: max(1, widest // seen.pictures.shape[3])]) for name, seen in rows.items()}
    width = max(sum(image.width + gap for image in images) for images in shown.values()) - gap
    height = sum(line + images[0].height + gap for images in shown.values()) - gap
    whole = Image.new("RGB", (width, height), "white")
    pen, top = ImageDraw.Draw(whole), 0
    for name, images in shown.items():
        pen.text((1, top), name, fill="black")
        top, left = top + line, 0
        for image in images:
            whole.paste(image, (left, top))
            left += image.width + gap
        top += images[0].height + gap
    return whole.quantize(colours, kmeans=2, dither=Image.Dither.NONE)
