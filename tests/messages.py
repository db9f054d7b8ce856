"""Finds the sentences that the program can say, out of its source: what the Korean catalogue has to have.

python -m tests.messages          # prints those that have no Korean yet, by file, in the form of the catalogue
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from lora_trainer.api.korean import PLACEHOLDER, Catalogue

PACKAGE = Path(__file__).resolve().parents[1] / "lora_trainer"
# Rooms and files whose texts no page shows: what only the command line says.
NOT_SHOWN = (
    "__main__.py", "commands.py", "demo/", "data/gallery.py",
    "installing/environment.py", "installing/extras_command.py", "installing/requirements.py",
    "installing/retries.py", "installing/torch_choice.py", "installing/worker_packages.py",
    "log.py", "options/cli.py", "options/docs.py", "options/gen_img.py",
    "options/presets.py", "options/tools/",
    "options/tool_cli.py", "sampling/gen_img/", "sampling/command.py", "sampling/reg_images.py",
    "recipes/command.py", "api/korean.py",
    "data/plan/lint/command.py", "datasets/store_schema.py", "datasets/command.py",
    "datasets/regex_child.py", "training/rehearsal/telling.py", "training/rehearsal/command.py",
    "apps/standalone.py", "apps/arguments.py", "installing/elsewhere.py", "optional_packages.py",
    "hosts/fake.py", "options/dataset_keys.py", "runs/store_schema.py",
    "training/kernels.py",
)  # fmt: skip
# Calls whose texts are declarations, logs, patterns or for programmers.
NOT_SAID = {
    "opt", "Title", "debug", "info", "exception", "compile", "getLogger", "fullmatch", "match", "search", "sub", "execute",
    "executemany", "executescript", "add_argument", "ArgumentParser", "print", "TypeVar", "namedtuple", "warn", "warning_once",
    "field", "removeprefix", "removesuffix", "startswith", "endswith", "Header",
}  # fmt: skip
# Texts of these files that read like sentences and are none, or are for a log or another program.
NONE = {
    "frame-ancestors 'self'", "attachment; filename*=utf-8''{}", 'Basic realm="LoRA Trainer", charset="UTF-8"',
    "lora-trainer: applied weights are out of date", "lora-trainer supervisor", "lora-trainer live", "lora-trainer grids",
    "lora-trainer rehearsal", "lora-trainer standby", "(killed by signal 9)", "{} (heads of {})", "one that it does not tell",
    "lora-trainer tool {}",
    "sd version",
    "Schedule type", "Denoising strength", "Clip skip", "Lora hashes", "Negative prompt: {}", "not enough memory",
    "cannot allocate memory", "can't allocate memory", "{} for {}", "{}, line {}", "lora-trainer {}", "and {} more",
    "lora-trainer data set",
    "Made by LoRA Trainer of the pictures beside it, so that the next training starts sooner. It may be deleted.",
    "a picture of", "TI hashes", "in the style of", "made in the style of",
    *(f"{kind} photo" for kind in ("close-up", "cropped", "bright", "dark", "good")),
    *(f"{kind} painting" for kind in ("large", "small", "dark")),
    "WHERE state IN ({})", "AND state IN ({})", "datasets {}", "runs and the owner", "# Made from {}", "{}, line {}, column {}",
}  # fmt: skip
SHOWN = ("demo/files.py",)  # of those rooms, what a page shows all the same
# What is built with a text for a person: there a sentence counts however few words it has, as "{} is {}." has.
SAYS = re.compile(r"\w*Errors?|BadValue|Refusal|Finding")
FOR_PROGRAMMERS = {"ValueError", "TypeError", "RuntimeError", "AssertionError", "NotImplementedError", "KeyError"}
_WORD = re.compile(r"[A-Za-z]{2,}")


def sources() -> list[Path]:
    """The files whose sentences a page may show."""
    names = {path: path.relative_to(PACKAGE).as_posix() for path in sorted(PACKAGE.rglob("*.py"))}
    return [path for path, name in names.items() if name in SHOWN or not any(name.startswith(one) for one in NOT_SHOWN)]


def templates(path: Path) -> Iterator[tuple[int, str]]:
    """(line, sentence with {} for each value) of everything in a file that reads like a sentence, or a part of one."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        skipped.update(_not_said(node))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and node not in skipped]
    yield from dict.fromkeys([*_walk(tree, skipped), *(found for call in calls for found in _errors(call))])


