"""The parts of benchmarks/gpu.py: `python -m benchmarks.gpu` measures a card with them."""
