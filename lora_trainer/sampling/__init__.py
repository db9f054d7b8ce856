"""From a prompt to pictures: schedules, samplers, prompts, `generate`, and the sample pictures of a training."""
