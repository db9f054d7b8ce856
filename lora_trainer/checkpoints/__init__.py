"""Whole models: what is trained of one, and its files, as one checkpoint or as a folder of diffusers."""
