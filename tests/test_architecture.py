"""The plan of docs/architecture.md, kept: who may import whom, how large a file may be, what a light import may bring."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "lora_trainer"
FILES = sorted(PACKAGE.rglob("*.py"))
CODE = [
    *FILES,
    *sorted(ROOT.glob("*.py")),
    *sorted((ROOT / "scripts").glob("*.py")),
    *sorted((ROOT / "benchmarks").glob("*.py")),
]

FLOOR_0 = {
    "errors",
    "paths",
    "log",
    "randomness",
    "repeatable",
    "importing",
    "foreign",
    "model_kinds",
    "modelfile",
    "prompt_weights",
    "optional_packages",
    "__init__",
}
FILE_HALF = {
    "networks.bundled",
    "networks.files",
    "networks.going_on",
    "networks.key_names",
    "networks.metadata",
    "networks.recipe",
}  # the half of networks that the host may use

# the part of sampling that reads what is asked for, without torch
ASKING = {
    f"sampling.{name}"
    for name in (
        *("prompts", "prompt_lines", "prompt_parts", "prompt_schedule", "lora_tags", "lora_folders"),
        *("request", "samplers", "solvers", "schedules", "sample_requests"),
    )
}

# the half of the demo model's room that the host may use
DEMO_HALF = {"demo.files", "demo.recipe", "demo.trial", "demo.trial_sheet", "demo.world"}

# room -> rooms it may import besides itself and floor 0. Longer names win.
ALLOWED: dict[str, set[str]] = {
    "installing": set(),
    "options": set(),
    "runs": {"options", "installing", "data.plan"} | FILE_HALF,
    "data.plan": {"options"},
    "data": {"options"},
    "datasets": {"options", "data.plan"},
    "grids": set(),
    "networks.bundled": set(),
    "networks.files": {"networks.key_names", "networks.bundled"},
    "networks.going_on": {"options", "networks.files", "networks.bundled", "networks.key_names"},
    "networks.key_names": set(),
    "networks.metadata": {"options"},
    "networks.recipe": {"options"},
    "networks": {"options"},
    "models": {"options"},
    "embeddings": {"options"},
    "checkpoints": {"options", "models", "networks"} | FILE_HALF,
    "recipes": {"options", "data.plan"} | FILE_HALF,
    "hosts.base": {"options", "runs"},
    "hosts": {"options", "runs", "installing", "demo.files"},
    "ui": {"options", "hosts.base"},
    "api": {"options", "runs", "datasets", "grids", "recipes", "data.plan", "hosts.base", "ui", "installing"}
    | FILE_HALF
    | DEMO_HALF
    | ASKING,
    "apps": {"hosts.base", "hosts", "api", "ui", "installing"},
    "sampling": {"options", "models", "networks", "embeddings", "runs", "data.plan"} | FILE_HALF,
    "training": {"options", "installing", "models", "networks", "embeddings", "checkpoints", "data", "sampling", "runs"}
    | FILE_HALF
    | {"data.plan"},
    "demo": {"models", "sampling", "training", "options", "runs"},
    "demo.files": set(),
    "demo.world": set(),
    "demo.trial": {"demo.world"},
    "demo.trial_sheet": set(),
    "demo.recipe": {"demo.trial", "demo.world", "options"},
    "tools": {"options", "models", "networks", "embeddings", "checkpoints", "data", "data.plan"} | FILE_HALF,
    "captioning": {"options", "installing", "data", "data.plan"},
    "commands": {"options"},
    "__main__": {"commands", "installing"},
}
HOST_SIDE = (
    {"options", "runs", "recipes", "data.plan", "datasets", "grids", "hosts.base", "hosts", "api", "ui", "apps", "installing"}
    | FILE_HALF
    | DEMO_HALF
)

# The floors of docs/architecture.md, from the ground up. An import leads to a lower one, whenever it is done.
FLOORS = [
    FLOOR_0,
    {"options", "installing", "networks.key_names", "networks.bundled", "demo.files", "demo.world", "demo.trial_sheet"},
    {"data.plan", "networks.files", "networks.metadata", "networks.recipe", "demo.trial"},
    {"runs", "recipes", "datasets", "grids", "demo.recipe", "networks.going_on", "models", "networks", "data", "embeddings"},
    {"hosts.base", "sampling", "checkpoints"},
    {"hosts", "ui", "training", "tools", "captioning"},
    {"api", "demo"},
    {"apps"},
    {"commands"},
    {"__main__"},
]

HEAVY = {"torch", "diffusers", "transformers", "accelerate", "bitsandbytes", "xformers"}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def room_of(module: str, rooms=ALLOWED) -> str:
    fitting = [room for room in rooms if module == room or module.startswith(room + ".")]
    return max(fitting, key=len, default=module.split(".")[0])


def is_floor_0(module: str) -> bool:
    return module.split(".")[0] in FLOOR_0


def imports_of(path: Path) -> list[tuple[str, bool, int]]:
    """(module, whether it is imported when the file is, line) of every import; own modules begin with "lora_trainer."."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lazy: set[ast.AST] = set()
    for node in ast.walk(tree):
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or typing_only:
            lazy.update(ast.walk(node))
    package = ["lora_trainer", *path.relative_to(PACKAGE).parent.parts] if path.is_relative_to(PACKAGE) else []
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node not in lazy, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{stem}.{alias.name}" for alias in node.names] if stem.startswith("lora_trainer") else [stem]
            found += [(name, node not in lazy, node.lineno) for name in names]
    return found


