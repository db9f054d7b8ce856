"""The parts of benchmarks/step_cost.py: a training on torch's meta device, and what is counted of it."""
