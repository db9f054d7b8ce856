"""The Web UI as a host (1.10.1 and its forks): its folders, checkpoints, card and LoRA list."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...errors import HostError
from ...installing import retries, worker_packages
from ...runs.worker import Borrow
from ..base import LOOPBACK, Access, Checkpoint, HostPaths, HostProblem
from . import access, checkpoints, drawing, gpu, hotload, measured, settings

_HOW = 'in Settings > LoRA Trainer, write it into "{}" and apply the settings.'


class WebuiHost:
    """Implements hosts.base.Host. One for the process; it outlives "Reload UI"."""

    name = "webui"

    def __init__(self) -> None:
        self.describe_training: Callable[[], str] = lambda: "a LoRA"
        self._borrow: Borrow | None = None

    def paths(self) -> HostPaths:
        """The host's folders; a subfolder of the LoRA folder when the settings name one."""
        from modules import paths, shared

        lora_dir = Path(shared.cmd_opts.lora_dir) / settings.subfolder()
        checkpoint_dirs = [Path(paths.models_path) / "Stable-diffusion"]
        if shared.cmd_opts.ckpt_dir:
            checkpoint_dirs.append(Path(shared.cmd_opts.ckpt_dir))
        return HostPaths(
            user_dir=settings.user_dir(Path(paths.data_path).absolute() / "lora-trainer"),
            lora_dir=lora_dir.absolute(),
            embeddings_dir=Path(shared.cmd_opts.embeddings_dir or Path(paths.data_path) / "embeddings").absolute(),
            checkpoint_dirs=tuple(folder.absolute() for folder in checkpoint_dirs),
            vae_dir=(Path(paths.models_path) / "VAE").absolute(),
        )

    def checkpoints(self) -> list[Checkpoint]:
        """The host's list, with the checkpoint that it generates with marked."""
        from modules import sd_models, shared

        current = sd_models.get_closet_checkpoint_match(str(shared.opts.data.get("sd_model_checkpoint") or ""))
        infos = list(sd_models.checkpoints_list.values())
        current = current or (infos[0] if infos else None)
        found = [
            Checkpoint(title=info.name, path=Path(info.filename).absolute(), is_current=info is current or info == current)
            for info in infos
        ]
        return sorted(found, key=lambda checkpoint: checkpoint.title.lower())

    def vaes(self) -> list[Checkpoint]:
        """The host's VAE files."""
        from modules import sd_vae

        found = [Checkpoint(title=name, path=Path(path).absolute()) for name, path in sd_vae.vae_dict.items()]
        return sorted(found, key=lambda vae: vae.title.lower())

    def problems(self) -> list[HostProblem]:
        """Missing worker packages, and how to get them."""
        if worker_packages.is_complete("worker"):
            return []
        return [
            HostProblem(
                message="The packages that training needs are not installed (the installation failed or was offline).",
                advice=f"Connect to the internet and restart the Web UI, or run this once: "
                f"{retries.by_hand()} - then reload this page.",
            )
        ]

    def access(self) -> Access:
        """Any name when the Web UI was opened to a network, else this machine's own names; the folders as the settings say."""
        from modules import shared

        options, names = shared.cmd_opts, settings.allowed_hosts()
        is_open = any(getattr(options, flag, None) for flag in ("listen", "share", "ngrok", "server_name"))
        has_login = any(getattr(options, flag, None) for flag in ("gradio_auth", "gradio_auth_path"))
        shown = settings.folders()
        if not shown and (has_login or not (is_open or names)):
            folders = None
        else:
            others = [Path(folder).absolute() for flag in ("lora_dir", "vae_dir") if (folder := getattr(options, flag, None))]
            folders = (*self.paths().all, *others, *shown)
        return Access(
            host_names=None if is_open else LOOPBACK | names,
            allowed=names,
            how_to_allow=_HOW.format(settings.ALLOWED_HOSTS_LABEL),
            folders=folders,
            how_to_add_folder=_HOW.format(settings.FOLDERS_LABEL),
        )

    def authorize(self, request: Any) -> bool:
        """See access.py."""
        return access.allowed(request)

    def worker_outlives_host(self) -> bool:
        """As the settings say."""
        return settings.worker_outlives_host()

    def keeps_standby(self) -> bool:
        """As the settings say."""
        return settings.keeps_standby()

    def page_key(self) -> str:
        """See access.py."""
        return access.page_key()

    def interpreter(self) -> str:
        """The host's own Python: its torch is known to work on this card."""
        return sys.executable

    def worker_environment(self) -> Mapping[str, str]:
        """The worker's packages come first on its path; it sees the card that the host was told to use."""
        from modules import shared

        folders = [worker_packages.folder(group) for group in worker_packages.GROUPS]
        variables = {"PYTHONPATH": os.pathsep.join(str(folder) for folder in folders)}
        if getattr(shared.cmd_opts, "device_id", None) is not None:
            variables["CUDA_VISIBLE_DEVICES"] = str(shared.cmd_opts.device_id)
        return variables

    def lend_gpu(self) -> None:
        """Take the model off the card, and let generations wait for their turn."""
        gpu.lend(self._refusal, self._turn if self._borrow else None, self._makes_room)

    def reclaim_gpu(self) -> None:
        """Accept generations again."""
        gpu.reclaim()

    def pictures_policy(self) -> str:
        """As the settings say."""
        return settings.pictures_policy()

    def choose_pictures_policy(self, policy: str) -> None:
        """The Web UI keeps its settings itself."""
        raise HostError(
            "The Web UI's own settings say what becomes of pictures during a training.",
            advice=f'Choose "{settings.PICTURES_LABEL}" in Settings > LoRA Trainer, and apply the settings.',
        )

    def share_card(self, borrow: Borrow) -> None:
        """Pictures ask by it for their turn."""
        self._borrow = borrow

    def leave_card(self) -> bool:
        """Take the model off the card again, unless it draws."""
        return gpu.end_turn()

    def painter(self) -> Callable[..., bytes | None]:
        """The Web UI itself."""
        return drawing.paint

    def lora_changed(self, path: Path) -> None:
        """Forget what the host has cached of the file."""
        try:
            hotload.forget(path, is_lora=not path.is_relative_to(self.paths().embeddings_dir))
        except Exception as error:  # whatever a fork's own code raises
            raise HostError(
                f"The Web UI did not take {path.name} anew: {error}.",
                advice="Generate once without it, or restart the Web UI; the file itself is whole.",
            ) from error

    def checkpoints_changed(self, path: Path) -> None:
        """Let the host list its checkpoints, and read `path` anew where it was written over; an open page of ours then presses
        the buttons that draw its lists anew."""
        checkpoints.changed(path)

    @contextmanager
    def _turn(self, p: Any) -> Iterator[str]:
        """The card in the middle of a training, while `p` is drawn. What is waited for stands in the progress bar."""
        from modules import shared

        def should_stop() -> bool:
            return bool(shared.state.interrupted or getattr(shared.state, "stopping_generation", False))

        def tell(text: str) -> None:
            shared.state.textinfo = text

        assert self._borrow is not None
        with self._borrow(should_stop, tell, measured.need(p)) as reason:
            if reason:
                yield reason
                return
            gpu.take_turn()
            with measured.drawing(p):
                yield ""

    def _makes_room(self) -> bool:
        """A picture found too little memory: whether a training shares the card, which it leaves now."""
        from modules import devices

        makes_room = self._borrow is not None and self._borrow.crowded()
        if makes_room:
            devices.torch_gc()
        return makes_room

    def _refusal(self) -> str:
        return (
            f"LoRA Trainer is training {self.describe_training()} on this card. Generating works again when it has finished; "
            "to generate now, stop it in the LoRA Trainer tab (nothing that was learnt is lost)."
        )
