"""Exposure skew as the cameras see it: a board of Gray-coded LEDs, photographed by the whole rig in one take."""
