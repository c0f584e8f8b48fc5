"""Scan to topologically uniform mesh."""
