"""Our section in the Web UI's settings. The host checks no type when settings come over its API: they are checked when read."""

from __future__ import annotations

from pathlib import Path

from ...paths import user_path
from ...runs.policies import AUTOMATIC, HAND_OVER, REFUSE, SHARE
from ..base import host_names

SECTION = ("lora_trainer", "LoRA Trainer")

PICTURES = "lora_trainer_while_training"
_FORMER_FREE_CARD, _FORMER_PICTURES = (
    "lora_trainer_free_card",
    "lora_trainer_pictures",
)  # two switches, before there was one choice
_POLICIES = {
    AUTOMATIC: "automatic",
    SHARE: "always share the card",
    HAND_OVER: "always take turns",
    REFUSE: "no pictures while training",
}
OUTLIVE = "lora_trainer_outlive"
STANDBY = "lora_trainer_standby"
SUBFOLDER = "lora_trainer_lora_subfolder"
USER_DIR = "lora_trainer_user_dir"
PICTURES_LABEL = "Pictures while training"
FOLDERS = "lora_trainer_folders"
FOLDERS_LABEL = "Folders that the LoRA Trainer page may look into"
ALLOWED_HOSTS = "lora_trainer_allowed_hosts"
ALLOWED_HOSTS_LABEL = "Further names that the LoRA Trainer page may be opened under"


def add() -> None:
    """Add the section (callback of on_ui_settings)."""
    from gradio import Radio
    from modules import shared

    options = {
        PICTURES: shared.OptionInfo(
            _POLICIES[_former_policy()], PICTURES_LABEL, Radio, {"choices": list(_POLICIES.values())}, section=SECTION
        ).info(
            "automatic: the training goes on beside pictures where the card's memory is enough for both, as measured; else it "
            "leaves the card while they are made, and goes on 20 seconds after the last one. Sharing: it always goes on; where "
            "the card is too full for both, they take turns from then on"
        ),
        OUTLIVE: shared.OptionInfo(True, "Go on training when the Web UI is closed", section=SECTION).info(
            "off: a training saves and stops two minutes after the Web UI has ended"
        ),
        STANDBY: shared.OptionInfo(True, "Keep a process ready for the next training", section=SECTION).info(
            "while you fill in the form: a training then begins some seconds sooner. It takes about 300 MB of main memory, "
            "nothing of the card, and ends after ten minutes or when main memory is short"
        ),
        SUBFOLDER: shared.OptionInfo(
            "", "Put finished LoRA files into this subfolder of the LoRA folder", section=SECTION
        ).info("empty: the LoRA folder itself"),
        USER_DIR: shared.OptionInfo("", "Folder for runs, uploads and samples", section=SECTION)
        .info("empty: lora-trainer in the Web UI's data folder")
        .needs_restart(),
        ALLOWED_HOSTS: shared.OptionInfo("", ALLOWED_HOSTS_LABEL, section=SECTION).info(
            "behind a reverse proxy: the name in the browser's address bar, as ai.example.org; several with commas between"
        ),
        FOLDERS: shared.OptionInfo("", FOLDERS_LABEL, section=SECTION).info(
            "besides those of the Web UI and what was uploaded; several with semicolons between. Empty: every folder, but none "
            "when the Web UI is open to a network without --gradio-auth"
        ),
    }
    for key, option in options.items():
        shared.opts.add_option(key, option)


def pictures_policy() -> str:
    """What becomes of pictures that are wanted during a training: one of policies.POLICIES."""
    chosen = _read(PICTURES, None)
    return next((policy for policy, words in _POLICIES.items() if chosen in (policy, words)), _former_policy())


def _former_policy() -> str:
    """What the switches of former versions say, where they were moved."""
    if _read(_FORMER_PICTURES, True) is False:
        return REFUSE
    return SHARE if _read(_FORMER_FREE_CARD, True) is False else AUTOMATIC


def worker_outlives_host() -> bool:
    """Whether a training goes on without the Web UI."""
    return _read(OUTLIVE, True) is not False


def keeps_standby() -> bool:
    """Whether a process may be kept ready for the next training."""
    return _read(STANDBY, True) is not False


def subfolder() -> str:
    """The subfolder of the LoRA folder for finished files; "" when none is set or when it would leave the folder."""
    value = _read(SUBFOLDER, "")
    if not isinstance(value, str) or not value.strip():
        return ""
    path = Path(value.strip())
    return "" if path.is_absolute() or ".." in path.parts else str(path)


def user_dir(default: Path) -> Path:
    """The folder of runs and uploads; `--lora-trainer-dir` wins over the setting, the setting over `default`."""
    from modules import shared

    chosen = getattr(shared.cmd_opts, "lora_trainer_dir", None) or _read(USER_DIR, "")
    return Path(chosen).expanduser().absolute() if isinstance(chosen, str) and chosen.strip() else default


def allowed_hosts() -> frozenset[str]:
    """The further names that the page may be opened under."""
    value = _read(ALLOWED_HOSTS, "")
    return host_names([value]) if isinstance(value, str) else frozenset()


def folders() -> tuple[Path, ...]:
    """The folders that the page may look into besides the host's own; a relative one is none."""
    value = _read(FOLDERS, "")
    texts = value.replace("\n", ";").split(";") if isinstance(value, str) else []
    found = (user_path(text) for text in texts if text.strip())
    return tuple(folder for folder in found if folder.is_absolute())


def _read(key: str, default: object) -> object:
    from modules import shared

    return shared.opts.data.get(key, default)
