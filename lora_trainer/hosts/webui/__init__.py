"""The AUTOMATIC1111 Web UI and its forks as a host. The only room that imports the host's `modules`."""
