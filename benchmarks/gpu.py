"""What a card does with the training: one command, one table.

    python -m benchmarks.gpu                              # a card, within 8 minutes, then the GPU tests
    python -m benchmarks.gpu --reference ../sd-scripts    # the same settings in a checkout of sd-scripts, in the same run
    python -m benchmarks.gpu --size small                 # tiny models, for trying the benchmark itself (also on the CPU)

Makes random checkpoints of the released sizes, trains each case by the ordinary training in a process of its own, and sets
beside it the step of diffusers' own LoRA script (PEFT) on the same card. Memory is what the process held at its peak during the
steps; "share" is the rate of floating-point operations (counted by torch, recomputation included) over that of a plain bf16
product in the same run; the time to the first step leaves the imports out (benchmarks/start.py has them).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.card import cases, child, processes, reference  # noqa: E402
from benchmarks.card.cases import CASES, Case  # noqa: E402
from benchmarks.card.table import markdown  # noqa: E402

Results = dict[str, Any]
_CHILD_SECONDS = 180.0


@dataclass(frozen=True)
class Bench:
    """One run of the benchmark, its files below `folder`."""

    folder: Path
    size: str
    seconds: float
    steps: int
    reference: Path | None
    deadline: float  # time.monotonic()

    def child(self, what: str, **arguments: Any) -> Results:
        """Measure in a new process; the answer, or {"error": ...}."""
        return processes.call(child.WHAT[what], arguments, seconds=self._left(), log=self.folder / "failures.log")

    def ours(self, case: Case) -> Results:
        """Our training of `case`."""
        return self.child("ours", name=case.name, folder=str(self.folder), begun=time.time(), **self._how())

    def opponent(self, case: Case) -> Results:
        """The opponent's step of `case`."""
        return self.child("opponent", name=case.name, **self._how())

    def in_reference(self, case: Case) -> Results:
        """sd-scripts' training of `case`."""
        assert self.reference is not None
        tokenizers = reference.write_tokenizers(self.folder / "tokenizers")
        model, data = self.folder / f"{case.family}.safetensors", self.folder / f"data-{case.family}"
        arguments = case.arguments(model, data, self.folder / "out-reference", self.size)
        if case.family == "sdxl":
            arguments["no_half_vae"] = True
        request = json.dumps({"batch": case.batch, "seconds": self.seconds, "steps": self.steps})
        words = [sys.executable, str(Path(reference.__file__)), request, reference.SCRIPTS[case.family]]
        return self._run([*words, *reference.words(arguments, tokenizers)], self.reference)

    def _how(self) -> dict[str, Any]:
        return {"size": self.size, "seconds": self.seconds, "steps": self.steps}

    def _left(self) -> float:
        return min(_CHILD_SECONDS, self.deadline - time.monotonic())

    def _run(self, command: list[str], where: Path) -> Results:
        left = self._left()
        if left < processes.LEAST_SECONDS:
            return processes.NO_TIME
        try:
            done = subprocess.run(command, cwd=where, capture_output=True, text=True, errors="replace", timeout=left)
        except subprocess.TimeoutExpired:
            return {"error": f"not ready within {left:.0f} s"}
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        if done.returncode == 0 and lines:
            return dict(json.loads(lines[-1]))
        (self.folder / "failures.log").open("a").write(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}\n\n")
        said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        return {"error": said[-1][:200] if said else f"exit code {done.returncode}"}


def measure(bench: Bench, chosen: list[Case], say: Callable[[str], object]) -> Results:
    """Measure all `chosen` cases; {"size", "machine", "matmul", "cases": {name: {"ours", "opponent"?, "reference"?}}}."""
    families = sorted({case.family for case in chosen})
    say("making random models")
    results: Results = {"size": bench.size, "cases": {}}
    results["machine"] = machine = bench.child("models", folder=str(bench.folder), families=families, size=bench.size)
    if "error" in machine:
        return results
    results["matmul"] = bench.child("matmul", side=8192 if machine["device"] != "CPU" else 512)
    for case in chosen:
        say(case.name)
        row = results["cases"][case.name] = {"ours": bench.ours(case)}
        if case.opponent:
            row["opponent"] = bench.opponent(case)
        if case.reference and bench.reference:
            row["reference"] = bench.in_reference(case)
        say(" | ".join(f"{who}: {_short(found)}" for who, found in row.items()))
    return results


def _short(found: Results) -> str:
    return found["error"] if "error" in found else f"{found['samples_per_second']:.3g} samples/s"


def _chosen(names: Iterable[str] | None) -> list[Case]:
    return [cases.by_name(name) for name in names] if names else CASES


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("full", "small"), default="full", help="of the models")
    parser.add_argument("--case", action="append", dest="cases", choices=[case.name for case in CASES], help="this one alone")
    parser.add_argument("--seconds", type=float, default=5.0, help="of steps to time in each case")
    parser.add_argument("--steps", type=int, default=10, help="the fewest steps to time")
    parser.add_argument("--minutes", type=float, default=8.0, help="after which what is left is not measured")
    parser.add_argument("--reference", type=Path, help="a checkout of kohya-ss/sd-scripts to run the same settings in")
    parser.add_argument("--folder", type=Path, help="for models and pictures; by default a temporary one")
    parser.add_argument("--out", type=Path, help="write everything that was measured here, as JSON")
    parser.add_argument("--no-tests", action="store_true", help="leave the GPU tests out")
    chosen = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench(
            folder=(chosen.folder or Path(temporary)).resolve(),
            size=chosen.size,
            seconds=chosen.seconds,
            steps=chosen.steps,
            reference=chosen.reference.resolve() if chosen.reference else None,
            deadline=time.monotonic() + 60 * chosen.minutes,
        )
        results = measure(bench, _chosen(chosen.cases), lambda line: print(line, file=sys.stderr, flush=True))  # noqa: T201
        failures = bench.folder / "failures.log"
        if failures.exists():
            sys.stderr.write(failures.read_text()[-4000:])
    if chosen.out:
        chosen.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(markdown(results) + "\n")
    failed = "error" in results["machine"] or any("error" in row["ours"] for row in results["cases"].values())
    if not chosen.no_tests:
        sys.stdout.flush()
        tests = [sys.executable, "-m", "pytest", "-m", "gpu", "-n", "0", "tests/gpu"]
        failed |= subprocess.run(tests, cwd=ROOT).returncode not in (0, 5)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
