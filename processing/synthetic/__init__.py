"""Subjects, rig and photographs with known truth."""
