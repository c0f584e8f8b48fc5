"""Detailed faces in motion: maps of any expression, weights from other programs, files that play."""
