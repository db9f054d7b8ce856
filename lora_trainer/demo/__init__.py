"""The demo base model: a small world of pictures, how the model that ships was trained on it, and the two-minute trial."""
