"""The few functions of the Web UI that hosts/webui touches, with the behaviour recorded from version 1.10.1."""

from __future__ import annotations

import sys
import threading
from types import ModuleType, SimpleNamespace


class Lock:
    """The host's queue lock: counts how often it was taken, and is not re-entrant."""

    def __init__(self) -> None:
        self.held = False
        self.taken = 0

    def acquire(self, blocking: bool = True) -> bool:
        if self.held and not blocking:
            return False
        assert not self.held, "the host's lock is not re-entrant"
        self.held = True
        self.taken += 1
        return True

    def release(self) -> None:
        self.held = False

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_) -> None:
        self.release()


def module(name: str, **members) -> ModuleType:
    made = ModuleType(name)
    made.__dict__.update(members)
    return made


def load_scripts(script_loading, processing) -> None:
    """As "Reload UI": scripts are run anew, take the function that draws as it is now, and are not in sys.modules."""
    for name in ("prompt_matrix.py", "poor_mans_outpainting.py"):
        script_loading.loaded_scripts[f"scripts/{name}"] = module(name, draw=processing.process_images)


def install(monkeypatch, tmp_path, **flags) -> SimpleNamespace:
    """Put stub modules into sys.modules and return them as a namespace."""
    lock = Lock()
    log: list[str] = []

    class Model(SimpleNamespace):
        pass

    model = Model(network_layer_mapping={}, device="cuda")

    def send_model_to_trash(victim) -> None:
        assert lock.held, "the model may only be dropped under the queue lock"
        victim.device = "meta"

    def reload_model_weights():
        if data.sd_model is None:
            data.sd_model = Model(network_layer_mapping={}, device="cuda")
            log.append("loaded")

    def process_images(p):
        modules["modules.sd_models"].reload_model_weights()
        return modules["modules.processing"].process_images_inner(p)

    def process_images_inner(p):
        assert data.sd_model.device == "cuda"
        return "picture"

    class Processed:
        def __init__(self, p, images_list):
            self.images, self.comments = images_list, ""

    class ScriptRunner:
        """Runs the script that the page or the API chose; None without one, and then the caller draws."""

        def run(self, p, *args):
            return args[0](p) if args and args[0] else None

    class StableDiffusionProcessing:
        cached_c = [("prompt",), "conditioning"]
        cached_uc = [("prompt",), "conditioning"]

    class StableDiffusionProcessingTxt2Img(StableDiffusionProcessing):
        cached_hr_c = [("prompt",), "conditioning"]
        cached_hr_uc = [("prompt",), "conditioning"]

    defaults = {"api_auth": None, "lora_dir": str(tmp_path / "Lora"), "ckpt_dir": None, "lora_trainer_dir": None}
    caches = {"hashes-addnet": {}, "safetensors-metadata": {}}
    data = SimpleNamespace(sd_model=model, loaded_sd_models=[model], lock=threading.Lock(), was_loaded_at_least_once=True)
    modules = {
        "modules": module("modules"),
        "modules.call_queue": module("modules.call_queue", queue_lock=lock),
        "modules.devices": module("modules.devices", torch_gc=lambda: log.append("gc")),
        "modules.sd_models": module(
            "modules.sd_models",
            model_data=data,
            send_model_to_trash=send_model_to_trash,
            reload_model_weights=reload_model_weights,
        ),
        "modules.processing": module(
            "modules.processing",
            process_images=process_images,
            process_images_inner=process_images_inner,
            Processed=Processed,
            StableDiffusionProcessing=StableDiffusionProcessing,
            StableDiffusionProcessingTxt2Img=StableDiffusionProcessingTxt2Img,
        ),
        "modules.img2img": module("modules.img2img", process_images=process_images),
        "modules.scripts": module("modules.scripts", ScriptRunner=ScriptRunner),
        "modules.script_loading": module("modules.script_loading", loaded_scripts={}),
        "modules.hashes": module("modules.hashes", cache=caches.__getitem__),
        "modules.shared": module(
            "modules.shared",
            cmd_opts=SimpleNamespace(**{**defaults, **flags}),
            opts=SimpleNamespace(data={}),
            state=SimpleNamespace(interrupted=False, textinfo=None),
            demo=SimpleNamespace(blocks={}, dependencies=[], fns=[]),
        ),
        "networks": module(
            "networks",
            loaded_networks=[],
            networks_in_memory={},
            list_available_networks=lambda: log.append("listed"),
        ),
    }
    load_scripts(modules["modules.script_loading"], modules["modules.processing"])
    for name, stub in modules.items():
        monkeypatch.setitem(sys.modules, name, stub)
        if name.startswith("modules."):
            setattr(modules["modules"], name.split(".")[1], stub)
    names = {name.split(".")[-1]: stub for name, stub in modules.items()}
    return SimpleNamespace(**names, lock=lock, log=log, model=model, caches=caches, data=data)
