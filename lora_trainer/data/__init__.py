"""The data: `plan` (no torch) says what will be trained; `images`, `cache` and `dataset` (torch) deliver it.

Nothing is imported here, so that the host process can import `lora_trainer.data.plan` without torch.
"""
