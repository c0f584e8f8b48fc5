"""Formats of releases: manifest, table of files, metadata, signatures, pictures and meshes."""
