"""Networks: which layers are trained, the maths, the files. `files` and `metadata` are usable without torch."""