def own(module: str) -> str | None:
    """The part behind "lora_trainer.", cut to an existing module; None for other packages."""
    if module != "lora_trainer" and not module.startswith("lora_trainer."):
        return None
    parts = module.split(".")[1:]
    while parts and not (PACKAGE.joinpath(*parts).is_dir() or PACKAGE.joinpath(*parts).with_suffix(".py").is_file()):
        parts.pop()
    return ".".join(parts)


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_go_down_only(path):
    module = module_name(path)
    if is_floor_0(module):
        allowed: set[str] = set()
        room = module
    else:
        room = room_of(module)
        assert room in ALLOWED, f"{module} is in a room that the table does not know"
        allowed = ALLOWED[room]
    for name, _, line in imports_of(path):
        target = own(name)
        if not target or is_floor_0(target) or target == room or target.startswith(room + "."):
            continue
        assert room_of(target) in allowed or target in allowed, f"{path.relative_to(ROOT)}:{line} imports {name}"


def test_every_room_stands_on_one_floor():
    rooms = [room for floor in FLOORS[1:] for room in floor]
    assert sorted(rooms) == sorted(ALLOWED)


def floor_of(module: str) -> int:
    if is_floor_0(module):
        return 0
    return next(number for number, floor in enumerate(FLOORS) if room_of(module) in floor)


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_lead_to_a_lower_floor(path):
    """So no two rooms can import each other. It holds for imports inside functions and for types alone as well."""
    module = module_name(path)
    for name, _, line in imports_of(path):
        target = own(name)
        if not target or room_of(target) == room_of(module) or (is_floor_0(target) and is_floor_0(module)):
            continue
        assert floor_of(target) < floor_of(module), f"{path.relative_to(ROOT)}:{line} imports {name}, which stands no lower"


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """The sets of nodes that reach each other (Tarjan's strongly connected components with more than one node)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []

    def visit(node: str) -> None:
        order[node] = lowest[node] = len(order)
        stack.append(node)
        for other in graph.get(node, ()):
            if other not in order:
                visit(other)
                lowest[node] = min(lowest[node], lowest[other])
            elif other in stack:
                lowest[node] = min(lowest[node], order[other])
        if lowest[node] == order[node]:
            position = stack.index(node)
            if len(stack) - position > 1:
                found.append(set(stack[position:]))
            del stack[position:]

    for node in graph:
        if node not in order:
            visit(node)
    return found


def imports_between_files(*, when_imported: bool) -> dict[str, set[str]]:
    """{file: files of ours that it imports}, at once (`when_imported`) or at any time."""
    graph: dict[str, set[str]] = {}
    for path in FILES:
        module = module_name(path)
        targets = {own(name) for name, at_import, _ in imports_of(path) if at_import or not when_imported}
        graph[module] = {target for target in targets if target and target != module}
    return graph


def test_a_circle_is_found():
    graph = {"a": {"b"}, "b": {"c", "d"}, "c": {"a"}, "d": {"e"}, "e": {"d"}, "f": {"a", "f"}}
    assert sorted(map(sorted, circles(graph))) == [["a", "b", "c"], ["d", "e"]]


def test_no_files_import_each_other_in_a_circle():
    assert circles(imports_between_files(when_imported=True)) == []


def test_no_files_need_each_other_in_a_circle_at_any_time():
    """Inside functions and for types alone there is none either."""
    assert circles(imports_between_files(when_imported=False)) == []


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_only_the_rooms_meant_for_it_import_a_package(path):
    module = module_name(path)
    for name, at_import, line in imports_of(path):
        top = name.split(".")[0]
        where = f"{path.relative_to(ROOT)}:{line} imports {name}"
        if top == "accelerate":
            assert module in ("training.distributed", "training.trackers"), where
        if top in {"modules", "networks", "extra_networks"}:
            assert module.startswith("hosts.webui"), where
        if top in HEAVY and at_import:
            assert room_of(module) not in HOST_SIDE and not is_floor_0(module), where


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_small(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400, "a file this long is two files"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            limit = 80 if (path.name, node.name) == ("train.py", "train") else 60
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= limit, f"{node.name} has {length} lines"


def test_most_files_are_short():
    lengths = sorted(len(path.read_text(encoding="utf-8").splitlines()) for path in FILES)
    assert lengths[len(lengths) // 2] <= 160


LIGHT = [
    f"lora_trainer.{name}"
    for name in (
        "options.cli",
        "runs.supervisor",
        "data.plan",
        "datasets.library",
        "networks.files",
        "hosts.standalone",
        "api.routes",
        "api.trial",
        "apps.standalone",
        "apps.webui",
        "demo.recipe",
        "ui.page",
        "commands",
    )
]


def test_the_host_side_brings_no_heavy_package():
    code = (
        "import sys, importlib\n"
        f"[importlib.import_module(name) for name in {LIGHT!r}]\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.stdout.strip().splitlines()[-1:] == ["[]"], done.stdout + done.stderr


def test_the_code_is_clean():
    """ruff's rules and format, and strict types on the lower floors (configuration in pyproject.toml)."""
    for words in (["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]):
        done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0, " ".join(words) + "\n" + done.stdout + done.stderr
