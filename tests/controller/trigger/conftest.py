"""Consoles are served as tests/support/served_console.py has it."""

from served_console import serve, shooting

__all__ = ["serve", "shooting"]
