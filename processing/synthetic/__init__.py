"""Synthetic subjects, rig and photographs with known truth, for the demo and the tests."""
