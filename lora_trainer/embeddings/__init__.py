"""Embeddings (textual inversion): vectors that stand for a word. What is trained, and its files."""
