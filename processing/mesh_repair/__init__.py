"""Meshes mended: defects, folds, surfaces that crossed."""
