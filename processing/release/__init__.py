"""Releases: select, build, serve; fetch, verify, read, export."""
