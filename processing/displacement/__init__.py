"""Displacement maps over the UVs: baked from a scan and its registered mesh, and applied to the mesh again."""
