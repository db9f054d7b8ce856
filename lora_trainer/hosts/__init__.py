"""What the program asks of its host: the Web UI, ours standing alone, or a fake one in tests. No torch."""
