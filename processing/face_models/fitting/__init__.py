"""Fits of a face model: to meshes of its topology, and to scans."""