def _errors(call: ast.Call) -> Iterator[tuple[int, str]]:
    """(line, sentence) of the texts that an error, or what else is told, is built with."""
    name = getattr(call.func, "id", None) or getattr(call.func, "attr", "")
    if name in FOR_PROGRAMMERS or not SAYS.fullmatch(name):
        return
    told = [*call.args, *(one.value for one in call.keywords if one.arg in ("message", "advice"))]
    for text in told:
        for either in (text.body, text.orelse) if isinstance(text, ast.IfExp) else (text,):
            sentence = _template(either)
            if (
                sentence
                and " " in sentence.strip()
                and _WORD.search(sentence.replace("{}", " "))
                and sentence.strip() not in NONE
            ):
                yield either.lineno, sentence


def _walk(node: ast.AST, skipped: set[ast.AST]) -> Iterator[tuple[int, str]]:
    if node in skipped:
        return
    text = _template(node)
    if text is not None and _is_prose(text):
        yield node.lineno, text  # type: ignore[attr-defined]
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "count":  # data.plan.words.count: number and noun
        for noun in node.args[1:]:
            words = _template(noun)
            if words is not None:
                yield node.lineno, f"{{}} {words}"
        yield from _walk(node.args[0], skipped)
        return
    if isinstance(node, ast.JoinedStr):
        for value in node.values:
            if isinstance(value, ast.FormattedValue):
                yield from _walk(value.value, skipped)
        return
    if text is None:
        for child in ast.iter_child_nodes(node):
            yield from _walk(child, skipped)
    elif isinstance(node, ast.BinOp):
        for child in ast.walk(node):
            if isinstance(child, ast.FormattedValue):
                yield from _walk(child.value, skipped)


def _not_said(node: ast.AST) -> Iterator[ast.AST]:
    """Parts of the tree whose texts are none of these."""
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        first = node.body[0] if node.body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            yield first.value
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.AnnAssign, ast.arg)):
        annotation = getattr(node, "annotation", None) or getattr(node, "returns", None)
        if annotation is not None:
            yield annotation
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):  # a text below an assignment explains it
        yield node.value
    if isinstance(node, ast.Assert) and node.msg is not None:
        yield node.msg
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and getattr(node.exc.func, "id", "") in FOR_PROGRAMMERS:
        yield node.exc
    if isinstance(node, ast.Call):
        name = getattr(node.func, "id", None) or getattr(node.func, "attr", "")
        owner = getattr(getattr(node.func, "value", None), "id", "")
        if name in NOT_SAID or owner == "logger":
            yield node


def _template(node: ast.AST) -> str | None:
    """The sentence of a literal, an f-string, or such joined by +; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return PLACEHOLDER.sub("{}", node.value)
    if isinstance(node, ast.JoinedStr):
        text = "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)  # type: ignore[misc]
        return text.replace("{{}}", "{}")  # it is formatted once more
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _template(node.left), _template(node.right)
        return left + right if left is not None and right is not None else None
    return None


def _is_prose(text: str) -> bool:
    """Whether a text has two words or more with a space between them, or is a value with a word."""
    plain = text.replace("{}", " ")
    words = _WORD.findall(plain)
    if text.strip() in NONE or text.startswith(("<", "SELECT ")):
        return False
    if len(words) >= 2 and " " in text.strip():
        beside = re.search(r"[a-z]{2,} [a-z]{2,}", text)
        return bool(beside or (re.search(r"(?:^|\s)[a-z]{2,}\b", plain) and ("{}" in text or text.endswith("."))))
    return bool(words) and "{}" in text and bool(re.search(r"\{\} [a-z]{3,}|[a-z]{3,} \{\}", text))


def missing(catalogue: Catalogue) -> dict[str, list[tuple[int, str]]]:
    """File -> sentences without Korean, each once."""
    found: dict[str, list[tuple[int, str]]] = {}
    seen: set[str] = set()
    for path in sources():
        for line, text in templates(path):
            key = text.strip()
            if key in seen or key in catalogue.entries:
                continue
            seen.add(key)
            found.setdefault(path.relative_to(PACKAGE).as_posix(), []).append((line, key))
    return found


def main() -> None:
    for name, sentences in missing(Catalogue.load()).items():
        if len(sys.argv) < 2 or any(name.startswith(one) for one in sys.argv[1:]):
            print(f"## {name}")  # noqa: T201
            for line, text in sentences:
                print(f"{line}: {text!r}")  # noqa: T201


if __name__ == "__main__":
    main()
