"""The demo base model: a small world of pictures, and how the model that ships was trained on it. Not on the product's path."""
