"""What the Web UI loads. The extension's folder is on sys.path only now, so the package is imported at once."""

from lora_trainer.apps import webui

webui.register()
