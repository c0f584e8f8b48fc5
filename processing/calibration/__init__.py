"""Photographs of a ChArUco board become the cameras of a rig."""
