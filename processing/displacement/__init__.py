"""Scan and registered mesh to a displacement map over the UVs (`bake`), and back to a detailed mesh (`displace`).

Reading and writing the 16-bit map (`relief`) needs NumPy and Pillow alone, for those who hold a release.
"""
