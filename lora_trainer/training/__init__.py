"""Training: `train.train(options, reporter=...)` reads from top to bottom over the small pieces beside it."""
