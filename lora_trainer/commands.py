"""The table of commands: `python -m lora_trainer COMMAND ...`. A command's module is imported when it is called."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from .errors import InputError, InputErrors, LoraTrainerError
from .importing import undisturbed
from .options import tool_cli
from .options.tools import TOOLS
from .options.values import nearest

EXIT_OK, EXIT_ERROR, EXIT_INPUT, EXIT_INTERRUPTED = 0, 1, 2, 130


@dataclass(frozen=True)
class Command:
    """A command: its name, what it is for, the option sections it takes, and `module:function`, which gets the arguments
    (and, where several commands share it, the command's name) and returns the exit code."""

    name: str
    purpose: str
    sections: tuple[str, ...]
    target: str
    is_told_its_name: bool = False
    parser: str = ""  # `module:function` of its argument parser, where that is of the standard library alone; a tool has one

    def load(self) -> Callable[[list[str]], int]:
        """Import the target."""
        module, _, function = self.target.partition(":")
        with undisturbed():
            loaded: Callable[..., int] = getattr(importlib.import_module(module), function)
        return partial(loaded, command=self.name) if self.is_told_its_name else loaded


# Scripts of sd-scripts that this program does not have, with what to do instead.
_NOT_YET: dict[str, str] = {
    "train_controlnet train_control_net sdxl_train_control_net sdxl_train_control_net_lllite "
    "sdxl_train_control_net_lllite_old flux_train_control_net": (
        "A ControlNet steers by a second picture, and is trained elsewhere; LoRA and embeddings of this program work beside it."
    ),
    "sd3_train sd3_train_network flux_train flux_train_network lumina_train lumina_train_network anima_train "
    "anima_train_network hunyuan_image_train_network": (
        "This program trains LoRA, embeddings and whole models of SD1, SD2 and SDXL: see train_network --help."
    ),
    "sd3_minimal_inference flux_minimal_inference lumina_minimal_inference anima_minimal_inference "
    "hunyuan_image_minimal_inference sdxl_minimal_inference": "Pictures of SD1, SD2 and SDXL are drawn by generate.",
    "cache_latents cache_text_encoder_outputs": (
        "Not needed: images are sorted into buckets, and what --cache_latents asks for is made, when a training starts."
    ),
    "convert_diffusers20_original_sd convert_diffusers_to_original_stable_diffusion convert_original_to_diffusers": (
        "Not needed here: checkpoints and diffusers folders are both read as they are."
    ),
    "detect_face_rotate latent_upscaler original_control_net canny lora_interrogator": "",
}
MISSING = {name: advice for names, advice in _NOT_YET.items() for name in names.split()}
_OTHER_NAMES = {"check_lora_weights": "check_lora", "sdxl_merge_lora": "merge_lora", "sdxl_gen_img": "gen_img"}

_ALL_SECTIONS = ("trained", "model", "network", "dataset", "optimizer", "training", "sampling", "saving")
COMMANDS: tuple[Command, ...] = (
    *(
        Command(name, purpose, _ALL_SECTIONS, "lora_trainer.training.command:main", True, "lora_trainer.options.cli:parser")
        for name, purpose in {
            "train_network": "train a LoRA",
            "sdxl_train_network": "the same, for an SDXL model",
            "train_textual_inversion": "train an embedding",
            "train_textual_inversion_XTI": "train an embedding with vectors for each layer",
            "sdxl_train_textual_inversion": "train an embedding, for an SDXL model",
            "fine_tune": "train a whole model",
            "train_db": "the same with its text encoder (DreamBooth)",
            "sdxl_train": "train a whole SDXL model",
        }.items()
    ),
    Command("generate", "draw pictures, with LoRA files if wanted", (), "lora_trainer.sampling.command:main"),
    Command("gen_img_diffusers", "draw pictures, as kohya-ss' script does", (), "lora_trainer.sampling.gen_img.command:main"),
    Command("gen_img", "the same, by the script's newer name", (), "lora_trainer.sampling.gen_img.command:main"),
    Command("make_reg_images", "draw regularisation pictures", (), "lora_trainer.sampling.reg_images:main"),
    Command("try", "teach the demo model something new in two to three minutes", (), "lora_trainer.demo.trial_command:main"),
    *(Command(tool.command, tool.purpose, (), tool.target) for tool in TOOLS),
    Command(
        "recreate", "make the settings of a LoRA's run, or of another program, again", (), "lora_trainer.recipes.command:main"
    ),
    Command("check_dataset", "tell what would spoil a training", _ALL_SECTIONS, "lora_trainer.data.plan.lint.command:main"),
    Command("edit_captions", "change many captions at once, and undo it", (), "lora_trainer.datasets.command:main"),
    Command(
        "ui",
        "open the page in the browser",
        (),
        "lora_trainer.apps.standalone:main",
        parser="lora_trainer.apps.arguments:parser",
    ),
    Command("worker", "train a queued run (started by the page)", (), "lora_trainer.training.worker:main"),
    Command("standby", "be ready to train a run (started by the page)", (), "lora_trainer.training.standby:main"),
    Command("rehearse", "measure a draft (started by the page)", (), "lora_trainer.training.rehearsal.command:main"),
    Command("generate_server", "draw pictures for the page (started by it)", (), "lora_trainer.sampling.server:main"),
    Command("install_packages", "fetch what some optimizers need", (), "lora_trainer.installing.extras_command:main"),
    Command("docs", "write docs/options.md from the declarations", _ALL_SECTIONS, "lora_trainer.options.docs:main"),
)


def help_text(argv: Sequence[str]) -> str | None:
    """What `COMMAND --help` says, where the standard library is enough for it: nothing has to be installed or loaded before."""
    if not argv or not set(argv[1:]) & {"-h", "--help"}:
        return None
    name = script_name(argv[0])
    if tool := next((tool for tool in TOOLS if tool.command == name), None):
        return tool_cli.parser(tool.declared, name).format_help()
    command = next((command for command in COMMANDS if command.name == name and command.parser), None)
    if command is None:
        return None
    module, _, function = command.parser.partition(":")
    parser = getattr(importlib.import_module(module), function)
    said: str = (parser(name) if command.is_told_its_name else parser()).format_help()
    return said


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
    if (help_ := help_text(argv)) is not None:
        sys.stdout.write(help_)
        return EXIT_OK
    command = _find(argv[0])
    try:
        return command.load()(argv[1:])
    except SystemExit as exit_:  # argparse leaves this way after --help
        return exit_.code if isinstance(exit_.code, int) else EXIT_OK if exit_.code is None else EXIT_ERROR


def script_name(word: str) -> str:
    """The command that `word` means: documents call it by file and folder (`networks\\merge_lora.py`)."""
    name = word.replace("\\", "/").rstrip("/").rpartition("/")[2].removesuffix(".py").replace("-", "_")
    return _OTHER_NAMES.get(name, name)


def _find(word: str) -> Command:
    name = script_name(word)
    for command in COMMANDS:
        if command.name == name:
            return command
    if name in MISSING:
        raise InputError(f"the command {name} is not in this program.", advice=MISSING[name])
    begun = [command.name for command in COMMANDS if command.name.startswith(f"{name}_")]  # `train` is train_network
    near = begun[0] if begun else nearest(name, [command.name for command in COMMANDS])
    hint = f"Did you mean {near}?" if near else "The commands are: " + ", ".join(command.name for command in COMMANDS) + "."
    raise InputError(f"there is no command {word!r}.", advice=hint)


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
