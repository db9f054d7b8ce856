"""Choosing and installing packages. Standard library only: runs before anything else is there."""
