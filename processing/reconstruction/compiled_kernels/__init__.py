"""Numerics compiled to machine code by numba: loops that fuse what would be a chain of passes over whole images.

Each has a plain reference in NumPy or OpenCV that the tests hold it to.
"""
