"""Mesh repair: defects found, folds smoothed out, intersecting surfaces separated."""
