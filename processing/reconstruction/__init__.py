"""Photographs to scan."""
