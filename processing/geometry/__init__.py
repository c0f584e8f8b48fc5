"""Cameras, meshes, rays, rotations, rasters: arrays in, arrays out."""
