"""Captions and tags made by models that look at the pictures. Worker side."""
