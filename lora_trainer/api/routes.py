"""Everything below `/lora-trainer/api/`. JSON in, JSON out; THE table of routes and shapes is docs/api.md."""
