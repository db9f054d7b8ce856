"""The table that benchmarks/gpu.py prints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_GIB = 1 << 30
Row = dict[str, Any]
# head, and what stands in a row, from {"ours", "opponent"?, "reference"?} and the matmul rate
_COLUMNS: list[tuple[str, Callable[[Row, float], str]]] = [
    ("samples/s", lambda row, rate: _number(row["ours"].get("samples_per_second"))),
    ("share of matmul rate", lambda row, rate: _share(row["ours"], rate)),
    ("over diffusers + PEFT", lambda row, rate: _ratio(row, "opponent")),
    ("over sd-scripts", lambda row, rate: _ratio(row, "reference")),
    ("GiB reserved / allocated", lambda row, rate: _memory(row["ours"])),
    ("theirs (PEFT; sd-scripts)", lambda row, rate: _theirs(row)),
    ("launches", lambda row, rate: _number(row["ours"].get("launches"))),
    ("casts", lambda row, rate: _number(row["ours"].get("casts"))),
    ("card busy ms", lambda row, rate: _milliseconds(row["ours"].get("seconds_busy"))),
    ("waits: ms (number)", lambda row, rate: _waits(row["ours"])),
    ("first step after s", lambda row, rate: _number(row["ours"].get("seconds_to_first_step"))),
]


def markdown(results: dict[str, Any]) -> str:
    """Return the table for `results` of gpu.measure, with the notes below it."""
    machine = results["machine"]
    if "error" in machine:
        return f"Nothing could be measured: {machine['error']}"
    rate = results["matmul"].get("flops_per_second", 0.0)
    memory = f", {machine['memory'] / _GIB:.0f} GiB" if machine.get("memory") else ""
    heads = ["case", *(head for head, _ in _COLUMNS)]
    lines = [
        f"{machine['device']}{memory}, torch {machine['torch']}, {results['size']} models; "
        f"a plain bf16 product: {rate / 1e12:.3g} TFLOP/s",
        "",
        f"| {' | '.join(heads)} |",
        f"|{'---|' * len(heads)}",
    ]
    notes = []
    for name, row in results["cases"].items():
        if "error" in row["ours"]:
            notes.append(f"{name}: not measured: {row['ours']['error']}")
            continue
        lines.append(f"| {name} | {' | '.join(cell(row, rate) for _, cell in _COLUMNS)} |")
        notes += [f"{name}: {note}" for note in row["ours"]["notes"]]
        notes += [f"{name}, {who}: {row[who]['error']}" for who in ("opponent", "reference") if "error" in row.get(who, {})]
    return "\n".join([*lines, *([""] if notes else []), *(f"- {note}" for note in notes)])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _milliseconds(value: float | None) -> str:
    return "" if value is None else _number(1000 * value)


def _share(ours: Row, rate: float) -> str:
    if not rate or not ours.get("flops"):
        return ""
    return f"{100 * ours['flops'] / ours['seconds_per_step'] / rate:.0f} %"


def _ratio(row: Row, who: str) -> str:
    theirs = row.get(who, {}).get("samples_per_second")
    return f"{row['ours']['samples_per_second'] / theirs:.2f}" if theirs else ""


def _memory(found: Row) -> str:
    if found.get("peak_reserved") is None:
        return ""
    allocated = f" / {found['peak_allocated'] / _GIB:.2f}" if found.get("peak_allocated") is not None else ""
    return f"{found['peak_reserved'] / _GIB:.2f}{allocated}"


def _theirs(row: Row) -> str:
    return "; ".join(_memory(row[who]) for who in ("opponent", "reference") if _memory(row.get(who, {})))


def _waits(ours: Row) -> str:
    return f"{_milliseconds(ours['seconds_waiting'])} ({_number(ours['waits'])})" if "waits" in ours else ""
