"""The HTTP routes of the page and of scripts, the same in the Web UI and standing alone. Starlette only."""
