"""Start LoRA Trainer standing alone. Standard library only; needs Python 3.10 or newer and nothing else.

python launch.py                       install what is missing, then open the page
python launch.py --port 7900 ...       the same with options of the page: --port, --listen, --auth, ... (ui --help lists them)
python launch.py test [pytest words]   install the test packages too, then run the whole suite
python launch.py COMMAND ...           any command: train_network, generate, ... (--help lists its options)
python launch.py --torch cpu ...       choose the build of torch: auto, cuda, cpu, pypi, or an index's address
"""

import sys

if sys.version_info < (3, 10):  # noqa: UP036 - says so before an import that older versions cannot read
    sys.exit(f"LoRA Trainer needs Python 3.10 or newer; this is {sys.version.split()[0]}. Get it from python.org.")

import os
import subprocess
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lora_trainer.commands import help_text  # noqa: E402
from lora_trainer.installing.environment import Environment, InstallError  # noqa: E402


def say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def main(words: list[str]) -> int:
    torch = "auto"
    if words[:1] == ["--torch"]:
        if len(words) < 2:
            say("--torch: expected auto, cuda, cpu, pypi or an index's address behind it.")
            return 2
        torch, words = words[1], words[2:]
    if words[:1] in (["-h"], ["--help"]):
        say(__doc__ or "")
        return 0
    testing = words[:1] == ["test"]
    if not testing and (said := help_text(command(words))):  # needs no package: it is no reason to install any
        sys.stdout.write(said)
        return 0
    environment = Environment(say=say)
    try:
        environment.ensure(["worker", "host", "standalone"] + (["test"] if testing else []), torch)
    except (InstallError, ValueError) as error:
        say(f"LoRA Trainer: {error}")
        return 1
    module = ["pytest", *words[1:]] if testing else ["lora_trainer", *command(words)]
    return run([str(environment.python), "-m", *module])


def command(words: list[str]) -> list[str]:
    """The command that the words are; options alone are those of the page, which is what starts without any word."""
    return words if words and not words[0].startswith("-") else ["ui", *words]


def run(command: list[str]) -> int:
    """Become `command` where the system can (so that Ctrl-C and signals reach it), else wait for it."""
    root = str(Path(__file__).resolve().parent)
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path}
    if command[2] == "pytest":
        os.chdir(root)
        # The tests' models are small: threads that wait for each other cost more than they give, most of all on a busy machine.
        environment.setdefault("OMP_NUM_THREADS", "1")
    if os.name == "posix":
        os.execve(command[0], command, environment)
    try:
        return subprocess.run(command, env=environment).returncode
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        say("Interrupted; the next start goes on from here.")
        sys.exit(130)
