"""Files from elsewhere, read within a budget: bytes, counts, depth, pixels, memory and time.

A leaf: every room may use it. Nothing of ours is imported here, and at import nothing but the standard library.
"""
