"""Displacement maps of many expressions from one photograph: inputs over UVs, the network, tiles, textures."""
