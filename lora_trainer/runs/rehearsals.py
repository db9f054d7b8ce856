"""Stub."""

REPORT = "report.json"
