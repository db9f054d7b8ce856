"""Tools for LoRA files: merge, re-rank, extract, split, check, convert, and pictures for them. Nothing here trains."""
