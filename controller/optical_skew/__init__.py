"""Exposure skew seen by the cameras themselves: a board of Gray-coded LEDs, photographed by the whole rig in one take."""
