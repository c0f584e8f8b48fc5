"""Photographs and raw files as the studio reads them, and what EXIF proves."""
