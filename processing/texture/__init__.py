"""Photographs to a texture over the registered mesh's UVs."""
