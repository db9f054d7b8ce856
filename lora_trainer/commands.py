"""The table of commands: `python -m lora_trainer COMMAND ...`. A command's module is imported when it is called."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .errors import InputError, InputErrors, LoraTrainerError
from .options.values import nearest

EXIT_OK, EXIT_ERROR, EXIT_INPUT, EXIT_INTERRUPTED = 0, 1, 2, 130


@dataclass(frozen=True)
class Command:
    """A command: its name, what it is for, the option sections it takes, and `module:function`, which gets the arguments
    and returns the exit code."""

    name: str
    purpose: str
    sections: tuple[str, ...]
    target: str

    def load(self) -> Callable[[list[str]], int]:
        """Import the target."""
        module, _, function = self.target.partition(":")
        loaded: Callable[[list[str]], int] = getattr(importlib.import_module(module), function)
        return loaded


_ALL_SECTIONS = ("model", "network", "dataset", "optimizer", "training", "sampling", "saving")
COMMANDS: tuple[Command, ...] = (
    Command("train_network", "train a LoRA", _ALL_SECTIONS, "lora_trainer.training.command:main"),
    Command("sdxl_train_network", "the same, for an SDXL model", _ALL_SECTIONS, "lora_trainer.training.command:sdxl"),
    Command("generate", "draw pictures, with LoRA files if wanted", (), "lora_trainer.sampling.command:main"),
    Command("gen_img_diffusers", "draw pictures, as kohya-ss' script does", (), "lora_trainer.sampling.gen_img.command:main"),
    Command("gen_img", "the same, by the script's newer name", (), "lora_trainer.sampling.gen_img.command:main"),
    Command("try", "teach the demo model something new in two to three minutes", (), "lora_trainer.demo.trial_command:main"),
    Command("merge_lora", "merge LoRAs into a checkpoint, or with each other", (), "lora_trainer.tools.merge:main"),
    Command("svd_merge_lora", "merge LoRAs of any ranks into one of a new rank", (), "lora_trainer.tools.svd_merge:main"),
    Command("resize_lora", "change a LoRA's rank", (), "lora_trainer.tools.resize:main"),
    Command("extract_lora_from_models", "the difference of two models as a LoRA", (), "lora_trainer.tools.extract:main"),
    Command("extract_lora_from_dylora", "the smaller LoRAs inside a DyLoRA", (), "lora_trainer.tools.split:main"),
    Command("check_lora", "what is in a LoRA file, and what is wrong with it", (), "lora_trainer.tools.check:main"),
    Command("convert_lora", "key names between kohya's, PEFT's and diffusers'", (), "lora_trainer.tools.convert:main"),
    Command("show_metadata", "print a file's metadata", (), "lora_trainer.tools.metadata:show"),
    Command("edit_metadata", "change a file's metadata", (), "lora_trainer.tools.metadata:edit"),
    Command("resize_images_to_resolution", "smaller copies of images", (), "lora_trainer.tools.images:main"),
    Command("ui", "open the page in the browser", (), "lora_trainer.hosts.standalone_app:main"),
    Command("worker", "train a queued run (started by the page)", (), "lora_trainer.training.worker:main"),
    Command("generate_server", "draw pictures for the page (started by it)", (), "lora_trainer.sampling.server:main"),
    Command("docs", "write docs/options.md from the declarations", _ALL_SECTIONS, "lora_trainer.options.docs:main"),
)


def run(argv: Sequence[str]) -> int:
    """Run a command; return the exit code: 0 done, 1 failed, 2 wrong input, 130 interrupted."""
    try:
        return _run(list(argv))
    except (InputError, InputErrors) as error:
        return _complain(error, EXIT_INPUT)
    except LoraTrainerError as error:
        return _complain(error, EXIT_ERROR)
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        return EXIT_INTERRUPTED


def _run(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        sys.stdout.write(overview())
        return EXIT_OK if argv else EXIT_INPUT
    name, arguments = argv[0].removesuffix(".py"), argv[1:]
    command = next((command for command in COMMANDS if command.name == name.replace("-", "_")), None)
    if command is None:
        near = nearest(name, [command.name for command in COMMANDS])
        hint = f"Did you mean {near}?" if near else "The commands are: " + ", ".join(command.name for command in COMMANDS) + "."
        raise InputError(f"there is no command {argv[0]!r}.", advice=hint)
    try:
        return command.load()(arguments)
    except SystemExit as exit_:  # argparse leaves this way after --help
        return exit_.code if isinstance(exit_.code, int) else EXIT_OK if exit_.code is None else EXIT_ERROR


def overview() -> str:
    """The list of commands."""
    width = max(len(command.name) for command in COMMANDS)
    lines = [f"  {command.name:<{width}}  {command.purpose}" for command in COMMANDS]
    return "\n".join(["Usage: python -m lora_trainer COMMAND [OPTIONS]   (COMMAND --help shows the options)", "", *lines, ""])


def _complain(error: LoraTrainerError, code: int) -> int:
    problems = error.errors if isinstance(error, InputErrors) else [error]
    heading = "Error" if len(problems) == 1 else f"{len(problems)} errors"
    sys.stderr.write(f"{heading}:\n" + "".join(f"  {problem}\n" for problem in problems))
    return code
