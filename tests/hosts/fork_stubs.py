"""What the forks do otherwise than 1.10.1, as far as hosts/webui meets it: each function is one fork, over webui_stub.

Forge (dfdcbab6) was run; reForge (3b56b26) and Forge Classic (1f95d71) were read. See docs/testing-in-the-web-ui.md.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from types import SimpleNamespace

from . import webui_stub


class LoraLoader:
    """Merges LoRAs into one part of a model: names and strengths that it has merged it does not merge again."""

    def __init__(self) -> None:
        self.weights, self.loaded_hash = "base", str([])

    def refresh(self, patches: dict[str, str]) -> None:
        if str(list(patches)) != self.loaded_hash:
            self.weights, self.loaded_hash = "+".join(["base", *patches.values()]), str(list(patches))


class ForgeObjects:
    def __init__(self, unet, clip) -> None:
        self.unet, self.clip, self.vae, self.clipvision = unet, clip, SimpleNamespace(), None


class ForgeModel:
    """Its parts are patchers; clones of one share the loader. The text encoders' patcher lies one deeper."""

    def __init__(self) -> None:
        self.current_lora_hash = str([])
        self.forge_objects = ForgeObjects(
            SimpleNamespace(lora_loader=LoraLoader()), SimpleNamespace(patcher=SimpleNamespace(lora_loader=LoraLoader()))
        )
        self.forge_objects_original = self.forge_objects
        self.forge_objects_after_applying_lora = None


class FakeInitialModel:
    """What Forge holds until its first picture."""


def _fork(monkeypatch, tmp_path, manager: str) -> SimpleNamespace:
    webui = webui_stub.install(monkeypatch, tmp_path)
    made = webui_stub.module(manager, unload_all_models=lambda: webui.log.append("unloaded"))
    monkeypatch.setitem(sys.modules, manager, made)

    @functools.lru_cache(maxsize=5)
    def load_lora_state_dict(filename):
        return Path(filename).read_text()

    webui.networks.load_lora_state_dict = load_lora_state_dict
    del webui.sd_models.send_model_to_trash, webui.model.network_layer_mapping
    return webui


def forge(monkeypatch, tmp_path) -> SimpleNamespace:
    """`webui.draw(file, strength)` returns what the UNet and the text encoders are made of in that picture."""
    webui = _fork(monkeypatch, tmp_path, "backend.memory_management")
    webui.model = ForgeModel()
    webui.sd_models.model_data = webui.data = SimpleNamespace(
        sd_model=webui.model, forge_hash="demo", forge_loading_parameters="demo"
    )
    webui.sd_models.FakeInitialModel = FakeInitialModel
    webui.sd_models.reload_model_weights = lambda *_: None

    def forge_model_reload():
        if webui.data.forge_hash != webui.data.forge_loading_parameters:
            webui.data.sd_model, webui.data.forge_hash = ForgeModel(), webui.data.forge_loading_parameters
            webui.log.append("loaded")

    def draw(file, strength):
        forge_model_reload()
        model, wanted = webui.data.sd_model, str([[str(file), strength]])
        if model.current_lora_hash != wanted:
            model.current_lora_hash = wanted
            patches = {f"{file} {strength}": webui.networks.load_lora_state_dict(str(file))}
            for loader in (model.forge_objects.unet.lora_loader, model.forge_objects.clip.patcher.lora_loader):
                loader.refresh(patches)
        return model.forge_objects.unet.lora_loader.weights, model.forge_objects.clip.patcher.lora_loader.weights

    webui.processing.process_images_inner = lambda p: draw(*p)
    webui.processing.StableDiffusionProcessing.cached_c = [1, 2, 3]
    webui.draw = lambda file, strength: webui.processing.process_images((file, strength))
    webui.shared.demo = SimpleNamespace(blocks={}, fns={})  # gradio 4: a table of functions, each with its targets
    return webui


def _ldm_patched(monkeypatch, tmp_path) -> SimpleNamespace:
    webui = _fork(monkeypatch, tmp_path, "ldm_patched.modules.model_management")
    webui.model.current_lora_hash = str([["frog", 1.0]])
    webui.processing.StableDiffusionProcessing.cached_c = [1, 2, 3]
    return webui


def reforge(monkeypatch, tmp_path) -> SimpleNamespace:
    return _ldm_patched(monkeypatch, tmp_path)


def classic(monkeypatch, tmp_path) -> SimpleNamespace:
    return _ldm_patched(monkeypatch, tmp_path)
