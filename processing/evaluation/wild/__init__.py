"""Photographs whose face is of known shape: a benchmark of what methods see outside a studio."""
