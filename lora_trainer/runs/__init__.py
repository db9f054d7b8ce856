"""Runs: the store (SQLite), a run's folder, the worker process, the supervisor. Standard library only."""
