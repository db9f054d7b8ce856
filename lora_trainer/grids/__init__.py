"""LoRA files side by side: each saved step at each strength, for each prompt, with the same seed; and without any."""
