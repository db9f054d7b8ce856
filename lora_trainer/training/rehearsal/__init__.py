"""What a training will need, measured before it begins: memory by a few real steps, time and sizes of files with them."""
