"""Texture: photographs projected over a registered mesh's UVs, and correspondence refined by comparing textures."""
