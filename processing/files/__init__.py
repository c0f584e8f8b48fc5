"""File formats of photographs, cameras, meshes and maps."""
